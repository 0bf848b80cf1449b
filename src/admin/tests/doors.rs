//! Who gets in, what is not there, and how the API ends.

use std::fs;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Control, Served, admin};
use crate::config::spec::{Admin, AdminAddress};

#[tokio::test]
async fn metrics_are_text_of_the_exposition_format() {
    let answer = Served::tcp(Control::Willing).get("/metrics").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.has("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", answer.head);
}

#[tokio::test]
async fn hold_release_and_drain_are_read_strictly() {
    let served = Served::tcp(Control::Willing);
    for (path, body, code) in [
        ("services/web/hold", "", 200),
        ("services/web/hold", r#"{"max_wait":"1s","max_waiting":5,"why":"x"}"#, 200),
        ("services/web/hold", r#"{"max_wait":"0s"}"#, 400),
        ("services/web/hold", r#"{"max_wait":"2h"}"#, 400),
        ("services/web/hold", r#"{"max_wait":"soon"}"#, 400),
        ("services/web/hold", r#"{"max_waiting":1000000}"#, 400),
        ("services/web/hold", r#"{"force":true}"#, 400),
        ("services/web/release", "", 200),
        ("endpoints/%5B::1%5D:80/drain", "", 404),
        ("endpoints/a:1/drain", r#"{"cancel":true,"force":true}"#, 400),
    ] {
        let answer = served.post(&format!("/v1/{path}"), body).await;
        assert_eq!(answer.status(), code, "{path} {body}");
    }
    let unknown = served.get("/v1/endpoints/%5B::1%5D:80/drain").await;
    assert_eq!(unknown.problem(), (404, "unknown_endpoint".into()));
    assert!(unknown.body.contains("`[::1]:80`"), "{}", unknown.body);
}

#[tokio::test]
async fn what_is_not_served_yet_says_so() {
    let served = Served::tcp(Control::Willing);
    assert_eq!(served.get("/").await.problem(), (501, "not_served".into()));
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problems_too() {
    let served = Served::tcp(Control::Willing);
    assert_eq!(served.get("/v2").await.problem(), (404, "not_found".into()));
    assert_eq!(served.post("/v1/services/web/explode", "").await.problem(), (404, "not_found".into()));
    assert_eq!(served.get("/v1/services/%ff").await.problem(), (400, "bad_request".into()));
    let answer = served.get("/v1/services/web/abort").await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".into()));
    assert!(answer.has("allow: POST"), "{}", answer.head);
}

#[tokio::test]
async fn a_foreign_host_reaches_nothing() {
    let served = Served::tcp(Control::Willing);
    for path in ["/v1/status", "/metrics", "/livez", "/nowhere"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n");
        assert_eq!(served.ask(&head, "").await.problem(), (403, "forbidden".into()), "{path}");
    }
}

#[tokio::test]
async fn a_web_page_of_another_origin_gives_no_commands() {
    let mut served = Served::tcp(Control::Willing);
    let head = "POST /v1/services/web/abort HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n";
    assert_eq!(served.ask(head, "").await.problem(), (403, "forbidden".into()));
    assert!(served.commands.try_recv().is_err(), "control saw nothing");
}

#[tokio::test]
async fn with_a_token_file_only_probes_go_without_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "s3cret\n").unwrap();
    let served = Served::start(&admin("127.0.0.1:0", Some(&file)), Control::NotReady);
    for path in ["/v1/status", "/metrics", "/nowhere", "/"] {
        let answer = served.get(path).await;
        assert_eq!(answer.problem(), (401, "unauthorized".into()), "{path}");
        assert!(answer.has("www-authenticate: Bearer realm=\"adit\""), "{}", answer.head);
    }
    assert_eq!(served.get("/livez").await.status(), 200);
    assert_eq!(served.get("/readyz").await.json(), serde_json::json!({"ready": false}), "no names");
    let head = "GET /v1/status HTTP/1.1\r\nHost: adit.example\r\nAuthorization: Bearer s3cret\r\n";
    assert_eq!(served.ask(head, "").await.status(), 200);
}

#[tokio::test]
async fn a_unix_socket_serves_whatever_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let address = AdminAddress::Unix(dir.path().join("admin.sock"));
    let served = Served::start(&Admin { address, token_file: None }, Control::Willing);
    assert_eq!(served.ask("GET /v1/status HTTP/1.1\r\nHost: adit\r\n", "").await.status(), 200);
}

#[tokio::test]
async fn stop_lets_idle_connections_go_and_returns() {
    let mut served = Served::tcp(Control::Willing);
    let mut idle = TcpStream::connect(served.port()).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    idle.readable().await.unwrap(); // it is served: the connection is a task by now
    drop(served.stop.take());
    (&mut served.server).await.expect("serve returned");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("closed in order");
}

#[tokio::test]
async fn stop_does_not_wait_for_ever_for_a_request_under_way() {
    let mut served = Served::tcp(Control::Deaf);
    let mut stuck = TcpStream::connect(served.port()).await.unwrap();
    stuck.write_all(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(served.get("/livez").await.status(), 200, "the first request was taken before this one");
    drop(served.stop.take());
    (&mut served.server).await.expect("serve returned");
}
