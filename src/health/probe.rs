//! One check of one endpoint: a connection of its own, one request, one answer.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::state::{ProbeError, ProbeResult};
use crate::clock::Clock;
use crate::config::spec::HealthSpec;
use crate::domain::proxy_protocol::{ProxyHeader, ProxyProtocol};

/// Who asks, in the endpoint's log.
const AGENT: &str = concat!("adit-health/", env!("CARGO_PKG_VERSION"));
/// Enough of an answer's body: who sends more is fit.
const BODY: usize = 64 * 1024;
/// More of an answer's head than this is an error. hyper asks for 8 KiB at least.
const HEAD: usize = 64 * 1024;
/// What is shown of a redirect's goal.
const SHOWN: usize = 120;
/// "Too many open files", in the system and in the process: the same numbers on Linux, macOS and the BSDs.
const OUT_OF_FILES: [i32; 2] = [23, 24];

/// What to check, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// Where to connect.
    pub address: SocketAddr,
    /// What the request's Host field says.
    pub host: String,
    /// Path, timeout and pace.
    pub spec: HealthSpec,
    /// In which form it wants to hear whom a connection is for.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Checks once. Takes at most the plan's timeout, in real time: it bounds real I/O.
pub(super) async fn check(plan: ProbePlan, clock: Clock) -> ProbeResult {
    let limit = plan.spec.timeout;
    let began = clock.now();
    match timeout(limit, ask(&plan)).await {
        Ok(Ok(status)) => ProbeResult::Passed { status, took: clock.now() - began },
        Ok(Err(error)) => ProbeResult::Failed(error),
        Err(_elapsed) => ProbeResult::Failed(ProbeError::TimedOut(limit)),
    }
}

/// The status of a good answer; `None` when a connection was enough.
async fn ask(plan: &ProbePlan) -> Result<Option<u16>, ProbeError> {
    let Some(path) = &plan.spec.path else {
        connect(plan).await?;
        return Ok(None);
    };
    let request = request(path, &plan.host)?;
    let stream = connect(plan).await?;
    let status = exchange(stream, request).await?;
    Ok(Some(status.as_u16()))
}

async fn connect(plan: &ProbePlan) -> Result<TcpStream, ProbeError> {
    let mut stream = TcpStream::connect(plan.address).await.map_err(no_connection)?;
    // On loopback the system may give us the very port that we connect to: then we talk to ourselves (RFC 9293
    // section 3.5, simultaneous open), and nobody listens there.
    match stream.local_addr() {
        Ok(own) if own == plan.address => return Err(ProbeError::Refused),
        Ok(_) | Err(_) => {}
    }
    if let Some(version) = plan.proxy_protocol {
        let header = ProxyHeader::Own.write(version);
        stream.write_all(&header).await.map_err(|_| ProbeError::Closed)?;
    }
    Ok(stream)
}

fn request(path: &str, host: &str) -> Result<Request<Empty<Bytes>>, ProbeError> {
    Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| ProbeError::Unsendable(error.to_string()))
}

async fn exchange(stream: TcpStream, request: Request<Empty<Bytes>>) -> Result<StatusCode, ProbeError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(broken)?;
        judge(response.status(), response.headers())?;
        let status = response.status();
        drain(response.into_body()).await?;
        Ok(status)
    });
    tokio::select! {
        answer = &mut answer => answer,
        // What the connection had to say, an error included, is waiting in the answer.
        _ended = &mut connection => answer.await,
    }
}

fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), ProbeError> {
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        let to = headers.get(LOCATION).map(HeaderValue::to_str).and_then(Result::ok);
        let to = to.map(|to| to.chars().take(SHOWN).collect());
        return Err(ProbeError::Redirect { status: status.as_u16(), to });
    }
    Err(ProbeError::Status(status.as_u16()))
}

/// Reads the body, so that the endpoint sees its answer taken; a 200 that breaks midway is a failure.
async fn drain(mut body: Incoming) -> Result<(), ProbeError> {
    let mut read = 0;
    while read < BODY {
        let Some(frame) = body.frame().await else { break };
        read += frame.map_err(broken)?.data_ref().map_or(0, Bytes::len);
    }
    Ok(())
}

fn no_connection(error: io::Error) -> ProbeError {
    let ours = error.raw_os_error().is_some_and(|code| OUT_OF_FILES.contains(&code))
        || matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory);
    match error.kind() {
        _ if ours => ProbeError::Ours(error.to_string()),
        io::ErrorKind::ConnectionRefused => ProbeError::Refused,
        _ => ProbeError::Connect(error.to_string()),
    }
}

fn broken(error: hyper::Error) -> ProbeError {
    if error.is_parse() || error.is_parse_too_large() {
        return ProbeError::NotHttp(error.to_string());
    }
    if error.is_user() {
        return ProbeError::Unsendable(error.to_string());
    }
    ProbeError::Closed
}
