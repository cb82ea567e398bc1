//! What the shipped definitions make of the answers that their providers are known to give.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::*;
use crate::definition::{Asked, CredentialShape, Exchange, Expr, Source};

fn shipped(name: &str) -> Arc<Provider> {
    Registry::load(None).unwrap().provider(name).unwrap().clone()
}

fn exchange<'p>(provider: &'p Provider, name: &str) -> &'p Exchange {
    match &provider.credentials[name].shape {
        CredentialShape::Exchange(exchange) => exchange,
        other @ CredentialShape::Rotate(_) => panic!("{name} is a {}", other.name()),
    }
}

/// The first way that asks for something.
fn asked<'p>(provider: &'p Provider, name: &str) -> &'p Asked {
    let ways = &exchange(provider, name).ways;
    let asked = ways.iter().find_map(|way| match &way.source {
        Source::Asked(asked) => Some(&**asked),
        Source::Given(_) => None,
    });
    asked.unwrap()
}

/// The variables after an answer with this body.
fn answer(status: u16, body: &str) -> Vars {
    let response: Option<Value> = serde_json::from_str(body).ok();
    Vars::new().answer(status, &http::HeaderMap::new(), body, response.as_ref())
}

fn holds(expr: Option<&Expr>, vars: &Vars) -> bool {
    expr.is_some_and(|expr| expr.test(vars).unwrap_or(false))
}

#[test]
fn a_throttled_scantrust_says_how_long_in_words() {
    let scantrust = shipped("scantrust");
    let of_login = asked(&scantrust, "token").retry_after.as_ref();
    let of_call = scantrust.kinds["me"].retry_after.as_ref();
    let throttled = |seconds: &str| {
        json!({"detail": format!("Request was throttled. Expected available in {seconds}."), "code": "throttled"})
            .to_string()
    };
    for (status, body, expected) in [
        (429, throttled("7 seconds"), json!(7.0)),
        (429, throttled("1 second"), json!(1.0)),
        (429, json!({"detail": "Request was throttled."}).to_string(), Value::Null),
        (429, "<html>".to_owned(), Value::Null),
        (200, throttled("7 seconds"), Value::Null),
    ] {
        for expr in [of_login, of_call] {
            let seconds = expr.unwrap().eval(&answer(status, &body)).unwrap_or_default();
            assert_eq!(seconds, expected, "{status} {body}");
        }
    }
}

#[test]
fn scantrust_tokens_go_by_their_own_names() {
    let scantrust = shipped("scantrust");
    let auth = scantrust.auth.as_ref().unwrap();
    for (uat, token, expected) in [
        (Some("u-1"), "u-1", "UAT u-1"),
        (Some(" u-1 "), "u-1", "UAT u-1"),
        (Some("u-1"), "e.y.J", "JWT e.y.J"),
        (None, "e.y.J", "JWT e.y.J"),
    ] {
        let (uat, token) = (uat.map(SecretString::from), SecretString::from(token));
        let vars = Vars::new()
            .secrets(uat.iter().map(|uat| ("uat", uat)))
            .credentials([("token", &token)]);
        let mut request = scantrust.kinds["me"].request.render(&vars).unwrap();
        auth.apply(&vars, &mut request).unwrap();
        assert_eq!(request.headers[0].1.expose_secret(), expected);
    }
}

#[test]
fn a_given_bearer_may_still_have_its_prefix() {
    for (provider, credential) in [("certiscan", "work_token"), ("controlbyweb", "access_token")] {
        let provider = shipped(provider);
        let Source::Given(given) = &exchange(&provider, credential).ways[0].source else {
            panic!("{credential} has nothing given")
        };
        for text in ["Bearer a.b-c", "a.b-c", "bearer a.b-c\n", "  Bearer  a.b-c"] {
            let secret = SecretString::from(text);
            let vars = Vars::new().secrets([("auth_token", &secret)]);
            assert_eq!(given.render(&vars).unwrap(), "a.b-c", "{text:?}");
        }
    }
}

#[test]
fn ipseity_answers_with_a_jwt_and_nothing_else() {
    let ipseity = shipped("ipseity");
    for (body, expected) in [
        ("e30.e30.c2ln", Some("e30.e30.c2ln")),
        ("\"e30.e30.c2ln\"\n", Some("e30.e30.c2ln")),
        ("<html>down. for. now", None),
        ("{\"a\": \"b.c\"}", None),
        ("", None),
    ] {
        for name in ["access_token", "refresh_token", "password_token"] {
            let asked = asked(&ipseity, name);
            let vars = answer(200, body);
            assert_eq!(holds(asked.success.as_ref(), &vars), expected.is_some(), "{body}");
            if let Some(expected) = expected {
                assert_eq!(asked.value.eval(&vars).unwrap(), expected);
            }
        }
    }
}

#[test]
fn refused_logins_are_told_from_other_trouble() {
    let named = r#"{"error_name": "IncorrectPasswordError", "message": "x"}"#;
    let failure = r#"{"success": false}"#;
    // Provider, credential, answer; refused, maybe refused.
    let table = [
        ("ipseity", "password_token", 404, named, (true, false)),
        ("ipseity", "password_token", 404, "<h1>Not Found</h1>", (false, false)),
        ("ipseity", "password_token", 403, named, (true, false)),
        ("ipseity", "access_token", 400, named, (true, false)),
        ("ipseity", "access_token", 500, r#"{"message": "Internal Server Error"}"#, (false, true)),
        ("ipseity", "access_token", 502, "", (false, false)),
        ("scantrust", "token", 400, r#"{"non_field_errors": ["Unable"]}"#, (true, false)),
        ("scantrust", "token", 404, "", (false, false)),
        ("certiscan", "work_token", 401, "", (true, false)),
        ("certiscan", "work_token", 200, failure, (true, false)),
        ("certiscan", "work_token", 404, failure, (true, false)),
        ("certiscan", "work_token", 404, "<h1>Not Found</h1>", (false, false)),
        ("certiscan", "work_token", 500, failure, (false, false)),
        ("controlbyweb", "access_token", 400, r#"{"error": "invalid_grant"}"#, (true, false)),
        ("controlbyweb", "access_token", 405, "", (false, false)),
    ];
    for (provider, credential, status, body, expected) in table {
        let provider = shipped(provider);
        let asked = asked(&provider, credential);
        let vars = answer(status, body);
        let found = (
            holds(asked.refused_when.as_ref(), &vars),
            holds(asked.maybe_refused_when.as_ref(), &vars),
        );
        assert_eq!(found, expected, "{credential} {status} {body}");
    }
}

#[test]
fn only_a_job_on_the_accounts_own_client_sets_its_secret() {
    let certiscan = shipped("certiscan");
    let sets = certiscan.kinds["client_update"].sets.as_ref().unwrap();
    let args = object(json!({"subject": "s-1", "name": "n", "secret": "new"}));
    for (own, expected) in [(Some("s-1"), true), (Some("s-2"), false), (None, false)] {
        let own = own.map(SecretString::from);
        let vars = Vars::new().args(&args).secrets(own.iter().map(|own| ("subject", own)));
        assert_eq!(holds(sets.when.as_ref(), &vars), expected);
        assert_eq!(sets.to.eval(&vars).unwrap(), "new");
    }
    assert_eq!(shipped("ipseity").kinds["user_password"].sets.as_ref().unwrap().secret, "pass");
}

#[test]
fn an_account_number_is_the_accounts_unless_another_is_given() {
    let controlbyweb = shipped("controlbyweb");
    let params = controlbyweb.params.validate(&json!({"account_id": 3_816_414_018_u64})).unwrap();
    for (args, expected) in [
        (json!({}), "/accounts/3816414018/tokens"),
        (json!({"account_id": 9_007_199_254_740_993_u64}), "/accounts/9007199254740993/tokens"),
    ] {
        let kind = &controlbyweb.kinds["tokens"];
        let args = kind.args.validate(&args).unwrap();
        let request = kind.request.render(&Vars::new().params(&params).args(&args)).unwrap();
        assert_eq!(request.path, expected);
    }
}
