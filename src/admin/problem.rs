//! What the API answers when it can't do what was asked: RFC 9457, with a code that scripts can rely on.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

/// A problem document (RFC 9457 section 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that names the kind of problem; says the same as `code`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time, and what to do.
    pub detail: String,
    /// The kind of problem, for scripts.
    pub code: Code,
}

/// The kinds of problems. Contracts: add, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request itself makes no sense.
    BadRequest,
    /// Too many do that already.
    Busy,
    /// The state does not allow it.
    Conflict,
    /// Not from there: a browser page of another origin, or a name that is not ours.
    Forbidden,
    /// The config is not valid; nothing was changed.
    InvalidConfig,
    /// The path does not take this method.
    MethodNotAllowed,
    /// No such path.
    NotFound,
    /// It could not be saved.
    NotSaved,
    /// A part of the API that this version does not have.
    NotServed,
    /// The config is valid, but asks for what a reload can't do.
    Refused,
    /// The program is ending.
    Stopping,
    /// No answer in time.
    TimedOut,
    /// The body is above the limit.
    TooLarge,
    /// The bearer token is missing or wrong.
    Unauthorized,
    /// What was recorded can't be read.
    Unreadable,
    /// No rollout of that number.
    UnknownRollout,
    /// No endpoint at that address.
    UnknownEndpoint,
    /// No service of that name.
    UnknownService,
    /// The service has no version of that name.
    UnknownVersion,
    /// From a newer program: one that this version does not know.
    #[serde(other)]
    Unrecognised,
}

impl Problem {
    /// A problem of this kind; `detail` says what is wrong this time, and what to do.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:adit:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
        }
    }

    /// Control has ended, so the program is about to.
    pub(super) fn stopping() -> Self {
        Self::new(Code::Stopping, "Adit is shutting down and takes no more commands")
    }
}

impl Code {
    /// As scripts see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Busy => "busy",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::InvalidConfig => "invalid_config",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::NotSaved => "not_saved",
            Self::NotServed => "not_served",
            Self::Refused => "refused",
            Self::Stopping => "stopping",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::Unauthorized => "unauthorized",
            Self::Unreadable => "unreadable",
            Self::UnknownRollout => "unknown_rollout",
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::UnknownService => "unknown_service",
            Self::UnknownVersion => "unknown_version",
            Self::Unrecognised => "unrecognised",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request makes no sense",
            Self::Busy => "Too many at a time",
            Self::Conflict => "Not in this state",
            Self::Forbidden => "Not from there",
            Self::InvalidConfig => "The config is not valid",
            Self::MethodNotAllowed => "Not with this method",
            Self::NotFound => "No such path",
            Self::NotSaved => "It could not be saved",
            Self::NotServed => "Not in this version",
            Self::Refused => "Not by a reload",
            Self::Stopping => "Shutting down",
            Self::TimedOut => "No answer in time",
            Self::TooLarge => "The body is too large",
            Self::Unauthorized => "A valid token is needed",
            Self::Unreadable => "The record can't be read",
            Self::UnknownRollout => "No such rollout",
            Self::UnknownEndpoint => "No such endpoint",
            Self::UnknownService => "No such service",
            Self::UnknownVersion => "No such version",
            Self::Unrecognised => "A problem",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Conflict | Self::Refused => StatusCode::CONFLICT,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::InvalidConfig => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound
            | Self::UnknownEndpoint
            | Self::UnknownRollout
            | Self::UnknownService
            | Self::UnknownVersion => StatusCode::NOT_FOUND,
            Self::NotSaved | Self::Unreadable | Self::Unrecognised => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotServed => StatusCode::NOT_IMPLEMENTED,
            Self::Busy | Self::Stopping | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"adit\""));
        }
        response
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_in_json_as_it_is_documented() {
        for code in [Code::UnknownService, Code::NotSaved, Code::InvalidConfig, Code::BadRequest] {
            assert_eq!(serde_json::json!(code), serde_json::json!(code.as_str()));
        }
    }

    #[test]
    fn a_code_of_a_newer_program_can_be_read() {
        let problem =
            r#"{"type":"urn:adit:problem:tea","title":"Tea","status":418,"detail":"d","code":"tea"}"#;
        let problem: Problem = serde_json::from_str(problem).expect("a problem document");
        assert_eq!(problem.code, Code::Unrecognised);
    }
}
