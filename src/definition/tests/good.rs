//! Definitions that load, and what they then say.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::definition::{
    Auth, BasicEncoding, CredentialShape, Need, Repeat, Shape, Source, Trouble,
};

#[test]
fn the_built_in_definitions_load() {
    let registry = Registry::load(None).unwrap();
    let names: Vec<_> = registry.providers().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["certiscan", "certn", "controlbyweb", "ipseity", "scantrust"]);
    let names: Vec<_> = registry.kinds().map(|(_, kind)| kind.name.as_str()).collect();
    assert!(names.contains(&"certn.applicant"), "{names:?}");
    let certn = registry.provider("certn").unwrap();
    assert_eq!(certn.base_url, None);
    assert_eq!(certn.hosts["test"], "https://demo-api.certn.co");
    assert_eq!(certn.limits.len(), 2);
    assert!(certn.secrets["webhook_secret"].optional);
    assert!(certn.webhook.is_some());
    assert!(certn.source_toml.contains("[jobs.report]"));
    let (_, order) = registry.kind("certn.application").unwrap();
    assert_eq!(order.repeat, Repeat::Never);
    assert!(matches!(order.auth, Some(Auth::Bearer(_))));
    let (_, follow) = registry.kind("certn.applicant").unwrap();
    let Shape::Follow { deadline, .. } = &follow.shape else { panic!("{:?}", follow.shape) };
    assert_eq!(*deadline, Duration::from_hours(60 * 24));
}

#[test]
fn a_certn_follow_ends_with_complete_only() {
    let registry = Registry::load(None).unwrap();
    let (_, follow) = registry.kind("certn.applicant").unwrap();
    let Shape::Follow { until, .. } = &follow.shape else { panic!("{:?}", follow.shape) };
    let status = follow.status.as_ref().unwrap();
    for (body, expected, done) in [
        (json!({"report_status": "COMPLETE"}), json!("COMPLETE"), false),
        (json!({"report_status": "complete"}), json!("complete"), false),
        (json!({"report_status": "ANALYZING"}), json!("ANALYZING"), true),
        (json!({"report_status": null}), json!(null), true),
        (json!({}), json!(null), true),
    ] {
        let vars = answered(&body);
        let seen = status.eval(&vars).unwrap();
        assert_eq!(seen, expected, "{body}");
        assert_eq!(until.test(&vars.status(seen.as_str())).unwrap(), !done, "{body}");
    }
    let trouble = status.eval(&Vars::new().answer(200, &http::HeaderMap::new(), "<p>", None));
    assert_eq!(trouble.unwrap_err().trouble, Trouble::Undefined);
}

#[test]
fn a_certn_order_is_followed_by_its_applicant() {
    let registry = Registry::load(None).unwrap();
    let (_, order) = registry.kind("certn.application").unwrap();
    let sent = json!({"salary": 9_007_199_254_740_993_u64, "big": u64::MAX, "low": i64::MIN});
    let args = json!({"industry": "hr", "flow": "invite", "application": sent});
    let args = order.args.validate(&args).unwrap();
    let vars = Vars::new().args(&args);
    let request = order.request.render(&vars).unwrap();
    assert_eq!(request.path, "/api/v1/hr/applications/invite/");
    let crate::definition::Body::Json(body) = request.body else { panic!("no JSON") };
    assert_eq!(body, sent);
    let answer = json!({"id": "a", "applicant": {"id": 5_000_000_000_u64}});
    let vars = vars.answer(201, &http::HeaderMap::new(), "", Some(&answer));
    assert!(order.success.as_ref().unwrap().test(&vars).unwrap());
    assert!(order.then[0].when.as_ref().unwrap().test(&vars).unwrap());
    let id = order.then[0].args["id"].eval(&vars).unwrap();
    let (_, follow) = registry.kind(&order.then[0].kind).unwrap();
    let args = follow.args.validate(&json!({"industry": "hr", "id": id})).unwrap();
    assert_eq!(args["id"], "5000000000");
}

#[test]
fn a_file_replaces_the_built_in_definition() {
    let registry = load(&[
        ("certn.toml", "provider = \"certn\"\ntitle = \"Mended\"\n"),
        (".certn.toml", "an editor's"),
        ("notes.txt", "not ours"),
    ])
    .unwrap();
    assert_eq!(registry.provider("certn").unwrap().title, "Mended");
    assert!(registry.kind("certn.users").is_none());
    assert!(registry.kind("scantrust.me").is_some());
}

#[test]
fn a_folder_that_is_not_there_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::load(Some(&dir.path().join("absent"))).unwrap();
    assert_eq!(registry.providers().count(), 5);
}

const ROTATING: &str = r#"
base_url = "https://api.example.com/v1/"
basic_encoding = "rfc6749"
auth = { bearer = "{{ credentials.access }}" }
[secrets]
given = { title = "A token", optional = true }
user = { title = "User", optional = true }
pass = { title = "Password", optional = true }
[params]
account_id = { type = "id" }
[credentials.access]
shape = "exchange"
revoke = { method = "POST", path = "/revoke", form = { token = "{{ value }}" } }
[[credentials.access.alternatives]]
given = "{{ secrets.given|replace('Bearer ', '') }}"
jwt_exp = true
[[credentials.access.alternatives]]
request = { method = "POST", path = "/token", form = { refresh_token = "{{ refresh_token }}" } }
value = "response.access_token"
refresh_token = "response.refresh_token"
expires_in = "response.expires_in"
[[credentials.access.alternatives]]
request = { method = "POST", path = "/token", json = { user = "secrets.user", pass = "secrets.pass" } }
value = "response.access_token"
refresh_token = "response.refresh_token"
ttl = "24h"
[credentials.certificate]
shape = "rotate"
create = { method = "POST", path = "/accounts/{{ params.account_id }}/tokens/create" }
value = "response.token"
expires_at = "response.expires"
list = { request = { path = "/accounts/{{ params.account_id }}/tokens" }, items = "response", value = "item.token", created_at = "item.created_at" }
revoke = { method = "DELETE", path = "/accounts/{{ params.account_id }}/tokens/{{ value }}" }
"#;

#[test]
fn credentials_are_exchanged_in_ways_and_rotated() {
    let provider = acme(ROTATING);
    assert_eq!(provider.base_url.as_deref(), Some("https://api.example.com/v1"));
    assert_eq!(provider.basic_encoding, BasicEncoding::Rfc6749);
    let CredentialShape::Exchange(access) = &provider.credentials["access"].shape else {
        panic!("no exchange")
    };
    assert!(access.revoke.is_some());
    let secret = |name: &str| Need::Secret(name.to_owned());
    let needs: Vec<_> = access.ways.iter().map(|way| way.needs.clone()).collect();
    let expected =
        [vec![secret("given")], vec![Need::RefreshToken], vec![secret("pass"), secret("user")]];
    assert_eq!(needs, expected);
    let Source::Given(given) = &access.ways[0].source else { panic!("not given") };
    let token = SecretString::from("Bearer abc");
    assert_eq!(given.render(&Vars::new().secrets([("given", &token)])).unwrap(), "abc");

    let CredentialShape::Rotate(rotate) = &provider.credentials["certificate"].shape else {
        panic!("no rotation")
    };
    assert_eq!(rotate.overlap, crate::definition::DEFAULT_OVERLAP);
    assert!(rotate.auth.is_some());
    let vars = Vars::new().params(&object(json!({"account_id": "3816414018"})));
    let revoke = rotate.revoke.as_ref().unwrap().render(&vars.value(&"a/b".into())).unwrap();
    assert_eq!(revoke.path, "/accounts/3816414018/tokens/a%2Fb");
    let list = rotate.list.as_ref().unwrap();
    let entry = json!({"token": "t"});
    for (answer, entries) in [
        (json!({"6": entry}), vec![entry.clone()]),
        (json!([entry]), vec![entry.clone()]),
        (json!([]), vec![]),
        (json!({}), vec![]),
    ] {
        assert_eq!(list.entries(&answered(&answer)).unwrap(), entries);
    }
    assert_eq!(list.value.eval(&Vars::new().item(&entry)).unwrap(), "t");
}

#[test]
fn a_kind_inherits_or_refuses_the_providers_authentication() {
    let head =
        "auth = { header = { X-Key = \"{{ secrets.key }}\" } }\nsecrets = { key = \"Key\" }\n";
    let text = "[jobs.a]\nshape = \"call\"\nrequest = { path = \"/\" }\n\
                [jobs.b]\nshape = \"call\"\nrequest = { path = \"/\" }\nauth = \"none\"\n";
    let provider = acme(&format!("{head}{text}"));
    assert!(matches!(provider.kinds["a"].auth, Some(Auth::Header(_))));
    assert!(provider.kinds["b"].auth.is_none());
}
