//! A client that speaks HTTP/1: one request after the other, and perhaps another protocol in the end.

use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::body::ClientBody;
use super::drive::{drive, or_told};
use super::life::Ending;
use super::socket::ClientSocket;
use super::who::Client;
use crate::proxy::handler::handle;
use crate::proxy::observe::unread;
use crate::proxy::tunnel::Opening;
use crate::proxy::worker::Worker;

/// What is buffered per connection and direction; more if a head may be longer.
const BUFFER: usize = 32 * 1024;
/// What hyper counts up to without putting fields on the heap.
const FIELDS: usize = 100;

/// What a connection is when no request is being served on it any more.
enum Left {
    Nothing,
    /// It is idle.
    Dozing(ClientSocket),
    /// It speaks another protocol from now on; these bytes came early.
    Tunnel(Box<Opening>, ClientSocket, Bytes),
}

/// Serves requests as they come. Between two of them, after a while, nothing is kept but the socket: hyper and its buffers
/// come back with the next one.
pub(super) async fn serve(worker: Rc<Worker>, client: Rc<Client>, mut socket: ClientSocket) {
    let life = client.life.clone();
    loop {
        // Boxed: what waits for its client's next request, or is a tunnel, is little else than this function's state.
        match Box::pin(serve_awake(worker.clone(), client.clone(), socket)).await {
            Left::Nothing => return,
            Left::Dozing(dozing) => socket = dozing,
            Left::Tunnel(opening, socket, early) => return opening.run(socket, early, &life).await,
        }
        let woken = pin!(socket.has_more());
        if or_told(&life, Ending::Not, woken).await != Some(true) {
            return;
        }
    }
}

/// Serves requests until the connection ends, has been idle for a while, or speaks another protocol.
async fn serve_awake(worker: Rc<Worker>, client: Rc<Client>, socket: ClientSocket) -> Left {
    let life = client.life.clone();
    let (served, asker) = (worker.clone(), client.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        handle(served.clone(), asker.clone(), request.map(ClientBody::Http1))
    });
    let head = usize::try_from(life.limits().header_bytes).unwrap_or(BUFFER);
    let mut builder = http1::Builder::new();
    // hyper's own limit on the time of heads also ends idle connections; `Life` tells the two apart.
    builder.max_buf_size(head.max(BUFFER)).max_header_size(head).header_read_timeout(None);
    builder.keep_alive(life.ending() == Ending::Not);
    if life.limits().header_fields != FIELDS {
        builder.max_headers(life.limits().header_fields);
    }
    let mut connection = builder.serve_connection(TokioIo::new(socket), service);
    let ended = drive(&life, &mut connection, http1::Connection::graceful_shutdown).await;
    // Taken out in any case: whatever it was, it goes no further than this.
    let opening = client.opening.take();
    match (ended, opening) {
        (Some(Ok(())), Some(opening)) => {
            let parts = connection.into_parts();
            Left::Tunnel(Box::new(opening), parts.io.into_inner(), parts.read_buf)
        }
        (Some(Err(error)), _) => {
            // Answered by hyper: there was no request yet that we could have answered.
            if let Some(status) = status_of(&error).filter(|_| life.is_between_requests()) {
                unread(&worker, &client, status);
            }
            Left::Nothing
        }
        (None, _) if life.ending() != Ending::Now => {
            let parts = connection.into_parts();
            let mut socket = parts.io.into_inner();
            if !parts.read_buf.is_empty() {
                // The beginning of a head, which came while the request before it was being answered.
                life.received();
                socket.put_back(parts.read_buf);
            }
            Left::Dozing(socket)
        }
        (Some(Ok(())), None) | (None, _) => Left::Nothing,
    }
}

/// What hyper answers to a head that it can't read.
fn status_of(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_too_large() {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    (error.is_parse() && !error.is_parse_version_h2()).then_some(StatusCode::BAD_REQUEST)
}
