//! What the configuration names on this machine: files, folders, programs, users and groups. All
//! of it may come later, so what is not there, or not right, is a warning.

use std::{fs::Metadata, os::unix::fs::PermissionsExt as _, path::Path};

use nix::unistd::{AccessFlags, access};

use crate::{
    api::access::{gid_of, uid_of},
    config::{Config, DatabaseUrl, Env, KeySource, Peer},
    definition::Registry,
    diagnostic::Diagnostic,
};

struct Look<'a> {
    config: &'a Config,
    found: Vec<Diagnostic>,
}

/// Everything that should be looked at.
pub(super) fn look(config: &Config, env: &Env, registry: &Registry) -> Vec<Diagnostic> {
    let mut look = Look { config, found: vec![] };
    look.sealing_key(env);
    look.socket();
    look.sinks();
    look.rules(registry);
    look.found
}

impl Look<'_> {
    fn warn(&mut self, key: &str, words: impl Into<String>) {
        self.found.push(self.config.diagnostic(key, words));
    }

    fn sealing_key(&mut self, env: &Env) {
        const KEY: &str = "seal.key";
        let credentials = env.get("CREDENTIALS_DIRECTORY").map(Path::new);
        let Some(path) = self.config.seal_key.path(credentials) else {
            return self.warn(
                KEY,
                format!("{} is not visible here: only the service sees it", self.config.seal_key),
            );
        };
        let made_by_daemon = matches!(self.config.seal_key, KeySource::BesideDatabase(_));
        let database = match &self.config.database.url {
            DatabaseUrl::Sqlite(path) => path.exists(),
            DatabaseUrl::Postgres(_) => true,
        };
        match std::fs::metadata(&path) {
            Ok(file) => self.private(KEY, &path, &file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !made_by_daemon {
                    let words = "is not there: the daemon does not start without it; make one with \
                                 `head -c 32 /dev/urandom`, mode 0600";
                    self.warn(KEY, format!("{} {words}", path.display()));
                } else if database {
                    let words = "is not there, but the database is: it cannot be read without the \
                                 key that it was made with; put that back";
                    self.warn(KEY, format!("{} {words}", path.display()));
                }
            }
            Err(error) => self.warn(KEY, format!("{}: {error}", path.display())),
        }
    }

    fn private(&mut self, key: &str, path: &Path, file: &Metadata) {
        let mode = file.permissions().mode() & 0o777;
        if !file.is_file() {
            self.warn(key, format!("{} is no file", path.display()));
        } else if mode & 0o077 != 0 {
            let words = format!("{} has mode {mode:04o}: others than its owner", path.display());
            self.warn(key, format!("{words} may read it; chmod 600"));
        } else if access(path, AccessFlags::R_OK).is_err() {
            self.warn(key, format!("{} cannot be read by this user", path.display()));
        }
    }

    fn socket(&mut self) {
        // The daemon makes the folder of the default one.
        if !self.config.api.socket_is_configured {
            return;
        }
        let socket = self.config.api.socket.clone();
        if let Some(words) = socket.parent().and_then(unusable) {
            self.warn("api.socket", words);
        }
    }

    fn sinks(&mut self) {
        let config = self.config;
        for account in config.accounts.values() {
            for (n, sink) in account.sinks.iter().enumerate() {
                let key = |name: &str| format!("accounts.{}.sinks[{n}].{name}", account.name);
                if let Some(words) = sink.file.parent().and_then(unusable) {
                    self.warn(&key("file"), words);
                }
                if sink.file.symlink_metadata().is_ok_and(|found| !found.is_file()) {
                    let words = "is no regular file: nothing else is ever replaced";
                    self.warn(&key("file"), format!("{} {words}", sink.file.display()));
                }
                if let Some(words) = sink.on_change.first().and_then(|one| not_runnable(one)) {
                    self.warn(&key("on_change"), words);
                }
            }
        }
    }

    fn rules(&mut self, registry: &Registry) {
        let config = self.config;
        for (n, rule) in config.api.allow.iter().enumerate() {
            let key = format!("api.allow[{n}]");
            let unknown = match &rule.peer {
                Peer::User(name) if uid_of(name).is_none() => Some(("user", name)),
                Peer::Group(name) if gid_of(name).is_none() => Some(("group", name)),
                _ => None,
            };
            if let Some((what, name)) = unknown {
                let words = format!("this machine has no {what} `{name}`: the rule lets nobody in");
                self.warn(&format!("{key}.{what}"), words);
            }
            self.kinds(&key, rule.access.kinds.iter().flatten(), registry);
        }
        for (n, token) in config.api.tokens.iter().enumerate() {
            self.kinds(&format!("api.tokens[{n}]"), token.access.kinds.iter().flatten(), registry);
        }
    }

    fn kinds<'k>(
        &mut self,
        key: &str,
        kinds: impl Iterator<Item = &'k String>,
        registry: &Registry,
    ) {
        for kind in kinds {
            let renewal = kind.split_once('.').is_some_and(|(provider, name)| {
                registry.provider(provider).is_some_and(|one| one.credentials.contains_key(name))
            });
            if registry.kind(kind).is_none() && !renewal {
                let words = format!("no definition has the kind `{kind}`: it matches nothing");
                self.warn(&format!("{key}.kinds"), words);
            }
        }
    }
}

/// Why nothing can be written into a folder by this user.
fn unusable(folder: &Path) -> Option<String> {
    let shown = folder.display();
    match folder.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("the folder {shown} is not there"))
        }
        Err(error) => Some(format!("the folder {shown}: {error}")),
        Ok(_) if !folder.is_dir() => Some(format!("{shown} is no folder")),
        Ok(_) => {
            let barred = access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_err();
            barred.then(|| format!("this user may not write into the folder {shown}"))
        }
    }
}

fn not_runnable(program: &str) -> Option<String> {
    let path = Path::new(program);
    if !path.exists() {
        return Some(format!("there is no program {program}"));
    }
    let runs = path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    (!runs).then(|| format!("this user may not run {program}, or it is no program"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    fn found(text: &str, prepare: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        let file = folder.path().join("attendant.toml");
        std::fs::write(&file, text.replace("HERE", &here)).unwrap();
        prepare(folder.path());
        let env: Env = [("HOME".to_owned(), here.clone())].into();
        let config = Config::load(&Inputs::new(Some(&file), &env)).unwrap();
        let found = look(&config, &env, &Registry::load(None).unwrap());
        let lines: Vec<String> =
            found.iter().map(|one| format!("{}: {}", one.key, one.message)).collect();
        lines.join("\n").replace(&here, "HERE")
    }

    const PLACES: &str =
        "[database]\nurl = \"sqlite://HERE/a.db\"\n[api]\nsocket = \"HERE/a.sock\"\n";

    #[test]
    fn what_is_as_it_should_be_is_not_told() {
        assert_eq!(found(PLACES, |_| {}), "");
    }

    #[test]
    fn the_sealing_key_must_be_there_and_private() {
        let lost = found(PLACES, |folder| std::fs::write(folder.join("a.db"), "").unwrap());
        assert!(lost.starts_with("seal.key: HERE/attendant.key is not there, but the database is"));
        let text = format!("{PLACES}[seal]\nkey = {{ file = \"HERE/k\" }}\n");
        assert!(found(&text, |_| {}).contains("HERE/k is not there: the daemon does not start"));
        let open = found(&text, |folder| {
            std::fs::write(folder.join("k"), [0; 32]).unwrap();
            let mode = std::fs::Permissions::from_mode(0o640);
            std::fs::set_permissions(folder.join("k"), mode).unwrap();
        });
        assert_eq!(
            open,
            "seal.key: HERE/k has mode 0640: others than its owner may read it; chmod 600"
        );
        let service = format!("{PLACES}[seal]\nkey = {{ credential = \"k\" }}\n");
        assert!(found(&service, |_| {}).contains("only the service sees it"));
    }

    #[test]
    fn sinks_need_their_folders_and_programs() {
        let text = format!(
            "{PLACES}[accounts.certn]\nprovider = \"certn\"\nbase_url = \"http://127.0.0.1:9\"\n\
             [[accounts.certn.sinks]]\ncredential = \"access_token\"\nfile = \"HERE/no/t\"\n\
             on_change = [\"/no/such/program\"]\n\
             [[accounts.certn.sinks]]\ncredential = \"access_token\"\nfile = \"HERE/folder\"\n\
             on_change = [\"HERE/attendant.toml\"]\n\
             [[accounts.certn.sinks]]\ncredential = \"access_token\"\nfile = \"HERE/t\"\n\
             on_change = [\"/bin/sh\", \"-c\", \"true\"]\n"
        );
        let found = found(&text, |folder| std::fs::create_dir(folder.join("folder")).unwrap());
        assert_eq!(
            found,
            "accounts.certn.sinks[0].file: the folder HERE/no is not there\n\
             accounts.certn.sinks[0].on_change: there is no program /no/such/program\n\
             accounts.certn.sinks[1].file: HERE/folder is no regular file: nothing else is ever \
             replaced\n\
             accounts.certn.sinks[1].on_change: this user may not run HERE/attendant.toml, or it \
             is no program"
        );
    }

    #[test]
    fn rules_name_users_groups_and_kinds_that_there_are() {
        let text = format!(
            "{PLACES}[[api.allow]]\nuser = \"no-such-user\"\nmay = [\"read\"]\n\
             [[api.allow]]\ngroup = \"no-such-group\"\nmay = [\"read\"]\nkinds = [\"certn.nope\"]\n\
             [[api.allow]]\nuser = \"root\"\nmay = [\"credentials\"]\n\
             kinds = [\"certn.access_token\", \"certn.users\"]\n"
        );
        assert_eq!(
            found(&text, |_| {}),
            "api.allow[0].user: this machine has no user `no-such-user`: the rule lets nobody in\n\
             api.allow[1].group: this machine has no group `no-such-group`: the rule lets nobody \
             in\n\
             api.allow[1].kinds: no definition has the kind `certn.nope`: it matches nothing"
        );
    }
}
