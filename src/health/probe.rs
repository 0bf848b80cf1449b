//! One check of one endpoint: a connection of its own, one request, one answer, spoken as requests are.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::state::{ProbeError, ProbeResult};
use super::{grpc, http1, http2};
use crate::clock::Clock;
use crate::config::spec::HealthSpec;
use crate::domain::proxy_protocol::ProxyHeader;
use crate::domain::routing::{Connection, Protocol};
use crate::tls::outgoing::{Fault, Outgoing};

/// Who asks, in the endpoint's log.
pub(super) const AGENT: &str = concat!("adit-health/", env!("CARGO_PKG_VERSION"));
/// Enough of an answer's body: who sends more is fit.
pub(super) const BODY: usize = 64 * 1024;
/// "Too many open files", in the system and in the process: the same numbers on Linux, macOS and the BSDs.
const OUT_OF_FILES: [i32; 2] = [23, 24];

/// What to check, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// Where to connect.
    pub address: SocketAddr,
    /// What the request's Host field says: the endpoint as it was declared.
    pub host: String,
    /// How it is spoken to.
    pub connection: Connection,
    /// Path, timeout and pace.
    pub spec: HealthSpec,
}

/// How the endpoint is spoken to, with what is made of it once and not for every check.
#[derive(Clone, Debug)]
pub(super) struct Speech {
    connection: Connection,
    tls: Option<Result<Outgoing, String>>,
}

impl Speech {
    pub(super) fn new(connection: &Connection) -> Self {
        let tls = connection.tls.as_ref().map(|tls| Outgoing::new(tls, connection.protocol));
        Self { connection: connection.clone(), tls }
    }

    /// Whether it is what a plan wants.
    pub(super) fn is_for(&self, plan: &ProbePlan) -> bool {
        self.connection == plan.connection
    }
}

/// Checks once. Takes at most the plan's timeout, in real time: it bounds real I/O.
pub(super) async fn check(plan: ProbePlan, speech: Speech, clock: Clock) -> ProbeResult {
    let limit = plan.spec.timeout;
    let began = clock.now();
    match timeout(limit, Box::pin(ask(&plan, &speech))).await {
        Ok(Ok(status)) => ProbeResult::Passed { status, took: clock.now() - began },
        Ok(Err(error)) => ProbeResult::Failed(error),
        Err(_elapsed) => ProbeResult::Failed(ProbeError::TimedOut(limit)),
    }
}

/// The status of a good answer; `None` when a connection was enough.
async fn ask(plan: &ProbePlan, speech: &Speech) -> Result<Option<u16>, ProbeError> {
    let Some(tls) = &speech.tls else {
        let request = Request::new(plan, plan.connection.protocol)?;
        return request.ask(connect(plan).await?).await;
    };
    let tls = tls.as_ref().map_err(|why| ProbeError::Ours(why.clone()))?;
    let name = tls.name_of(&plan.host).map_err(ProbeError::Unsendable)?;
    let stream = connect(plan).await?;
    let connected = tls.connect(stream, name, plan.connection.protocol).await;
    let (stream, spoken) = connected.map_err(|error| match Fault::of(&error) {
        Some(fault) => ProbeError::Tls(fault.to_string()),
        None => ProbeError::Tls(format!("the endpoint ended the connection ({error})")),
    })?;
    Box::pin(Request::new(plan, spoken)?.ask(stream)).await
}

async fn connect(plan: &ProbePlan) -> Result<TcpStream, ProbeError> {
    let mut stream = TcpStream::connect(plan.address).await.map_err(no_connection)?;
    // An error here means that the connection is gone already; asking will tell.
    let _nodelay = stream.set_nodelay(true);
    // On loopback the system may give us the very port that we connect to: then we talk to ourselves (RFC 9293
    // section 3.5, simultaneous open), and nobody listens there.
    match stream.local_addr() {
        Ok(own) if own == plan.address => return Err(ProbeError::Refused),
        Ok(_) | Err(_) => {}
    }
    if let Some(version) = plan.connection.proxy_protocol {
        let header = ProxyHeader::Own.write(version);
        stream.write_all(&header).await.map_err(|_| ProbeError::Closed)?;
    }
    Ok(stream)
}

/// What is asked on a connection.
enum Request {
    /// Nothing: that there is one is enough.
    Nothing,
    Http1(http1::Request),
    Http2(http2::Request),
    Grpc(http2::Request),
}

impl Request {
    /// `spoken`: the version of HTTP that was agreed on, never [`Protocol::Auto`].
    fn new(plan: &ProbePlan, spoken: Protocol) -> Result<Self, ProbeError> {
        let scheme = if plan.connection.tls.is_some() { "https" } else { "http" };
        match (&plan.spec.grpc, &plan.spec.path, spoken) {
            (Some(_), _, Protocol::Http1) => {
                Err(ProbeError::Tls("the endpoint chose HTTP/1.1, and gRPC needs HTTP/2".to_owned()))
            }
            (Some(service), _, _) => {
                grpc::request(scheme, &plan.host, service, plan.spec.timeout).map(Self::Grpc)
            }
            (None, None, _) => Ok(Self::Nothing),
            (None, Some(path), Protocol::Http1) => http1::request(path, &plan.host).map(Self::Http1),
            (None, Some(path), _) => http2::request(scheme, &plan.host, path).map(Self::Http2),
        }
    }

    async fn ask<S>(self, stream: S) -> Result<Option<u16>, ProbeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let status = match self {
            Self::Nothing => return Ok(None),
            Self::Http1(request) => http1::exchange(stream, request).await?,
            Self::Http2(request) => http2::exchange(stream, request).await?.judged()?,
            Self::Grpc(request) => grpc::judge(&http2::exchange(stream, request).await?)?,
        };
        Ok(Some(status.as_u16()))
    }
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
