//! Fixed label sets: nothing from a request ever becomes a label.

/// A request's method, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodLabel {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// PATCH
    Patch,
    /// Whatever else a client sends.
    Other,
}

impl MethodLabel {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Delete, Self::Options, Self::Patch, Self::Other];

    /// The label of a method.
    #[inline]
    pub fn of(method: &http::Method) -> Self {
        match method.as_str() {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            _other => Self::Other,
        }
    }

    /// As metrics show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Other => "other",
        }
    }
}

/// The class of a status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeClass {
    /// 100 to 199
    Informational,
    /// 200 to 299
    Success,
    /// 300 to 399
    Redirection,
    /// 400 to 499
    ClientError,
    /// 500 to 599
    ServerError,
}

impl CodeClass {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError];

    /// The class of a status code from 100 to 599.
    #[inline]
    pub const fn of(code: u16) -> Self {
        match code / 100 {
            0 | 1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirection,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// As metrics show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

/// Why a request got no good answer, in the words of RFC 9209 section 2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorReason {
    /// No endpoint is ready.
    DestinationUnavailable,
    /// No route leads anywhere.
    DestinationNotFound,
    /// The endpoint's address refused the connection.
    ConnectionRefused,
    /// The connection could not be made in time.
    ConnectionTimeout,
    /// The connection failed or ended before the answer was whole.
    ConnectionTerminated,
    /// No response headers in time.
    HttpResponseTimeout,
    /// The response was cut short.
    HttpResponseIncomplete,
    /// What came is not HTTP, or not allowed here.
    HttpProtocolError,
    /// The endpoint answered 5xx. Not a token of RFC 9209: the response is the endpoint's own.
    HttpServerError,
    /// The endpoint ended a gRPC call with a code that is its failure ([`GrpcCode::is_failure`](super::GrpcCode)). Not a
    /// token of RFC 9209: the answer is the endpoint's own.
    GrpcStatus,
    /// The client's request can't be served as it stands.
    HttpRequestError,
    /// The client may not ask for this, or not so often.
    HttpRequestDenied,
    /// More connections or requests than there may be at once.
    ConnectionLimitReached,
    /// The endpoint did not agree to change the protocol.
    HttpUpgradeFailed,
    /// The endpoint's certificate is not one that we trust, or not its own.
    TlsCertificateError,
    /// No TLS connection came about.
    TlsProtocolError,
    /// Something went wrong inside the proxy.
    ProxyInternalError,
}

impl ErrorReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::DestinationUnavailable,
        Self::DestinationNotFound,
        Self::ConnectionRefused,
        Self::ConnectionTimeout,
        Self::ConnectionTerminated,
        Self::HttpResponseTimeout,
        Self::HttpResponseIncomplete,
        Self::HttpProtocolError,
        Self::HttpServerError,
        Self::GrpcStatus,
        Self::HttpRequestError,
        Self::HttpRequestDenied,
        Self::ConnectionLimitReached,
        Self::HttpUpgradeFailed,
        Self::TlsCertificateError,
        Self::TlsProtocolError,
        Self::ProxyInternalError,
    ];

    /// The token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DestinationUnavailable => "destination_unavailable",
            Self::DestinationNotFound => "destination_not_found",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionTerminated => "connection_terminated",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpResponseIncomplete => "http_response_incomplete",
            Self::HttpProtocolError => "http_protocol_error",
            Self::HttpServerError => "http_server_error",
            Self::GrpcStatus => "grpc_status",
            Self::HttpRequestError => "http_request_error",
            Self::HttpRequestDenied => "http_request_denied",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::HttpUpgradeFailed => "http_upgrade_failed",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::ProxyInternalError => "proxy_internal_error",
        }
    }
}
