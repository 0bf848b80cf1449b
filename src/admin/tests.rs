//! The API over real sockets, with a control that plays its part.

mod doors;
mod journal;

use std::net::SocketAddr;
use std::path::Path;

use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::{bind, serve};
use crate::config::spec::{Admin, AdminAddress};
use crate::control::report::{EndpointStatus, ServiceStatus, Status, VersionStatus};
use crate::control::{
    By, Command, CommandError, DeployError, DeployOrder, Handle, Message, ReloadError, Reloaded, Store, Verb,
};
use crate::domain::{ServiceName, Weight};

/// What the control of a test does.
#[derive(Clone, Copy, PartialEq)]
enum Control {
    Willing,
    Refusing,
    NotReady,
    Deaf,
    Gone,
}

/// An admin API that is served while this lives.
struct Served {
    address: AdminAddress,
    commands: mpsc::Receiver<Command>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    _control: JoinSet<()>,
    store: Store,
    _dir: TempDir,
}

struct Answer {
    head: String,
    body: String,
}

impl Served {
    fn start(admin: &Admin, control: Control) -> Self {
        let bound = bind(admin).expect("the address is free");
        let address = bound.address().clone();
        let (handle, mut inbox, mut reloads) = Handle::new();
        let (seen, commands) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        if control != Control::Gone {
            tasks.spawn(async move {
                while let Some(message) = inbox.recv().await {
                    if control == Control::Deaf {
                        std::future::pending::<()>().await;
                    }
                    match message {
                        Message::Status(reply) => drop(reply.send(status(control))),
                        Message::Command(command, reply) => {
                            let answer = obey(control, &command);
                            seen.send(command).await.expect("the test listens");
                            drop(reply.send(answer));
                        }
                        Message::Deploy(service, by, order, reply) => {
                            drop(reply.send(deployed(control, &service, &by, &order)));
                        }
                        Message::Hold(order, reply) => {
                            assert_eq!((order.service.as_str(), order.by.who.as_str()), ("web", "api"));
                            drop(reply.send(Ok(web(control))));
                        }
                        Message::Drain(order, reply) => {
                            drop(reply.send(Err(CommandError::UnknownEndpoint(order.endpoint))));
                        }
                        Message::Desired(..) | Message::Sighted(_) => {
                            unreachable!("the API never says what is wanted");
                        }
                    }
                }
            });
            tasks.spawn(async move {
                while let Some(request) = reloads.recv().await {
                    drop(request.reply.send(match control {
                        Control::Refusing => Err(ReloadError::Invalid("adit.toml:3:1: unknown key".into())),
                        Control::NotReady => Err(ReloadError::Refused("workers needs a restart".into())),
                        Control::Willing | Control::Deaf | Control::Gone => {
                            Ok(Reloaded { generation: 8, problems: Vec::new() })
                        }
                    }));
                }
            });
        }
        let (stop, stopped) = oneshot::channel();
        let dir = tempdir().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("a store");
        let journal = store.journal().expect("a journal");
        let server = tokio::spawn(serve(bound, handle, journal, crate::telemetry::Metrics::new(), async {
            drop(stopped.await)
        }));
        Self { address, commands, stop: Some(stop), server, _control: tasks, store, _dir: dir }
    }

    fn tcp(control: Control) -> Self {
        Self::start(&admin("127.0.0.1:0", None), control)
    }

    fn port(&self) -> SocketAddr {
        match &self.address {
            AdminAddress::Tcp(address) => *address,
            AdminAddress::Unix(path) => panic!("unix:{}", path.display()),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"), "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(&format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n"), body).await
    }

    /// `head` without what ends the connection and frames the body.
    async fn ask(&self, head: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        match &self.address {
            AdminAddress::Tcp(address) => {
                exchange(TcpStream::connect(address).await.expect("served"), &request).await
            }
            AdminAddress::Unix(path) => {
                exchange(UnixStream::connect(path).await.expect("served"), &request).await
            }
        }
    }
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
    }

    fn has(&self, field: &str) -> bool {
        self.head.lines().any(|line| line.eq_ignore_ascii_case(field))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Status and code of a problem; panics when it is none.
    fn problem(&self) -> (u16, String) {
        assert!(self.has("content-type: application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], self.status());
        assert!(!problem["title"].as_str().unwrap_or_default().is_empty(), "{problem}");
        assert!(!problem["detail"].as_str().unwrap_or_default().is_empty(), "{problem}");
        assert!(problem["type"].as_str().unwrap_or_default().starts_with("urn:adit:problem:"), "{problem}");
        (self.status(), problem["code"].as_str().unwrap_or_default().to_owned())
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.expect("the request is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    Answer { head: head.to_owned(), body: body.to_owned() }
}

fn admin(address: &str, token_file: Option<&Path>) -> Admin {
    let address = AdminAddress::Tcp(address.parse().expect("an address"));
    Admin { address, token_file: token_file.map(Path::to_owned) }
}

fn obey(control: Control, command: &Command) -> Result<ServiceStatus, CommandError> {
    if command.service.as_str() != "web" {
        return Err(CommandError::UnknownService("web".into()));
    }
    match (control, &command.verb) {
        (Control::Refusing, Verb::Abort) => Err(CommandError::NotSaved("the disk is full".into())),
        (Control::Refusing, _) => Err(CommandError::Conflict("no rollout is under way".into())),
        (_, _) => Ok(web(control)),
    }
}

fn deployed(
    control: Control,
    service: &ServiceName,
    by: &By,
    order: &DeployOrder,
) -> Result<ServiceStatus, DeployError> {
    if service.as_str() != "web" {
        return Err(CommandError::UnknownService("web".into()).into());
    }
    match order.version.as_str() {
        "" => Err(DeployError::Invalid("`version` is missing".into())),
        "v3" => Err(CommandError::Conflict(format!("not now, {}", by.who)).into()),
        _ => Ok(web(control)),
    }
}

fn status(control: Control) -> Status {
    Status {
        adit: "0.1.0".into(),
        started: "2024-05-01T10:00:00.000Z".into(),
        generation: 7,
        listeners: vec!["127.0.0.1:8080".into()],
        certificates: Vec::new(),
        ready: control != Control::NotReady,
        problems: Vec::new(),
        notes: Vec::new(),
        docker: None,
        services: vec![web(control)],
    }
}

fn web(control: Control) -> ServiceStatus {
    let endpoint = EndpointStatus {
        endpoint: "127.0.0.1:9001".into(),
        address: Some("127.0.0.1:9001".into()),
        container: None,
        state: if control == Control::NotReady { "down" } else { "ready" }.into(),
        reason: String::new(),
        last_check: None,
        last_check_at: None,
        streak: 1,
        in_flight: 0,
    };
    let version = VersionStatus {
        name: "v1".into(),
        role: "stable".into(),
        image: None,
        digest: None,
        revision: None,
        created: None,
        source: None,
        image_id: None,
        weight: Weight::FULL,
        requests: 0,
        failures: 0,
        rescued: 0,
        endpoints: vec![endpoint],
    };
    ServiceStatus {
        name: "web".into(),
        stable: Some("v1".into()),
        canary: None,
        phase: "idle".into(),
        held: None,
        rollout: None,
        deploy: None,
        versions: vec![version],
    }
}

#[tokio::test]
async fn status_says_what_control_says() {
    let answer = Served::tcp(Control::Willing).get("/v1/status").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(serde_json::from_str::<Status>(&answer.body).unwrap(), status(Control::Willing));
    assert!(answer.has("content-type: application/json") && answer.has("cache-control: no-store"));
}

#[tokio::test]
async fn a_deploy_is_passed_on_and_its_answer_too() {
    let served = Served::tcp(Control::Willing);
    let path = "/v1/services/web/deploy";
    let order =
        r#"{"version":"v2","endpoints":["a:1"],"image":"web:2","revision":"4f2a","why":"w","replace":true}"#;
    let done: ServiceStatus = serde_json::from_str(&served.post(path, order).await.body).expect("a service");
    assert_eq!(done, web(Control::Willing));
    for (body, expected) in [
        ("", (400, "bad_request")),
        (r#"{"version":"v2","endpoint":"a:1"}"#, (400, "bad_request")),
        (r#"{"version":"v2","endpoints":"a:1"}"#, (400, "bad_request")),
        (r#"{"version":"v3"}"#, (409, "conflict")),
    ] {
        assert_eq!(served.post(path, body).await.problem(), (expected.0, expected.1.into()), "{body}");
    }
    let unknown = served.post("/v1/services/shop/deploy", order).await;
    assert_eq!(unknown.problem(), (404, "unknown_service".into()));
}

#[tokio::test]
async fn a_service_is_found_by_its_name() {
    let served = Served::tcp(Control::Willing);
    let found: ServiceStatus =
        serde_json::from_str(&served.get("/v1/services/web").await.body).expect("a service");
    assert_eq!(found, web(Control::Willing));
}

#[tokio::test]
async fn an_unknown_service_is_answered_with_the_known_ones() {
    let served = Served::tcp(Control::Willing);
    for answer in [served.get("/v1/services/shop").await, served.post("/v1/services/shop/abort", "").await] {
        assert_eq!(answer.problem(), (404, "unknown_service".into()));
        assert_eq!(answer.json()["detail"], "there is no service `shop`; known: web");
    }
}

#[tokio::test]
async fn each_verb_becomes_its_command() {
    let mut served = Served::tcp(Control::Willing);
    for (path, body, verb) in [
        ("promote", "", Verb::Promote),
        ("promote", r#"{"full": true}"#, Verb::PromoteFull),
        ("abort", "{}", Verb::Abort),
        ("pause", " \n", Verb::Pause),
        ("resume", "", Verb::Resume),
        ("weight", r#"{"weight": 0.5}"#, Verb::SetWeight(Weight::from_percent(0.5).unwrap())),
        ("retry", "", Verb::Retry(None)),
        ("retry", r#"{"version": "v2"}"#, Verb::Retry(Some("v2".into()))),
        ("undo", "", Verb::Undo(None)),
        ("undo", r#"{"to": "v1"}"#, Verb::Undo(Some("v1".into()))),
    ] {
        let answer = served.post(&format!("/v1/services/web/{path}"), body).await;
        assert_eq!(answer.status(), 200, "{path} {body}: {}", answer.body);
        let command = served.commands.recv().await.expect("control saw it");
        assert_eq!(command, Command { service: "web".into(), verb, who: "api".into(), why: None });
    }
}

#[tokio::test]
async fn a_command_carries_who_and_why() {
    let mut served = Served::tcp(Control::Willing);
    let head = "POST /v1/services/web/abort HTTP/1.1\r\nHost: localhost\r\nX-Adit-Who: jane@desk\r\n";
    served.ask(head, r#"{"why": "too slow"}"#).await;
    let command = served.commands.recv().await.expect("control saw it");
    assert_eq!((command.who.as_str(), command.why.as_deref()), ("jane@desk", Some("too slow")));
}

#[tokio::test]
async fn what_a_body_may_not_say_is_refused() {
    let served = Served::tcp(Control::Willing);
    for (path, body) in [
        ("abort", r#"{"full": true}"#),
        ("promote", r#"{"ful": true}"#),
        ("promote", "full"),
        ("weight", ""),
        ("weight", r#"{"weight": 101}"#),
        ("weight", r#"{"weight": "lots"}"#),
    ] {
        let answer = served.post(&format!("/v1/services/web/{path}"), body).await;
        assert_eq!(answer.problem(), (400, "bad_request".into()), "{path} {body}");
    }
}

#[tokio::test]
async fn a_who_that_can_not_be_written_down_is_refused() {
    let served = Served::tcp(Control::Willing);
    for who in ["j\u{e4}ne", "", &"x".repeat(257)] {
        let head =
            format!("POST /v1/services/web/abort HTTP/1.1\r\nHost: localhost\r\nX-Adit-Who: {who}\r\n");
        assert_eq!(served.ask(&head, "").await.problem(), (400, "bad_request".into()), "{who}");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let body = format!(r#"{{"why": "{}"}}"#, "x".repeat(64 * 1024));
    let answer = Served::tcp(Control::Willing).post("/v1/services/web/abort", &body).await;
    assert_eq!(answer.problem(), (413, "too_large".into()));
}

#[tokio::test]
async fn what_control_refuses_has_its_own_code() {
    let served = Served::tcp(Control::Refusing);
    for (path, expected) in [("promote", (409, "conflict")), ("abort", (500, "not_saved"))] {
        let (status, code) = served.post(&format!("/v1/services/web/{path}"), "").await.problem();
        assert_eq!((status, code.as_str()), expected);
    }
}

#[tokio::test]
async fn a_reload_answers_with_the_generation_that_has_it() {
    let answer = Served::tcp(Control::Willing).post("/v1/reload", "").await;
    assert_eq!((answer.status(), answer.json()), (200, serde_json::json!({"generation": 8, "problems": []})));
}

#[tokio::test]
async fn a_reload_of_a_bad_config_answers_with_all_that_is_wrong() {
    let answer = Served::tcp(Control::Refusing).post("/v1/reload", "").await;
    assert_eq!(answer.problem(), (422, "invalid_config".into()));
    assert_eq!(answer.json()["detail"], "adit.toml:3:1: unknown key");
}

#[tokio::test]
async fn a_reload_that_asks_for_too_much_is_refused() {
    let answer = Served::tcp(Control::NotReady).post("/v1/reload", "").await;
    assert_eq!(answer.problem(), (409, "refused".into()));
}

#[tokio::test]
async fn readiness_is_503_until_every_service_is_ready() {
    let ready = Served::tcp(Control::Willing).get("/readyz").await;
    assert_eq!((ready.status(), ready.json()), (200, serde_json::json!({"ready": true})));
    let waiting = Served::tcp(Control::NotReady).get("/readyz").await;
    let expected = serde_json::json!({"ready": false, "waiting_for": ["web"]});
    assert_eq!((waiting.status(), waiting.json()), (503, expected));
}

#[tokio::test]
async fn without_control_it_is_alive_but_nothing_else() {
    let served = Served::tcp(Control::Gone);
    assert_eq!(served.get("/livez").await.status(), 200);
    for path in ["/readyz", "/v1/status", "/v1/services/web"] {
        assert_eq!(served.get(path).await.problem(), (503, "stopping".into()), "{path}");
    }
    for path in ["/v1/services/web/abort", "/v1/reload"] {
        assert_eq!(served.post(path, "").await.problem(), (503, "stopping".into()), "{path}");
    }
}
