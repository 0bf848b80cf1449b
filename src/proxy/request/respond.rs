//! Answers of our own: what went wrong, for machines (`Proxy-Status`, RFC 9209) and for people.

use std::num::NonZeroU32;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::grpc::only_end;
use super::headers::X_REQUEST_ID;
use crate::domain::stats::{ErrorReason, GrpcCode};
use crate::proxy::fault::{AttemptError, Fault};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Why a request is answered by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    BadHost,
    BadTarget,
    TargetTooLong,
    HeadTooLarge,
    /// By its own length, before any of it was read.
    BodyTooLarge,
    BadFraming,
    UnknownCoding,
    Method,
    /// It belongs on a connection that names its host (RFC 9110 section 15.5.20).
    Misdirected,
    /// It belongs where TLS is spoken.
    ToHttps,
    /// `OPTIONS *`: not refused really; it asks about us.
    OptionsOfAll,
    NoRoute,
    /// Its client is not among those who may ask.
    NotAdmitted,
    /// Its client asked too often; it may ask again after so many seconds.
    TooOften(NonZeroU32),
    /// Its service is held, and too many wait, or it has waited for too long.
    Held,
    /// As many of its service's requests are being answered as may be, and too many wait, or it has waited for too long.
    Busy,
    Attempt(AttemptError),
    /// A gRPC call says how long its client waits, in words that are none.
    BadCall,
    /// A gRPC call to a service whose endpoints are spoken to in HTTP/1, which can't carry one.
    GrpcOverHttp1,
    /// The client of a gRPC call has waited for as long as it said it would.
    Overdue,
    /// A state that should not be.
    Internal,
}

/// In what form the client wants to read about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
    /// HTTP 200, and the error where gRPC has its place for it.
    Grpc,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadHost | Self::BadTarget | Self::BadFraming | Self::BadCall => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::ToHttps => StatusCode::PERMANENT_REDIRECT,
            Self::OptionsOfAll => StatusCode::NO_CONTENT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::GrpcOverHttp1 => StatusCode::NOT_IMPLEMENTED,
            Self::NotAdmitted => StatusCode::FORBIDDEN,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Held | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Overdue => StatusCode::GATEWAY_TIMEOUT,
            Self::Attempt(error) => error.status(),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// `None`: nothing went wrong.
    pub(crate) fn reason(self) -> Option<ErrorReason> {
        match self {
            Self::BadHost
            | Self::BadTarget
            | Self::BadFraming
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::UnknownCoding
            | Self::Method
            | Self::Misdirected
            | Self::BadCall
            | Self::GrpcOverHttp1 => Some(ErrorReason::HttpRequestError),
            Self::Overdue => Some(ErrorReason::HttpResponseTimeout),
            Self::OptionsOfAll | Self::ToHttps => None,
            Self::NoRoute => Some(ErrorReason::DestinationNotFound),
            Self::NotAdmitted | Self::TooOften(_) => Some(ErrorReason::HttpRequestDenied),
            Self::Held => Some(ErrorReason::DestinationUnavailable),
            Self::Busy => Some(ErrorReason::ConnectionLimitReached),
            Self::Attempt(error) => Some(error.reason()),
            Self::Internal => Some(ErrorReason::ProxyInternalError),
        }
    }

    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::BadHost
            | Self::BadTarget
            | Self::BadFraming
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::UnknownCoding
            | Self::Method
            | Self::Misdirected
            | Self::ToHttps
            | Self::OptionsOfAll
            | Self::BadCall
            | Self::GrpcOverHttp1
            | Self::NoRoute
            | Self::NotAdmitted
            | Self::TooOften(_) => Fault::Client,
            // As if it had gone away: nobody is to blame, but its time counts.
            Self::Overdue => Fault::Endpoint,
            Self::Attempt(error) => error.fault(),
            Self::Held | Self::Busy | Self::Internal => Fault::Proxy,
        }
    }

    /// The same in gRPC.
    pub(crate) fn grpc(self) -> GrpcCode {
        match self {
            // The endpoint may have done all of it: not a thing to repeat unseen, as `UNAVAILABLE` would be.
            Self::Overdue | Self::Attempt(AttemptError::ResponseTimeout | AttemptError::Frozen) => {
                GrpcCode::DeadlineExceeded
            }
            Self::Internal => GrpcCode::Internal,
            Self::GrpcOverHttp1 => GrpcCode::Unimplemented,
            other => GrpcCode::of_http(other.status().as_u16()),
        }
    }

    /// The answer. `request_id` connects it with the log.
    pub(crate) fn response(self, method: &Method, form: Form, request_id: &HeaderValue) -> Response<Bytes> {
        let mut response = match form {
            Form::Grpc => only_end(self.grpc(), &self.detail()),
            Form::Text | Form::Json => Response::new(Bytes::new()),
        };
        if form != Form::Grpc {
            *response.status_mut() = self.status();
        }
        self.describe(response.headers_mut());
        response.headers_mut().insert(X_REQUEST_ID, request_id.clone());
        if self.status() == StatusCode::NO_CONTENT || form == Form::Grpc {
            return response;
        }
        let body = self.body(form, request_id.to_str().unwrap_or_default());
        let (content_type, length) = (form.content_type(), HeaderValue::from(body.len()));
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response.headers_mut().insert(CONTENT_LENGTH, length);
        if method != Method::HEAD {
            *response.body_mut() = Bytes::from(body);
        }
        response
    }

    fn describe(self, headers: &mut HeaderMap) {
        if self != Self::ToHttps {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if let Some(reason) = self.reason()
            && let Ok(status) = HeaderValue::try_from(format!("adit; error={}", reason.as_str()))
        {
            headers.insert(PROXY_STATUS, status);
        }
        if matches!(self, Self::Method | Self::OptionsOfAll) {
            headers.insert(ALLOW, METHODS);
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::TooOften(seconds) = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.get()));
        }
        if self.ends_connection() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// After a request that can be read in two ways nothing on the connection can be trusted; what follows a CONNECT
    /// may be meant for a tunnel.
    fn ends_connection(self) -> bool {
        match self {
            Self::BadHost
            | Self::BadTarget
            | Self::BadFraming
            | Self::UnknownCoding
            | Self::TargetTooLong
            | Self::Method
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::Attempt(AttemptError::Client(_)) => true,
            Self::Misdirected
            | Self::ToHttps
            | Self::OptionsOfAll
            | Self::NoRoute
            | Self::NotAdmitted
            | Self::TooOften(_)
            | Self::Held
            | Self::BadCall
            | Self::GrpcOverHttp1
            | Self::Overdue
            | Self::Busy
            | Self::Attempt(_)
            | Self::Internal => false,
        }
    }

    fn body(self, form: Form, request_id: &str) -> String {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or_default();
        let reason = self.reason().map_or("", ErrorReason::as_str);
        let (code, detail) = (status.as_u16(), self.detail());
        // Nothing from the request is in it, so nothing needs escaping.
        match form {
            Form::Text if reason.is_empty() => format!("{code} {title}\n{detail}\nrequest: {request_id}\n"),
            Form::Text => format!("{code} {title}\n{detail}\nerror: {reason}\nrequest: {request_id}\n"),
            Form::Json => format!(
                "{{\"status\":{code},\"title\":\"{title}\",\"detail\":\"{detail}\",\"error\":\"{reason}\",\
                 \"request_id\":\"{request_id}\"}}\n"
            ),
            Form::Grpc => String::new(),
        }
    }

    fn detail(self) -> String {
        match self {
            Self::BadHost => "The request must name exactly one valid host.".into(),
            Self::BadTarget => "The request's target is not valid.".into(),
            Self::TargetTooLong => "The request's target is too long.".into(),
            Self::HeadTooLarge => "The request's fields are too many or too large.".into(),
            Self::BodyTooLarge => "The request's body is larger than this service takes.".into(),
            Self::BadFraming => "The length of the request's body is ambiguous.".into(),
            Self::UnknownCoding => "The only transfer coding known here is chunked.".into(),
            Self::Method => "This method is not served.".into(),
            Self::Misdirected => {
                "This connection's certificate is not for the request's host; make another connection.".into()
            }
            Self::ToHttps => "This is served over TLS; see the Location.".into(),
            Self::OptionsOfAll => String::new(),
            Self::NoRoute => "No service has a route for this host and path.".into(),
            Self::NotAdmitted => "This service does not answer your address.".into(),
            Self::TooOften(_) => "Too many requests; try again after a while.".into(),
            Self::Held => "This service is being held for a moment; try again soon.".into(),
            Self::Busy => "This service has as many requests as it can take; try again soon.".into(),
            Self::Attempt(error) => error.to_string(),
            Self::GrpcOverHttp1 => {
                "This service is reached in HTTP/1, which can't carry gRPC; its `connection.protocol` must be http2."
                    .into()
            }
            Self::BadCall => "A field of the call that gRPC reserves is not valid: its deadline, or one that ends in -bin.".into(),
            Self::Overdue => "The client's own deadline has passed.".into(),
            Self::Internal => "Something went wrong inside the proxy.".into(),
        }
    }
}

impl Form {
    fn content_type(self) -> HeaderValue {
        match self {
            Self::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
            Self::Json => HeaderValue::from_static("application/json"),
            Self::Grpc => HeaderValue::from_static("application/grpc"),
        }
    }
}

impl From<AttemptError> for Refusal {
    fn from(error: AttemptError) -> Self {
        Self::Attempt(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: HeaderValue = HeaderValue::from_static("0123");

    #[test]
    fn an_error_says_for_machines_what_it_is() {
        let response = Refusal::Attempt(AttemptError::NoEndpoint).response(&Method::GET, Form::Json, &ID);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["proxy-status"], "adit; error=destination_unavailable");
        assert_eq!(response.headers()["retry-after"], "1");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            (&body["error"], &body["request_id"]),
            (&"destination_unavailable".into(), &"0123".into())
        );
    }

    #[test]
    fn an_answer_to_head_has_a_length_and_no_body() {
        let response = Refusal::NoRoute.response(&Method::HEAD, Form::Text, &ID);
        assert!(response.body().is_empty());
        assert_ne!(response.headers()["content-length"], "0");
    }
}
