//! A check over HTTP/1.1.

use std::pin::pin;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::probe::{AGENT, BODY};
use super::state::ProbeError;
use crate::tls::outgoing::Fault;

/// More of an answer's head than this is an error. hyper asks for 8 KiB at least.
const HEAD: usize = 64 * 1024;
/// What is shown of a redirect's goal.
const SHOWN: usize = 120;

pub(super) type Request = http::Request<Empty<Bytes>>;

pub(super) fn request(path: &str, host: &str) -> Result<Request, ProbeError> {
    http::Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| ProbeError::Unsendable(error.to_string()))
}

pub(super) async fn exchange<S>(stream: S, request: Request) -> Result<StatusCode, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
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

/// 200 to 299 is good.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), ProbeError> {
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

fn broken(error: hyper::Error) -> ProbeError {
    if let Some(fault) = Fault::within(&error) {
        return ProbeError::Tls(fault.to_string());
    }
    if error.is_parse() || error.is_parse_too_large() {
        return ProbeError::NotHttp(error.to_string());
    }
    if error.is_user() {
        return ProbeError::Unsendable(error.to_string());
    }
    ProbeError::Closed
}
