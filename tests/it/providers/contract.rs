//! What the contract names is there: no kind, argument, credential or secret can go missing.

use std::collections::BTreeSet;

use attendant::definition::{ArgType, Provider, Registry, Repeat, Shape};

/// Kind, shape, required arguments, optional ones, secret ones.
type Row = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const KINDS: [Row; 19] = [
    ("certn.users", "call", &[], &[], &[]),
    ("certn.application", "call", &["application", "industry"], &["flow", "follow", "report"], &[]),
    ("certn.applicant", "follow", &["id", "industry"], &["report"], &[]),
    ("certn.report", "download", &["format", "id", "industry"], &[], &[]),
    ("controlbyweb.tokens", "call", &[], &["account_id"], &[]),
    ("controlbyweb.token_create", "call", &[], &["account_id"], &[]),
    ("controlbyweb.token_delete", "call", &["token"], &["account_id"], &["token"]),
    ("scantrust.me", "call", &[], &[], &[]),
    ("certiscan.client_create", "call", &["name", "secret", "subject"], &[], &["secret"]),
    ("certiscan.client_update", "call", &["name", "secret", "subject"], &[], &["secret"]),
    ("certiscan.client_delete", "call", &["subject"], &[], &[]),
    ("ipseity.check", "call", &["token"], &[], &["token"]),
    ("ipseity.version", "call", &[], &[], &[]),
    ("ipseity.pubkey", "call", &[], &[], &[]),
    ("ipseity.user_create", "call", &["pass", "user"], &[], &["pass"]),
    ("ipseity.user_get", "call", &[], &[], &[]),
    ("ipseity.user_password", "call", &["pass"], &[], &["pass"]),
    ("ipseity.user_delete", "call", &[], &[], &[]),
    ("ipseity.refresh_token_delete", "call", &["token"], &[], &["token"]),
];

type Names = &'static [&'static str];
/// Provider; credentials with their shapes; secrets that must be given; secrets that may be.
type Account = (&'static str, &'static [(&'static str, &'static str)], Names, Names);

const ACCOUNTS: [Account; 5] = [
    (
        "certn",
        &[("access_token", "exchange")],
        &["client_id", "client_secret"],
        &["webhook_secret"],
    ),
    (
        "controlbyweb",
        &[("access_token", "exchange"), ("certificate_request_token", "rotate")],
        &[],
        &["auth_token", "password", "username"],
    ),
    ("scantrust", &[("token", "exchange")], &[], &["email", "password", "uat"]),
    ("certiscan", &[("work_token", "exchange")], &[], &["auth_token", "secret", "subject"]),
    (
        "ipseity",
        &[
            ("access_token", "exchange"),
            ("password_token", "exchange"),
            ("refresh_token", "exchange"),
        ],
        &["pass", "user"],
        &[],
    ),
];

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn every_kind_has_its_arguments() {
    let registry = Registry::load(None).unwrap();
    for (name, shape, required, optional, secret) in KINDS {
        let (_, kind) = registry.kind(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(kind.shape.name(), shape, "{name}");
        let args = || kind.args.iter();
        let of = |is_required: bool| {
            sorted(args().filter(|arg| arg.required() == is_required).map(|arg| arg.name.as_str()))
        };
        assert_eq!(of(true), required, "{name}");
        assert_eq!(of(false), optional, "{name}");
        assert_eq!(sorted(kind.args.secret_names()), secret, "{name}");
        assert!(!kind.title.is_empty(), "{name} has no title");
        let mut own = args().filter(|arg| !matches!(arg.kind, ArgType::Enum(_)));
        assert!(own.all(|arg| !arg.title.is_empty()), "{name}: an argument has no title");
    }
    let named: BTreeSet<_> = KINDS.iter().map(|row| row.0).collect();
    let shipped: BTreeSet<_> = registry.kinds().map(|(_, kind)| kind.name.as_str()).collect();
    assert_eq!(shipped, named);
}

#[test]
fn only_an_order_is_never_repeated() {
    let registry = Registry::load(None).unwrap();
    let never = registry.kinds().filter(|(_, kind)| kind.repeat == Repeat::Never);
    let never: Vec<_> = never.map(|(_, kind)| kind.name.as_str()).collect();
    assert_eq!(never, ["certn.application"]);
}

#[test]
fn an_order_goes_on_with_its_applicant_and_its_report() {
    let registry = Registry::load(None).unwrap();
    for (name, next) in
        [("certn.application", "certn.applicant"), ("certn.applicant", "certn.report")]
    {
        let (_, kind) = registry.kind(name).unwrap();
        assert_eq!(kind.then.iter().map(|then| then.kind.as_str()).collect::<Vec<_>>(), [next]);
    }
    let (_, report) = registry.kind("certn.report").unwrap();
    assert!(matches!(report.shape, Shape::Download { .. }));
}

#[test]
fn every_account_has_its_credentials_and_secrets() {
    let registry = Registry::load(None).unwrap();
    let shipped: Vec<_> = registry.providers().map(|one| one.name.as_str()).collect();
    assert_eq!(shipped, sorted(ACCOUNTS.iter().map(|row| row.0)));
    for (name, credentials, required, optional) in ACCOUNTS {
        let provider = registry.provider(name).unwrap();
        let kept = provider.credentials.values();
        let kept: Vec<_> = kept.map(|one| (one.name.as_str(), one.shape.name())).collect();
        assert_eq!(kept, credentials, "{name}");
        assert!(provider.credentials.values().all(|one| !one.title.is_empty()), "{name}");
        let secrets = |is_optional: bool| secrets(provider, is_optional);
        assert_eq!((secrets(false), secrets(true)), (required.to_vec(), optional.to_vec()));
    }
    let account_id = registry.provider("controlbyweb").unwrap().params.get("account_id");
    assert!(account_id.unwrap().required());
}

fn secrets(provider: &Provider, optional: bool) -> Vec<&str> {
    let of = provider.secrets.iter().filter(|(_, spec)| spec.optional == optional);
    sorted(of.map(|(name, _)| name.as_str()))
}

#[test]
fn hosts_are_those_that_are_documented() {
    let registry = Registry::load(None).unwrap();
    let table = [
        ("certn", None, &["https://api.certn.co", "https://demo-api.certn.co"][..]),
        ("controlbyweb", Some("https://api.controlbyweb.cloud/api/v1"), &[]),
        ("scantrust", None, &["https://api.scantrust.com", "https://api.staging.scantrust.io"]),
        ("certiscan", Some("https://account.app.certiscan.cloud/api/v1/account/worktoken"), &[]),
        ("ipseity", None, &[]),
    ];
    for (name, base_url, hosts) in table {
        let provider = registry.provider(name).unwrap();
        assert_eq!(provider.base_url.as_deref(), base_url, "{name}");
        assert_eq!(sorted(provider.hosts.values().map(String::as_str)), hosts, "{name}");
    }
}
