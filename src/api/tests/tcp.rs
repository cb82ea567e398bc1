//! The API on TCP: tokens only, and no web pages.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    rights::{World, rule},
    *,
};

async fn asked(world: &World, headers: &[(&str, &str)], path: &str) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(format!("{}{path}", world.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
}

async fn world() -> World {
    World::new(&[rule("reader", "may = [\"read\"]")]).await
}

fn bearer(name: &str) -> String {
    format!("Bearer {name:a>40}")
}

#[tokio::test]
async fn nobody_is_let_in_without_a_token() {
    let world = world().await;
    for path in ["/v1/jobs", "/readyz", "/v1/nothing", "/openapi.json"] {
        let answer = asked(&world, &[], path).await;
        answer.problem(401);
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"attendant\"");
    }
    for bad in [bearer("writer"), "Bearer x".to_owned(), format!("{}a", bearer("reader"))] {
        let answer = asked(&world, &[("authorization", &bad)], "/v1/jobs").await;
        let problem = answer.problem(401);
        assert_eq!(problem["type"], "urn:attendant:unauthenticated");
        let how = answer.headers["www-authenticate"].to_str().unwrap();
        assert!(how.ends_with("error=\"invalid_token\""), "{how}");
    }
    asked(&world, &[("authorization", "Basic cm9vdDpyb290")], "/v1/jobs").await.problem(401);
    asked(&world, &[("authorization", &bearer("reader"))], "/v1/jobs").await.expect(200);
    // A probe needs none.
    asked(&world, &[], "/healthz").await.expect(200);
}

#[tokio::test]
async fn web_pages_are_refused() {
    let world = world().await;
    let token = bearer("reader");
    for header in [("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")] {
        let headers = [("authorization", token.as_str()), header];
        asked(&world, &headers, "/v1/jobs").await.problem(403);
    }
}

#[tokio::test]
async fn tokens_do_not_count_on_the_socket_nor_users_on_tcp() {
    let world = world().await;
    // The socket knows its peer, who may do everything, whatever they bring along.
    let request = world.setup.client.get("http://attendant/v1/queues");
    let answer = request.header("authorization", "Bearer nonsense").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let paused = world.post("reader", "/v1/queues/certn/pause", &json!({})).await;
    paused.problem(403);
}

#[tokio::test]
async fn new_rules_count_for_open_connections() {
    let world = world().await;
    world.get("reader", "/v1/jobs").await.expect(200);
    let listener = UnixListener::bind(world.setup.path("other.sock")).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/jobs", tcp.local_addr().unwrap());
    let mut api = load(&world.setup.folder).api;
    let access = Arc::new(Access::new(&api, Clock::System));
    let stop = world.setup.stop.clone();
    let listeners = Listeners { socket: listener, tcp: Some(tcp) };
    let engine = Arc::clone(&world.setup.engine);
    let server = tokio::spawn(serve(engine, listeners, Arc::clone(&access), stop.clone(), stop));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async || {
        let request = client.get(&url).header("authorization", bearer("reader"));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);
    api.tokens.clear();
    access.replace(&api);
    assert_eq!(ask().await, 401);
    world.setup.stop.cancel();
    server.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_says_nothing_leaves_room_for_others() {
    let world = world().await;
    let address = world.url.trim_start_matches("http://").to_owned();
    let mut silent = vec![];
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(b"GET /v1/jobs HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        silent.push(stream);
    }
    asked(&world, &[("authorization", &bearer("reader"))], "/v1/jobs").await.expect(200);
    // More than there is room for: the socket has room of its own.
    for _ in 0..100 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    world.setup.get("/healthz").await.expect(200);
    // They are given up, and then there is room again.
    let mut first = silent.swap_remove(0);
    let mut rest = vec![];
    let given_up = tokio::time::timeout(Duration::from_mins(1), first.read_to_end(&mut rest));
    let _ = given_up.await.expect("the silent connection is still open");
    asked(&world, &[("authorization", &bearer("reader"))], "/v1/jobs").await.expect(200);
}
