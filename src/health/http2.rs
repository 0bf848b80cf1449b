//! A check over HTTP/2.

use std::future::poll_fn;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, client};
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::http1;
use super::probe::{AGENT, BODY};
use super::state::ProbeError;
use crate::tls::outgoing::Fault;

/// More of an answer's head than this is an error.
const HEAD: u32 = 64 * 1024;

/// What is asked: a head, and a body if it has one.
pub(super) struct Request {
    pub(super) head: http::Request<()>,
    pub(super) body: Option<Bytes>,
}

/// What is answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The beginning of the body.
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

pub(super) fn request(scheme: &str, host: &str, path: &str) -> Result<Request, ProbeError> {
    let uri = http::Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
    let head = uri.and_then(|uri| {
        let head = http::Request::get(uri).version(Version::HTTP_2);
        head.header(USER_AGENT, AGENT).header(ACCEPT, "*/*").body(())
    });
    let head = head.map_err(|error| ProbeError::Unsendable(error.to_string()))?;
    Ok(Request { head, body: None })
}

pub(super) async fn exchange<S>(stream: S, request: Request) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, connection) = client::Builder::new()
        .enable_push(false)
        .max_header_list_size(HEAD)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(broken)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(ask(sender, request));
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Err(error) if is_telling(&error) => Err(broken(error)),
            // What it had to say is waiting in the answer.
            Ok(()) | Err(_) => answer.await,
        },
    }
}

impl Answer {
    /// The status, if it is a good one.
    pub(super) fn judged(self) -> Result<StatusCode, ProbeError> {
        http1::judge(self.status, &self.headers)?;
        Ok(self.status)
    }
}

async fn ask(sender: client::SendRequest<Bytes>, request: Request) -> Result<Answer, ProbeError> {
    let mut sender = sender.ready().await.map_err(broken)?;
    let (answer, mut upload) = sender.send_request(request.head, request.body.is_none()).map_err(broken)?;
    if let Some(body) = request.body {
        upload.send_data(body, true).map_err(broken)?;
    }
    let (parts, mut body) = answer.await.map_err(broken)?.into_parts();
    let (body, trailers) = read(&mut body).await?;
    // Only now: a sender that is gone would end the connection.
    drop(sender);
    Ok(Answer { status: parts.status, headers: parts.headers, body, trailers })
}

/// The body, or enough of it, and the trailers.
async fn read(stream: &mut RecvStream) -> Result<(Bytes, HeaderMap), ProbeError> {
    let mut body = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data.map_err(broken)?;
        // An error means that the stream has ended: there is no window to open.
        let _ended = stream.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
        if body.len() >= BODY {
            return Ok((body.freeze(), HeaderMap::new()));
        }
    }
    let trailers = poll_fn(|cx| stream.poll_trailers(cx)).await.map_err(broken)?;
    Ok((body.freeze(), trailers.unwrap_or_default()))
}

/// Whether a connection's error says more than that it ended.
fn is_telling(error: &h2::Error) -> bool {
    error.is_library() || Fault::within(error).is_some() || error.get_io().and_then(Fault::of).is_some()
}

fn broken(error: h2::Error) -> ProbeError {
    if let Some(fault) = error.get_io().and_then(Fault::of) {
        return ProbeError::Tls(fault.to_string());
    }
    match error.reason() {
        // A frame that can't be one: most often the text of HTTP/1.
        Some(Reason::FRAME_SIZE_ERROR) if error.is_library() => {
            ProbeError::NotHttp("the endpoint does not speak HTTP/2".to_owned())
        }
        Some(reason) => ProbeError::NotHttp(format!("HTTP/2 error {reason}")),
        None if error.is_io() => ProbeError::Closed,
        None => ProbeError::Unsendable(error.to_string()),
    }
}
