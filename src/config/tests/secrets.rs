//! Fetching secrets from each kind of source.

use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::{
    super::{SecretFrom, SecretProblem, SecretSource},
    *,
};

fn source(from: SecretFrom) -> SecretSource {
    SecretSource {
        key: "accounts.certn.secrets.client_id".into(),
        from,
        expires: None,
        position: Some(position("attendant.toml", 4)),
    }
}

fn private(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn each_source_gives_its_text_without_one_newline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id");
    for (content, wanted) in
        [("a", "a"), ("a\n", "a"), ("a\n\n", "a\n"), ("a\r\n", "a"), (" a ", " a ")]
    {
        private(&file, content.as_bytes());
        let env = Env::from([("ID".to_owned(), content.to_owned())]);
        for from in [
            SecretFrom::File(file.clone()),
            SecretFrom::Credential("id".into()),
            SecretFrom::Env("ID".into()),
        ] {
            let resolved = source(from).resolve(&env, Some(folder.path())).unwrap();
            assert_eq!(resolved.value.expose_secret(), wanted);
            assert_eq!(resolved.warnings, []);
            assert!(!format!("{resolved:?}").contains("SecretBox([\""), "{resolved:?}");
        }
    }
}

#[test]
fn each_failure_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    private(&folder.path().join("binary"), b"\xff\xfe");
    private(&folder.path().join("empty"), b"\n");
    let file = |name: &str| SecretFrom::File(folder.path().join(name));
    let credential = |name: &str| SecretFrom::Credential(name.into());
    let variable = |name: &str| SecretFrom::Env(name.into());
    let env = Env::from([("EMPTY".to_owned(), String::new())]);
    let table = [
        (file("none"), "file none does not exist: create it, readable by the daemon's user"),
        (file("."), "file . cannot be read (is a directory): let the daemon's user read it"),
        (file("binary"), "file binary is not UTF-8 text: store the secret as text"),
        (file("empty"), "file empty is empty: put the secret in it"),
        (
            credential("none"),
            "credential `none` was not given to the service: add LoadCredential= to the unit and restart it",
        ),
        (credential("empty"), "credential `empty` is empty: put the secret in it"),
        (
            variable("NONE"),
            "variable $NONE is not set: set it for the daemon, with Environment= or EnvironmentFile=",
        ),
        (variable("EMPTY"), "variable $EMPTY is empty: put the secret in it"),
    ];
    for (from, wanted) in table {
        let secret = source(from);
        let error = secret.resolve(&env, Some(folder.path())).unwrap_err();
        let place = format!("{}/", folder.path().display());
        assert_eq!(
            error.to_string().replace(&place, ""),
            format!("accounts.certn.secrets.client_id: {wanted}")
        );
        assert_eq!(
            secret.diagnostic(&error).to_string().replace(&place, ""),
            format!("attendant.toml:4: accounts.certn.secrets.client_id: {wanted}")
        );
    }
}

#[test]
fn a_credential_is_not_visible_outside_the_service() {
    let error = source(SecretFrom::Credential("id".into())).resolve(&Env::new(), None).unwrap_err();
    assert_eq!(error.problem, SecretProblem::NotVisibleHere);
    assert_eq!(
        error.to_string(),
        "accounts.certn.secrets.client_id: credential `id` is not visible here: only the running service sees its credentials"
    );
}

#[test]
fn a_file_that_everyone_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id");
    std::fs::write(&file, "x").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let resolved = source(SecretFrom::File(file.clone())).resolve(&Env::new(), None).unwrap();
    assert_eq!(
        resolved.warnings[0].to_string(),
        format!(
            "attendant.toml:4: accounts.certn.secrets.client_id: file {} is readable by every user (0644): chmod o-rwx",
            file.display()
        )
    );
}
