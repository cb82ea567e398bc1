//! RFC 9457: every error as `application/problem+json`.
//!
//! `type` is a stable URN, one per [`Kind`], that programs may match on; `detail` is for people.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::json;
use crate::{
    credentials::cell::Unavailable,
    definition::FieldProblem,
    engine::{actions::Refusal, reload::ReloadError},
    store::StoreError,
    types::{JobId, Timestamp},
};

/// When to ask again where nobody knows better.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// When to ask again for a credential that a person has to mend.
const ASK_A_PERSON: Duration = Duration::from_mins(1);

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $status:ident, $name:literal, $title:literal;)*) => {
        /// What went wrong, as a program should tell it from others.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            /// The `type` of the problem.
            #[must_use]
            pub const fn urn(self) -> &'static str {
                match self { $(Self::$kind => concat!("urn:attendant:", $name),)* }
            }

            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    Malformed = BAD_REQUEST, "malformed", "The body is not what it should be";
    /// On TCP: no token, or an unknown one.
    Unauthenticated = UNAUTHORIZED, "unauthenticated", "Nobody knows who asks";
    Refused = FORBIDDEN, "refused", "You may not do this";
    NotFound = NOT_FOUND, "not_found", "There is no such thing";
    Method = METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here";
    /// The body did not arrive in time.
    Slow = REQUEST_TIMEOUT, "slow", "The request took too long to arrive";
    State = CONFLICT, "state", "The state of the job forbids it";
    /// A rekey that cannot be.
    Key = CONFLICT, "sealing_key", "The sealing key cannot be replaced now";
    KeyReused = CONFLICT, "key_reused", "The key came before with another request";
    Gone = GONE, "gone", "It is no longer there";
    TooLarge = PAYLOAD_TOO_LARGE, "too_large", "The request is too large";
    Invalid = UNPROCESSABLE_ENTITY, "invalid", "The request is not valid";
    /// The one before stays in force.
    Configuration = UNPROCESSABLE_ENTITY, "configuration", "The configuration is not valid";
    MinTtlUnreachable =
        UNPROCESSABLE_ENTITY, "min_ttl_unreachable", "No value ever lives that long";
    TooMany = TOO_MANY_REQUESTS, "too_many", "Too many at once";
    Internal = INTERNAL_SERVER_ERROR, "internal", "The daemon failed";
    Credential =
        SERVICE_UNAVAILABLE, "credential_unavailable", "The credential cannot be had now";
    Store = SERVICE_UNAVAILABLE, "store_unavailable", "The database does not answer";
    Draining = SERVICE_UNAVAILABLE, "draining", "The daemon is stopping";
    Full = INSUFFICIENT_STORAGE, "disk_full", "There is no room on the disk";
}

/// One problem, ready to be sent.
#[derive(Debug)]
pub struct Problem(Box<Fields>);

#[derive(Debug, Serialize)]
struct Fields {
    #[serde(rename = "type")]
    urn: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<JobId>,
    /// An error code as `last_error.code` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip)]
    kind: Kind,
    /// For `WWW-Authenticate` (RFC 6750): a token came and is none of ours.
    #[serde(skip)]
    bad_token: bool,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            urn: kind.urn(),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            errors: vec![],
            job_id: None,
            code: None,
            retry_after: None,
            bad_token: false,
            kind,
        }))
    }

    /// A request with bad fields: all of them at once.
    #[must_use]
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = errors
            .iter()
            .map(|one| if one.field.is_empty() { one.message.clone() } else { one.to_string() })
            .collect::<Vec<String>>()
            .join("; ");
        let mut problem = Self::new(Kind::Invalid, detail);
        problem.0.errors = errors;
        problem
    }

    /// One bad field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem { field: field.to_owned(), message: message.into() }])
    }

    #[must_use]
    pub fn job(mut self, id: JobId) -> Self {
        self.0.job_id = Some(id);
        self
    }

    #[must_use]
    pub fn about_token(mut self) -> Self {
        self.0.bad_token = true;
        self
    }

    /// Why, before what was said.
    #[must_use]
    pub fn because(mut self, why: &str) -> Self {
        self.0.detail = format!("{why}: {}", self.0.detail);
        self
    }

    /// When it is worth asking again; rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    #[must_use]
    pub fn draining() -> Self {
        Self::new(Kind::Draining, "the daemon is stopping; ask the next one").retry_after(ASK_AGAIN)
    }

    /// Why an action was not done. `now` tells how long a credential will be away.
    #[must_use]
    pub fn refusal(refusal: Refusal, now: Timestamp) -> Self {
        let words = refusal.to_string();
        match refusal {
            Refusal::Invalid(errors) => Self::invalid(errors),
            Refusal::KeyReused { id } => Self::new(Kind::KeyReused, words).job(id),
            Refusal::UnknownJob(id) => Self::new(Kind::NotFound, words).job(id),
            Refusal::Unknown { .. } => Self::new(Kind::NotFound, words),
            Refusal::State(words) => Self::new(Kind::State, words),
            Refusal::Credential(trouble) => Self::credential(trouble, now),
            Refusal::MinTtlUnreachable(_) => Self::new(Kind::MinTtlUnreachable, words),
            // Where it is, is the operator's matter, and the words name it.
            Refusal::Key(_) => Self::new(Kind::Internal, words),
            Refusal::Rekey(_) => Self::new(Kind::Key, words),
            Refusal::Draining => Self::draining(),
            Refusal::Store(error) => error.into(),
        }
    }

    /// Why the old configuration stays in force, as `attendant check` says it.
    #[must_use]
    pub fn reload(error: ReloadError) -> Self {
        let words = error.to_string();
        match error {
            ReloadError::Bad(_) => Self::new(Kind::Configuration, words),
            ReloadError::Store(error) => error.into(),
            ReloadError::Unfinished(_) => Self::new(Kind::Store, words),
            ReloadError::NoSource => Self::new(Kind::State, words),
            ReloadError::Draining => Self::draining(),
        }
    }

    fn credential(trouble: Unavailable, now: Timestamp) -> Self {
        let wait = trouble.retry_at.map_or(ASK_A_PERSON, |at| at.since(now));
        let mut problem = Self::new(Kind::Credential, trouble.detail).retry_after(wait);
        problem.0.code = Some(trouble.code.to_string());
        problem
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.kind.status()
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::bytes(&self.0)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let words = error.to_string();
        match error {
            StoreError::Unavailable(_) | StoreError::Stale => {
                Self::new(Kind::Store, words).retry_after(ASK_AGAIN)
            }
            StoreError::Full => Self::new(Kind::Full, words),
            StoreError::Corrupt(_) | StoreError::Unexpected(_) => Self::new(Kind::Internal, words),
            StoreError::Closed => Self::draining(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = json::with_type(self.status(), json::PROBLEM, self.to_json());
        if let Some(seconds) = self.0.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.kind == Kind::Unauthenticated {
            let how = if self.0.bad_token {
                "Bearer realm=\"attendant\", error=\"invalid_token\""
            } else {
                "Bearer realm=\"attendant\""
            };
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(how));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::codes::Code;

    fn body(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.to_json()).unwrap()
    }

    #[test]
    fn bad_fields_are_all_named() {
        let bad = |field: &str| FieldProblem { field: field.into(), message: "is bad".into() };
        let problem = Problem::invalid(vec![bad("args.id"), bad("key")]);
        assert_eq!(
            body(&problem),
            json!({
                "type": "urn:attendant:invalid", "title": "The request is not valid",
                "status": 422, "detail": "args.id: is bad; key: is bad",
                "errors": [{"field": "args.id", "message": "is bad"},
                           {"field": "key", "message": "is bad"}],
            })
        );
    }

    #[test]
    fn a_wait_is_rounded_up_and_told_twice() {
        let trouble = Unavailable {
            code: Code::Http(500),
            retry_at: Some(Timestamp(2_500)),
            detail: "certn/access_token cannot be obtained".into(),
        };
        let problem = Problem::refusal(Refusal::Credential(trouble), Timestamp(1_000));
        assert_eq!(body(&problem)["retry_after"], 2);
        assert_eq!(body(&problem)["code"], "http_500");
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }

    #[test]
    fn a_full_disk_is_507() {
        assert_eq!(Problem::from(StoreError::Full).status(), 507);
        assert_eq!(Problem::from(StoreError::Unavailable("locked".into())).status(), 503);
        assert_eq!(Problem::from(StoreError::Unexpected("?".into())).status(), 500);
    }

    #[test]
    fn urns_are_distinct() {
        let urns: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.urn()).collect();
        assert_eq!(urns.len(), Kind::ALL.len());
    }
}
