//! Whose fault it is when an exchange fails. Only an endpoint's fault is ever judged.

use std::fmt;
use std::io;

use http::StatusCode;

use crate::domain::stats::ErrorReason;

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Client,
    Endpoint,
    Proxy,
}

/// Why an attempt on an endpoint gave no answer, or half of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptError {
    /// The version has no endpoint that may be tried.
    NoEndpoint,
    /// Our own lack: no file descriptor, no port, no memory for a connection.
    NoSocket,
    /// Nobody listens at the address, or there is no way to it.
    Refused,
    /// No connection in time.
    ConnectTimeout,
    /// The endpoint's certificate is not one that we trust, or not its own; or it does not take ours.
    TlsCertificate,
    /// No TLS connection came about.
    TlsProtocol,
    /// The connection ended before any byte of an answer.
    Terminated,
    /// It wants nothing to do with this request, and goes on serving others on the same connection.
    Reset,
    /// All streams of all connections to it are in use, and none became free in time. That says how much was asked, not
    /// how well the endpoint does.
    Busy,
    /// It closed the connection because of how we behave, which is how clients make us behave.
    Scolded,
    /// No response headers in time.
    ResponseTimeout,
    /// What is behind the endpoint ended, was frozen or taken away before it could answer what may be answered elsewhere, and
    /// nobody else could.
    Lost,
    /// The same, and there was nobody else who may answer: no response headers in time. An operator's doing more often than
    /// not, so no version's failure; one that dies by itself shows that by its connections.
    Frozen,
    /// What came is not HTTP, or not an answer to this request.
    Malformed,
    /// It agreed to another protocol than the one that was asked for.
    UpgradeFailed,
    /// The answer broke off, or stood still for too long.
    Incomplete,
    /// The answer stood still for too long.
    Stalled,
    /// The answer to a gRPC call ended without a word on how the call did.
    Codeless,
    /// The client's body could not be passed on.
    Client(ClientFault),
}

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFault {
    /// What it asks can't be said to this endpoint.
    Unsayable,
    /// Its body breaks the rules of the protocol, or broke off.
    BrokenBody,
    /// Its body is larger than its service takes.
    BodyTooLarge,
    /// Its trailers are too large.
    TrailersTooLarge,
    /// It sent nothing, or too little, for too long in the middle of a body.
    Stalled,
    /// The endpoint did not wait any longer for the rest of its body. Whether that is the endpoint's failure can't be
    /// known, and clients must not be able to make it look like one.
    Outwaited,
}

impl AttemptError {
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::NoSocket | Self::Busy | Self::Scolded | Self::Lost | Self::Frozen => Fault::Proxy,
            Self::Client(_) => Fault::Client,
            Self::NoEndpoint
            | Self::Refused
            | Self::ConnectTimeout
            | Self::TlsCertificate
            | Self::TlsProtocol
            | Self::Terminated
            | Self::Reset
            | Self::ResponseTimeout
            | Self::Malformed
            | Self::UpgradeFailed
            | Self::Incomplete
            | Self::Stalled
            | Self::Codeless => Fault::Endpoint,
        }
    }

    /// Whether it says something of the host. A reset of one request, like a 500, may be an answer to what is in it: as that
    /// it is judged, but clients must not be able to have an endpoint ejected.
    pub(crate) fn is_of_host(self) -> bool {
        self.fault() == Fault::Endpoint && self != Self::Reset
    }

    pub(crate) fn reason(self) -> ErrorReason {
        match self {
            Self::NoEndpoint | Self::Lost => ErrorReason::DestinationUnavailable,
            Self::NoSocket => ErrorReason::ProxyInternalError,
            Self::Refused => ErrorReason::ConnectionRefused,
            Self::ConnectTimeout => ErrorReason::ConnectionTimeout,
            Self::TlsCertificate => ErrorReason::TlsCertificateError,
            Self::TlsProtocol => ErrorReason::TlsProtocolError,
            Self::Terminated | Self::Reset => ErrorReason::ConnectionTerminated,
            Self::Busy => ErrorReason::ConnectionLimitReached,
            Self::Scolded => ErrorReason::ConnectionTerminated,
            Self::ResponseTimeout | Self::Frozen => ErrorReason::HttpResponseTimeout,
            Self::Malformed => ErrorReason::HttpProtocolError,
            Self::UpgradeFailed => ErrorReason::HttpUpgradeFailed,
            Self::Incomplete | Self::Stalled | Self::Codeless => ErrorReason::HttpResponseIncomplete,
            Self::Client(_) => ErrorReason::HttpRequestError,
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoEndpoint | Self::NoSocket | Self::Busy | Self::Lost => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused
            | Self::TlsCertificate
            | Self::TlsProtocol
            | Self::Terminated
            | Self::Reset
            | Self::Scolded
            | Self::Malformed
            | Self::UpgradeFailed
            | Self::Incomplete
            | Self::Stalled
            | Self::Codeless => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::ResponseTimeout | Self::Frozen => StatusCode::GATEWAY_TIMEOUT,
            Self::Client(ClientFault::Unsayable | ClientFault::BrokenBody) => StatusCode::BAD_REQUEST,
            Self::Client(ClientFault::BodyTooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Client(ClientFault::TrailersTooLarge) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Client(ClientFault::Stalled) => StatusCode::REQUEST_TIMEOUT,
            Self::Client(ClientFault::Outwaited) => StatusCode::BAD_GATEWAY,
        }
    }

    /// What becomes of a failed `connect`.
    pub(crate) fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::ConnectTimeout,
            _ if is_our_lack(error) => Self::NoSocket,
            _ => Self::Refused,
        }
    }
}

/// Whether the machine, not the other side, is what's missing: EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL.
pub(crate) fn is_our_lack(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOMEM: i32 = 12;
    const ENOBUFS: i32 = 105;
    const EADDRNOTAVAIL: i32 = 99;
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOMEM | ENOBUFS | EADDRNOTAVAIL))
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEndpoint => "No endpoint of this service is ready.",
            Self::NoSocket => "The proxy has no resources left for a connection.",
            Self::Refused => "The endpoint could not be connected to.",
            Self::ConnectTimeout => "The endpoint did not accept the connection in time.",
            Self::TlsCertificate => "The endpoint could not be trusted: its certificate is not good for it.",
            Self::TlsProtocol => "No TLS connection to the endpoint came about.",
            Self::Terminated => "The endpoint closed the connection without an answer.",
            Self::Reset => "The endpoint broke the request off without an answer.",
            Self::Busy => "The endpoint has too many requests under way.",
            Self::Scolded => "The endpoint closed the connection: too much was asked of it.",
            Self::ResponseTimeout => "The endpoint did not answer in time.",
            Self::Lost => "The endpoint stopped before it could answer.",
            Self::Frozen => "The endpoint stopped before it could answer, and did not go on in time.",
            Self::Malformed => "The endpoint's answer is not valid HTTP.",
            Self::UpgradeFailed => "The endpoint agreed to another protocol than the one asked for.",
            Self::Incomplete => "The endpoint's answer broke off.",
            Self::Stalled => "The endpoint's answer stood still for too long.",
            Self::Codeless => "The endpoint's answer ended without grpc-status.",
            Self::Client(ClientFault::Unsayable) => "The request can't be passed on in HTTP/2.",
            Self::Client(ClientFault::BrokenBody) => "The request's body is malformed or incomplete.",
            Self::Client(ClientFault::BodyTooLarge) => {
                "The request's body is larger than this service takes."
            }
            Self::Client(ClientFault::TrailersTooLarge) => "The request's trailers are too large.",
            Self::Client(ClientFault::Stalled) => "The request's body did not arrive in time.",
            Self::Client(ClientFault::Outwaited) => {
                "The endpoint closed the connection before the request's body had arrived."
            }
        })
    }
}

impl std::error::Error for AttemptError {}
