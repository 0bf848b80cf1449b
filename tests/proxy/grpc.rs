//! gRPC as the data plane judges and bounds it: where the code of a call is, whose fault it is, and who is told what.

use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::domain::Timestamp;
use adit::domain::routing::{Connection, Protocol, Rescue};
use adit::domain::stats::{ArmCounts, ErrorReason, GrpcCode};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::endpoint::nobody;
use crate::frames::Speaker;
use crate::world::{Proxy, Web, eventually};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A proxy whose canary, with all the traffic, is this endpoint, and its clock.
fn canary(endpoint: &Speaker) -> (Proxy, std::sync::Arc<Manual>) {
    let mut web = Web::canary(&[nobody()], &[endpoint.address], 100.0);
    web.policy.connection = Connection { protocol: Protocol::Http2, ..Connection::default() };
    start(web)
}

fn start(web: Web) -> (Proxy, std::sync::Arc<Manual>) {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    (Proxy::start_with(web, 1, clock, Duration::from_secs(8)), hand)
}

async fn connect(proxy: &Proxy) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

/// Begins a call; its request ends with `last`, or stays open.
fn begin(
    sender: &mut SendRequest<Bytes>,
    fields: &[(&str, &str)],
    last: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::post("http://a/test.Echo/Unary").header("content-type", "application/grpc");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (response, mut stream) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::from_static(b"\0\0\0\0\0"), last).unwrap();
    (response, stream)
}

/// How a call ended.
#[derive(Debug)]
struct Ended {
    head: HeaderMap,
    body: usize,
    trailers: HeaderMap,
}

impl Ended {
    /// The code, and whether it came in the head.
    fn code(&self) -> (Option<&str>, bool) {
        fn of(fields: &HeaderMap) -> Option<&str> {
            fields.get("grpc-status").map(|code| code.to_str().unwrap())
        }
        of(&self.head).map_or_else(|| (of(&self.trailers), false), |code| (Some(code), true))
    }
}

async fn ended(response: ResponseFuture) -> Ended {
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200, "gRPC has its codes elsewhere");
    let (parts, mut stream) = response.into_parts();
    let mut body = 0;
    while let Some(data) = stream.data().await {
        let data = data.expect("what is cut is said in trailers");
        stream.flow_control().release_capacity(data.len()).unwrap();
        body += data.len();
    }
    let trailers = stream.trailers().await.unwrap().unwrap_or_default();
    Ended { head: parts.headers, body, trailers }
}

/// One call with these fields, to its end.
fn call(proxy: &Proxy, fields: &[(&str, &str)]) -> Ended {
    runtime().block_on(async {
        let mut sender = connect(proxy).await;
        ended(begin(&mut sender, fields, true).0).await
    })
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

/// Nothing but an end.
fn trailers_only(mut respond: SendResponse<Bytes>, code: &str) {
    let mut answer = head();
    answer.headers_mut().insert("grpc-status", code.parse().unwrap());
    respond.send_response(answer, true).unwrap();
}

/// A message, and an end in the trailers.
fn answer(mut respond: SendResponse<Bytes>, code: &str) {
    let mut stream = respond.send_response(head(), false).unwrap();
    stream.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), false).unwrap();
    stream
        .send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())]))
        .unwrap();
}

/// A message, and then nothing until the stream is reset; what it was reset with.
async fn hang(mut respond: SendResponse<Bytes>) -> h2::Reason {
    let mut stream = respond.send_response(head(), false).unwrap();
    stream.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), false).unwrap();
    std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap()
}

#[track_caller]
fn assert_canary(proxy: &Proxy, completed: u64, failed: u64) {
    eventually("the call ended", || proxy.in_flight() == 0);
    let counts = proxy.evidence().canary;
    assert_eq!(counts, ArmCounts { routed: counts.routed, completed, failed });
}

fn calls(proxy: &Proxy, version: usize, code: GrpcCode) -> u64 {
    let snapshot = proxy.shared.live.load();
    snapshot.services[0].versions[version].cells.sum(|cells| cells.grpc_calls(code).unwrap_or(0))
}

fn errors(proxy: &Proxy, reason: ErrorReason) -> u64 {
    proxy.shared.live.load().services[0].versions[1].cells.sum(|cells| cells.errors(reason))
}

#[test]
fn our_own_errors_are_answers_of_grpc() {
    let (proxy, _hand) = start(Web { policy: http2_policy(), ..Web::at(&[]) });
    let ended = call(&proxy, &[]);
    assert_eq!(ended.code(), (Some("14"), true));
    assert_eq!((ended.body, &ended.head["content-type"]), (0, &"application/grpc".parse().unwrap()));
    assert_eq!(ended.head["grpc-message"], "No endpoint of this service is ready.");
    assert_eq!(ended.head["proxy-status"], "adit; error=destination_unavailable");
    assert_eq!((proxy.ended(0, 200), calls(&proxy, 0, GrpcCode::Unavailable)), (1, 1));
}

fn http2_policy() -> adit::domain::routing::Policy {
    let mut web = Web::at(&[]);
    web.policy.connection = Connection { protocol: Protocol::Http2, ..Connection::default() };
    web.policy
}

#[test]
fn a_service_that_is_reached_in_http1_refuses_calls_even_from_clients_of_http1() {
    let proxy = Proxy::start(Web::at(&[]));
    let reply = proxy
        .ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((reply.status, reply.header("grpc-status")), (200, Some("12")), "{reply:?}");
    let words =
        "This service is reached in HTTP/1, which can't carry gRPC; its `connection.protocol` must be http2.";
    assert_eq!(reply.header("grpc-message"), Some(words));
}

#[test]
fn codes_that_clients_bring_about_are_no_failures_and_others_are() {
    let endpoint = Speaker::start(Builder::new(), |request, respond| async move {
        let code = request.headers()["x-code"].to_str().unwrap().to_owned();
        match request.headers().get("x-at-once") {
            Some(_) => trailers_only(respond, &code),
            None => answer(respond, &code),
        }
    });
    let (proxy, _hand) = canary(&endpoint);
    let (mut completed, mut failed) = (0, 0);
    for code in GrpcCode::ALL {
        let number = code.number().to_string();
        for fields in [&[("x-code", number.as_str())][..], &[("x-code", &number), ("x-at-once", "1")]] {
            let ended = call(&proxy, fields);
            assert_eq!(ended.code(), (Some(number.as_str()), fields.len() == 2));
            completed += 1;
            failed += u64::from(code.is_failure());
            assert_canary(&proxy, completed, failed);
        }
        assert_eq!(calls(&proxy, 1, code), 2, "{code:?}");
    }
    assert_eq!((proxy.ended(1, 200), errors(&proxy, ErrorReason::GrpcStatus)), (34, 10));
    // For ejection: 503 and 504 are the endpoint's, 500 is the release's.
    assert_eq!(proxy.endpoint_counts(1, 0), (34, 4));
}

#[test]
fn an_answer_without_a_code_is_a_failure_and_its_client_is_told() {
    let endpoint = Speaker::start(Builder::new(), |request, mut respond| async move {
        let empty = request.headers().contains_key("x-empty");
        let mut stream = respond.send_response(head(), empty).unwrap();
        if !empty {
            stream.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), true).unwrap();
        }
    });
    let (proxy, _hand) = canary(&endpoint);
    for fields in [&[][..], &[("x-empty", "1")]] {
        let ended = call(&proxy, fields);
        assert_eq!(ended.code(), (Some("2"), false));
        assert_eq!(ended.trailers["grpc-message"], "The endpoint's answer ended without grpc-status.");
    }
    assert_canary(&proxy, 2, 2);
    assert_eq!(errors(&proxy, ErrorReason::HttpResponseIncomplete), 2);
}

#[test]
fn a_stream_that_is_cut_is_a_failure_whoever_was_to_speak_next() {
    let endpoint = Speaker::start(Builder::new(), |_, mut respond| async move {
        let mut stream = respond.send_response(head(), false).unwrap();
        stream.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), false).unwrap();
        // Gone without a word, once the message is on its way.
        tokio::task::yield_now().await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let (proxy, _hand) = canary(&endpoint);
    runtime().block_on(async {
        let mut sender = connect(&proxy).await;
        for last in [true, false] {
            let (response, _open) = begin(&mut sender, &[], last);
            assert_eq!(ended(response).await.code().0, Some("14"), "{last}");
        }
    });
    eventually("both ended", || proxy.in_flight() == 0);
    let counts = proxy.evidence().canary;
    assert!(counts.failed >= 1 && counts.failed == counts.completed, "{counts:?}");
}

#[test]
fn an_endpoint_is_told_how_much_of_the_clients_time_is_left() {
    let endpoint = Speaker::start(Builder::new(), |_, respond| async { answer(respond, "0") });
    let (proxy, _hand) = canary(&endpoint);
    call(&proxy, &[("grpc-timeout", "5S")]);
    assert_eq!(endpoint.requests()[0].headers()["grpc-timeout"], "5000000u");
}

#[test]
fn a_deadline_that_is_none_is_refused_and_blames_nobody() {
    let endpoint = Speaker::start(Builder::new(), |_, respond| async { answer(respond, "13") });
    let (proxy, _hand) = canary(&endpoint);
    for bad in ["5", "S", "123456789S", "5s", "-5S"] {
        assert_eq!(call(&proxy, &[("grpc-timeout", bad)]).code(), (Some("13"), true), "{bad}");
    }
    assert_eq!(call(&proxy, &[("grpc-timeout", "5S"), ("grpc-timeout", "5S")]).code(), (Some("13"), true));
    assert_eq!((endpoint.requests().len(), proxy.evidence().canary.completed), (0, 0));
}

#[test]
fn when_the_clients_time_is_over_both_sides_are_told_and_nobody_is_blamed() {
    let (ended_at_endpoint, told) = std::sync::mpsc::sync_channel(100);
    let endpoint = Speaker::start(Builder::new(), move |request, mut respond| {
        let ended_at_endpoint = ended_at_endpoint.clone();
        async move {
            let reason = match request.headers().get("x-begin") {
                Some(_) => hang(respond).await,
                None => std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap(),
            };
            ended_at_endpoint.send(reason).unwrap();
        }
    });
    let (proxy, hand) = canary(&endpoint);
    for (number, fields) in
        [&[("grpc-timeout", "5S")][..], &[("grpc-timeout", "5S"), ("x-begin", "1")]].into_iter().enumerate()
    {
        runtime().block_on(async {
            let mut sender = connect(&proxy).await;
            let (response, _stream) = begin(&mut sender, fields, true);
            let asked = async {
                let clock = Clock::real();
                let began = clock.now();
                while endpoint.requests().len() == number {
                    assert!(clock.now() - began < crate::world::PATIENCE, "it never reached the endpoint");
                    tokio::task::yield_now().await;
                }
                hand.advance(Duration::from_secs(5));
            };
            let (ended, ()) = tokio::join!(ended(response), asked);
            assert_eq!(ended.code().0, Some("4"), "{ended:?}");
        });
        assert_eq!(told.recv_timeout(crate::world::PATIENCE).unwrap(), h2::Reason::CANCEL);
    }
    assert_canary(&proxy, 0, 0);
    assert_eq!((proxy.endpoint_counts(1, 0), calls(&proxy, 1, GrpcCode::DeadlineExceeded)), ((0, 0), 2));
}

#[test]
fn an_endpoint_that_gives_up_because_of_the_clients_deadline_is_not_blamed() {
    let endpoint = Speaker::start(Builder::new(), |request, respond| async move {
        answer(respond, request.headers()["x-code"].to_str().unwrap());
    });
    let (proxy, _hand) = canary(&endpoint);
    // A millisecond is over from its beginning, whatever it makes of it; of five seconds all is left.
    call(&proxy, &[("x-code", "4"), ("grpc-timeout", "5S")]);
    call(&proxy, &[("x-code", "4"), ("grpc-timeout", "1m")]);
    call(&proxy, &[("x-code", "13"), ("grpc-timeout", "1m")]);
    assert_canary(&proxy, 0, 0);
    call(&proxy, &[("x-code", "13"), ("grpc-timeout", "5S")]);
    assert_canary(&proxy, 1, 1);
    call(&proxy, &[("x-code", "4")]);
    assert_canary(&proxy, 2, 2);
}

#[test]
fn a_call_that_the_canary_refuses_at_once_is_rescued_where_calls_may_be_repeated() {
    let canary = Speaker::start(Builder::new(), |_, respond| async { trailers_only(respond, "14") });
    let stable = Speaker::start(Builder::new(), |_, respond| async { answer(respond, "0") });
    let mut web = Web::canary(&[stable.address], &[canary.address], 100.0);
    web.policy.connection = Connection { protocol: Protocol::Http2, ..Connection::default() };
    web.policy.rescue = Rescue { methods: vec![Method::POST], ..Rescue::default() };
    let (proxy, _hand) = start(web);
    assert_eq!(call(&proxy, &[]).code(), (Some("0"), false));
    assert_canary(&proxy, 1, 1);
    assert_eq!(proxy.shared.live.load().services[0].versions[1].cells.sum(|cells| cells.rescues.get()), 1);
}

/// A call with an open request whose endpoint sends a message each time it is told to.
#[test]
fn a_stream_may_be_silent_for_five_minutes_and_as_long_as_the_other_side_talks() {
    let (speak, lines) = tokio::sync::watch::channel(0);
    let endpoint = Speaker::start(Builder::new(), move |_request, mut respond| {
        let mut lines = lines.clone();
        async move {
            let mut stream = respond.send_response(head(), false).unwrap();
            while lines.changed().await.is_ok() {
                if stream.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), false).is_err() {
                    return;
                }
            }
        }
    });
    let (proxy, hand) = canary(&endpoint);
    runtime().block_on(async {
        let mut sender = connect(&proxy).await;
        let (response, _open) = begin(&mut sender, &[], false);
        let mut stream = response.await.unwrap().into_body();
        for line in 1..5 {
            // The client says nothing all the time.
            hand.advance(Duration::from_secs(200));
            tokio::task::yield_now().await;
            speak.send(line).unwrap();
            let data = stream.data().await.unwrap().unwrap();
            stream.flow_control().release_capacity(data.len()).unwrap();
        }
        hand.advance(Duration::from_secs(301));
        assert!(stream.data().await.is_none());
        let trailers = stream.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "14", "{trailers:?}");
    });
    assert_canary(&proxy, 0, 0);
    assert_eq!(proxy.endpoint_counts(1, 0), (0, 0));
}

#[test]
fn a_call_that_its_client_cancels_is_cancelled_at_the_endpoint() {
    let (ended_at_endpoint, told) = std::sync::mpsc::sync_channel(100);
    let endpoint = Speaker::start(Builder::new(), move |_: Request<RecvStream>, respond| {
        let ended_at_endpoint = ended_at_endpoint.clone();
        async move { ended_at_endpoint.send(hang(respond).await).unwrap() }
    });
    let (proxy, _hand) = canary(&endpoint);
    runtime().block_on(async {
        let mut sender = connect(&proxy).await;
        let (response, mut stream) = begin(&mut sender, &[], false);
        let _answer = response.await.unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        while proxy.in_flight() != 0 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(told.recv_timeout(crate::world::PATIENCE).unwrap(), h2::Reason::CANCEL);
    assert_canary(&proxy, 0, 0);
    assert_eq!((proxy.ended(1, 499), calls(&proxy, 1, GrpcCode::Cancelled)), (1, 1));
}
