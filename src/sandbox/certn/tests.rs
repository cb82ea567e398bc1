//! What the simulated Certn answers, over real loopback sockets.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::{Industry, Settings, Stage};
use crate::{
    clock::{Clock, ManualClock},
    sandbox::{
        Options, Provider, RateLimit, Sandbox,
        tests::{LOOPBACK, client},
    },
    types::Timestamp,
};

/// A sandbox whose time stands still, and a client with a token.
struct Certn {
    sandbox: Sandbox,
    clock: ManualClock,
    client: Client,
    token: String,
}

impl Certn {
    async fn start(settings: Settings, rate_limit: Option<RateLimit>) -> Self {
        let clock = ManualClock::at(Timestamp(1_790_000_000_000));
        let provider = Provider::Certn(settings);
        let options = Options { clock: Clock::Manual(clock.clone()), rate_limit, provider };
        let sandbox = Sandbox::start(LOOPBACK, options).await.unwrap();
        let mut certn = Self { sandbox, clock, client: client(), token: String::new() };
        let body = json_of(certn.ask_for_token("sandbox-secret", "client_credentials").await).await;
        body["access_token"].as_str().unwrap().clone_into(&mut certn.token);
        certn
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.sandbox.base_url());
        self.client.request(method, url).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn order(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    async fn ask_for_token(&self, secret: &str, grant: &str) -> Response {
        self.client
            .post(format!("{}/token/", self.sandbox.base_url()))
            .basic_auth("sandbox-client", Some(secret))
            .form(&[("grant_type", grant)])
            .send()
            .await
            .unwrap()
    }
}

async fn certn() -> Certn {
    Certn::start(Settings::default(), None).await
}

async fn json_of(response: Response) -> Value {
    response.json().await.unwrap()
}

fn application() -> Value {
    json!({ "request_softcheck": true, "information": { "first_name": "Ada", "last_name": "Byron" } })
}

#[tokio::test]
async fn tokens_are_issued_expire_and_are_revoked() {
    let certn = certn().await;
    let body = json_of(certn.ask_for_token("sandbox-secret", "client_credentials").await).await;
    assert_eq!(body["expires_in"], 10);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(certn.get("/api/v1/users/").await.status(), StatusCode::OK);

    certn.clock.advance(Duration::from_secs(10));
    let expired = certn.get("/api/v1/users/").await;
    assert_eq!(expired.status(), StatusCode::UNAUTHORIZED);
    assert!(expired.headers()["www-authenticate"].to_str().unwrap().contains("expired"));
    let detail = json!({ "detail": "Authentication credentials were not provided." });
    assert_eq!(json_of(expired).await, detail);

    certn.sandbox.revoke_tokens();
    let revoked = certn.get("/api/v1/users/").await;
    assert!(revoked.headers()["www-authenticate"].to_str().unwrap().contains("is invalid"));
    assert_eq!(certn.sandbox.counters().tokens_issued, 2);
}

#[tokio::test]
async fn the_token_endpoint_refuses_as_oauth_does() {
    let certn = certn().await;
    let wrong = certn.ask_for_token("guess", "client_credentials").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(json_of(wrong).await, json!({ "error": "invalid_client" }));

    let other = certn.ask_for_token("sandbox-secret", "password").await;
    assert_eq!(other.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json_of(other).await, json!({ "error": "unsupported_grant_type" }));

    assert_eq!(certn.get("/token/").await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(certn.sandbox.counters().tokens_issued, 1);
}

#[tokio::test]
async fn a_missing_slash_is_redirected_whatever_the_method() {
    let certn = certn().await;
    let redirected = certn.order("/api/v1/hr/applications/quick?a=1", &application()).await;
    assert_eq!(redirected.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(redirected.headers()["location"], "/api/v1/hr/applications/quick/?a=1");
    assert_eq!(certn.get("/nothing").await.status(), StatusCode::NOT_FOUND);
    assert!(certn.sandbox.counters().orders.is_empty());
}

#[tokio::test]
async fn users_come_in_pages_with_absolute_links() {
    let certn = certn().await;
    let mut path = "/api/v1/users/".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = json_of(certn.get(&path).await).await;
        assert_eq!(page["count"], 5);
        ids.extend(page["results"].as_array().unwrap().iter().map(|user| user["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        next.strip_prefix(&certn.sandbox.base_url()).unwrap().clone_into(&mut path);
    }
    assert_eq!(ids.len(), 5);
    for page in ["0", "4", "x"] {
        let beyond = certn.get(&format!("/api/v1/users/?page={page}")).await;
        assert_eq!(beyond.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn an_applicant_goes_through_the_stages_and_gets_a_report() {
    let certn = certn().await;
    let created = certn.order("/api/v1/hr/applications/quick/", &application()).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let created = json_of(created).await;
    assert_eq!(created["report_status"], "ANALYZING");
    let id = created["id"].as_str().unwrap();
    let applicant = format!("/api/v1/hr/applicants/{id}/");
    let report = format!("/api/v2/reports/{id}");

    let early = certn.get(&format!("{report}/pdf/")).await;
    assert_eq!(early.status(), StatusCode::BAD_REQUEST);
    let message = "Cannot generate report for incomplete hr applicant.";
    assert_eq!(json_of(early).await, json!({ "non_field_errors": [message] }));

    for status in ["ANALYZING", "PARTIAL", "COMPLETE"] {
        assert_eq!(json_of(certn.get(&applicant).await).await["report_status"], status);
        certn.clock.advance(Duration::from_secs(2));
    }
    let pdf = certn.get(&format!("{report}/pdf/")).await;
    assert_eq!(pdf.headers()["content-type"], "application/pdf");
    assert!(pdf.bytes().await.unwrap().starts_with(b"%PDF-1."));
    let page = certn.get(&format!("{report}/web/")).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(page.text().await.unwrap().contains("<h1>"));

    let counters = certn.sandbox.counters();
    assert_eq!(counters.orders["Ada Byron"], 1);
    assert_eq!(counters.polls[id], 3);
    assert_eq!(counters.requests["GET /api/v1/{industry}/applicants/{id}/"], 3);
}

#[tokio::test]
async fn an_invitation_names_its_applicant_and_every_order_bills() {
    let certn = certn().await;
    let path = "/api/v1/pm/applications/invite/";
    let first = json_of(certn.order(path, &application()).await).await;
    let second = json_of(certn.order(path, &application()).await).await;
    assert_ne!(first["applicant"]["id"], second["applicant"]["id"]);
    assert_ne!(first["id"], first["applicant"]["id"]);
    let id = first["applicant"]["id"].as_str().unwrap();
    let found = certn.get(&format!("/api/v1/pm/applicants/{id}/")).await;
    assert_eq!(found.status(), StatusCode::OK);
    let elsewhere = certn.get(&format!("/api/v1/hr/applicants/{id}/")).await;
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(certn.sandbox.counters().orders["Ada Byron"], 2);
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused_and_not_billed() {
    let certn = certn().await;
    let path = "/api/v1/hr/applications/quick/";
    let required = json!({ "information": ["This field is required."] });
    let no_object =
        json!({ "non_field_errors": ["Invalid data. Expected a dictionary, but got list."] });
    for (body, answer) in [(json!({ "request_softcheck": true }), required), (json!([]), no_object)]
    {
        let refused = certn.order(path, &body).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(json_of(refused).await, answer);
    }
    let no_json = certn.request(Method::POST, path).header("content-type", "application/json");
    assert_eq!(no_json.body("{").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let form = certn.request(Method::POST, path).form(&[("information", "x")]);
    assert_eq!(form.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for nowhere in ["/api/v1/xx/applications/quick/", "/api/v1/hr/applications/slow/"] {
        assert_eq!(certn.order(nowhere, &application()).await.status(), StatusCode::NOT_FOUND);
    }
    assert!(certn.sandbox.counters().orders.is_empty());
}

#[tokio::test]
async fn statuses_may_go_back_and_be_missing() {
    let null = Stage { after: Duration::from_secs(1), status: None };
    let stages = vec![
        Stage::new(Duration::ZERO, "Complete"),
        null,
        Stage::new(Duration::from_secs(2), "analyzing"),
    ];
    let applicants = vec![(Industry::Pm, "17".to_owned())];
    let certn = Certn::start(Settings { stages, applicants, ..Settings::default() }, None).await;
    let report = certn.get("/api/v2/reports/17/pdf/").await;
    assert_eq!(report.status(), StatusCode::OK);
    for status in [json!("Complete"), Value::Null, json!("analyzing")] {
        let applicant = json_of(certn.get("/api/v1/pm/applicants/17/").await).await;
        assert_eq!(applicant, json!({ "id": "17", "report_status": status }));
        certn.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let limit = RateLimit { requests: 2, window: Duration::from_secs(5) };
    let certn = Certn::start(Settings::default(), Some(limit)).await;
    certn.get("/api/v1/users/").await;
    certn.clock.advance(Duration::from_millis(1_500));
    certn.get("/api/v1/users/").await;
    let refused = certn.get("/api/v1/users/").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "4");
    let detail = json!({ "detail": "Request was throttled. Expected available in 4 seconds." });
    assert_eq!(json_of(refused).await, detail);
    certn.clock.advance(Duration::from_millis(3_500));
    assert_eq!(certn.get("/api/v1/users/").await.status(), StatusCode::OK);
    assert_eq!(certn.sandbox.counters().throttled, 1);
}

#[tokio::test]
async fn the_date_is_the_sandboxs() {
    let certn = certn().await;
    let date = certn.get("/api/v1/users/").await.headers()["date"].clone();
    assert_eq!(date, "Mon, 21 Sep 2026 14:13:20 GMT");
}

#[test]
fn the_pdf_says_truly_where_its_objects_are() {
    let file = String::from_utf8(super::reports::pdf("hello")).unwrap();
    let table = file.split_once("xref\n0 6\n").unwrap().1;
    for (number, line) in (1..=5).zip(table.lines().skip(1)) {
        let offset: usize = line[..10].parse().unwrap();
        assert!(file[offset..].starts_with(&format!("{number} 0 obj\n")), "{line}");
    }
    let start = file.rsplit_once("startxref\n").unwrap().1;
    let start: usize = start.lines().next().unwrap().parse().unwrap();
    assert!(file[start..].starts_with("xref\n"));
}
