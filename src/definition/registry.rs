//! All definitions in force: the built-in ones and those of `jobs_dir`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    kind::Kind,
    links::Links,
    provider::Provider,
    provider_read::{Loaded, read_file},
};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// The definitions that are part of the binary.
const BUILT_IN: [(&str, &str); 5] = [
    ("certiscan", include_str!("../../jobs/certiscan.toml")),
    ("certn", include_str!("../../jobs/certn.toml")),
    ("controlbyweb", include_str!("../../jobs/controlbyweb.toml")),
    ("ipseity", include_str!("../../jobs/ipseity.toml")),
    ("scantrust", include_str!("../../jobs/scantrust.toml")),
];

/// The definitions in force. It never changes: a reload makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    providers: BTreeMap<String, Arc<Provider>>,
}

/// A definition before it is read.
struct Source {
    file: PathBuf,
    stem: String,
    text: String,
}

impl Registry {
    /// The built-in definitions, with the `*.toml` files of a folder added. A file replaces the
    /// built-in definition of the same provider. A folder that does not exist is empty.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(jobs_dir: Option<&Path>) -> Result<Self, Diagnostics> {
        let mut problems = Vec::new();
        let mut sources = BTreeMap::new();
        for (stem, text) in BUILT_IN {
            let file = PathBuf::from(format!("built-in {stem}.toml"));
            let source = Source { file, stem: stem.to_owned(), text: text.to_owned() };
            sources.insert(stem.to_owned(), source);
        }
        for source in jobs_dir.map(|dir| read_folder(dir, &mut problems)).unwrap_or_default() {
            sources.insert(source.stem.clone(), source);
        }
        Self::read(sources.into_values(), problems)
    }

    fn read(
        sources: impl Iterator<Item = Source>,
        mut problems: Vec<Diagnostic>,
    ) -> Result<Self, Diagnostics> {
        let (mut broken, mut files) = (Vec::new(), Vec::new());
        for Source { file, stem, text } in sources {
            let loaded = read_file(file, &stem, &text);
            if loaded.provider.is_none() {
                broken.push(stem);
            }
            files.push(loaded);
        }
        let links: Vec<&Links> = files.iter().map(|file| &file.links).collect();
        for file in &files {
            file.links.check(&file.report, &links, &broken);
        }

        let mut providers = BTreeMap::new();
        for Loaded { report, provider, .. } in files {
            problems.extend(report.into_problems());
            if let Some(provider) = provider {
                providers.insert(provider.name.clone(), Arc::new(provider));
            }
        }
        if problems.is_empty() { Ok(Self { providers }) } else { Err(Diagnostics(problems)) }
    }

    /// All providers, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// A kind by its full name, such as `certn.applicant`, and its provider.
    pub fn kind(&self, name: &str) -> Option<(&Arc<Provider>, &Arc<Kind>)> {
        let (provider, kind) = name.split_once('.')?;
        let provider = self.providers.get(provider)?;
        Some((provider, provider.kinds.get(kind)?))
    }

    /// All kinds, by full name.
    pub fn kinds(&self) -> impl Iterator<Item = (&Arc<Provider>, &Arc<Kind>)> {
        self.providers().flat_map(|provider| provider.kinds.values().map(move |k| (provider, k)))
    }
}

/// The definition files of a folder, by name.
fn read_folder(dir: &Path, problems: &mut Vec<Diagnostic>) -> Vec<Source> {
    let entries = match fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(Diagnostic::new(dir, "", format!("cannot be read: {error}")));
            return Vec::new();
        }
    };
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| is_definition(file));
    files.sort();
    files.into_iter().filter_map(|file| read_source(file, problems)).collect()
}

/// Dot files are left alone: editors keep their own there.
fn is_definition(file: &Path) -> bool {
    let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && file.extension().is_some_and(|extension| extension == "toml")
}

fn read_source(file: PathBuf, problems: &mut Vec<Diagnostic>) -> Option<Source> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned())?;
    match fs::read_to_string(&file) {
        Ok(text) => Some(Source { file, stem, text }),
        Err(error) => {
            problems.push(Diagnostic::new(file, "", format!("cannot be read: {error}")));
            None
        }
    }
}
