//! That `Debug` shows nothing of what is secret: for the types that hold some.

use std::{collections::BTreeMap, fmt::Debug};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::{
    answer::Answered,
    enqueue::JobRequest,
    shapes::{File, Outcome},
};
use crate::{
    config::Inputs,
    credentials::{
        cell::{Held, Obtained, Origin},
        changes::Owner,
        vault::{Payload, Vault},
    },
    definition::{Body, Rendered, Vars},
    outbound::Answer,
    policy::settle::AttemptEnd,
    types::Timestamp,
};

const CANARY: &str = "canary-5f";

#[track_caller]
fn shows_none(what: &dyn Debug) {
    for text in [format!("{what:?}"), format!("{what:#?}")] {
        assert!(!text.contains(CANARY), "{text}");
        // Nor as the bytes that it is made of.
        assert!(!text.replace(char::is_whitespace, "").contains("99,97,110,97,114,121"), "{text}");
    }
}

fn secret() -> SecretString {
    CANARY.into()
}

fn args() -> Map<String, Value> {
    Map::from_iter([("pass".to_owned(), json!({ "deep": [CANARY] }))])
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(header::LOCATION, CANARY.parse().unwrap())])
}

#[test]
fn values_of_credentials_do_not_show() {
    let (now, origin) = (Timestamp(0), Origin::default());
    shows_none(&Held { value: secret(), generation: 1, expires_at: None, origin });
    shows_none(&Obtained {
        value: secret(),
        refresh_token: Some(secret()),
        origin,
        sent_at: now,
        expires_at: None,
        renew_at: None,
    });
    let secrets = BTreeMap::from([("pass".to_owned(), secret())]);
    shows_none(&Owner { queue: 1, secrets: &secrets });
    let vault = format!("{:?}", Vault::ephemeral());
    let key = vault.split(|one: char| !one.is_ascii_hexdigit()).any(|word| word.len() >= 64);
    assert!(!key && !vault.contains(", 1"), "{vault}");
}

#[test]
fn requests_and_answers_do_not_show() {
    let vars = Vars::new().args(&args()).value(&secret()).refresh_token(&secret());
    let vars = vars.secrets([("pass", &secret())]).credentials([("token", &secret())]);
    shows_none(&vars);
    let field = || vec![(CANARY[..6].to_owned(), secret())];
    for body in [Body::Json(json!(CANARY)), Body::Form(field())] {
        shows_none(&Rendered {
            method: Method::GET,
            path: format!("/{CANARY}"),
            query: field(),
            headers: vec![(header::AUTHORIZATION, secret())],
            basic: Some((secret(), secret())),
            body,
        });
    }
    let body = Bytes::from_static(CANARY.as_bytes());
    let (status, headers) = (StatusCode::OK, headers());
    shows_none(&Answer { status, headers: headers.clone(), body: body.clone() });
    shows_none(&Answered {
        status: 200,
        headers,
        body: body.clone(),
        response: Some(json!(CANARY)),
        vars,
        seen: Some(Ok(Some(CANARY.to_owned()))),
        sent_at: Timestamp(0),
    });
    let content_type = "text/plain".to_owned();
    shows_none(&File { name: "a".to_owned(), content_type, bytes: body });
}

#[test]
fn what_jobs_are_given_and_bring_does_not_show() {
    let key = Some(CANARY.to_owned());
    shows_none(&JobRequest { args: args().into(), key: key.clone(), ..JobRequest::default() });
    shows_none(&Payload { args: args(), key, more: vec![args()] });
    let result = Some(json!(CANARY));
    shows_none(&Outcome { result, ..Outcome::of(AttemptEnd::Released) });
    let env = BTreeMap::from([("SECRET".to_owned(), CANARY.to_owned())]);
    shows_none(&Inputs { file: None, env: &env, overrides: &[] });
}
