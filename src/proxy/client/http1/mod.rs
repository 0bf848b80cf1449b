//! A client that speaks HTTP/1: one request after the other, and perhaps another protocol in the end.
//!
//! One task per connection, read downward: `serve` waits for a head, [`exchange`] has it answered and gives the answer to the
//! client. The socket and what was read from it are a [`wire`], which the task shares with the [`body`] of the request under
//! way; an [`answer`] is written by way of an [`outbox`]. Between two requests a connection holds no buffer.

mod answer;
mod body;
mod exchange;
mod outbox;
mod wire;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use http::{HeaderMap, Response, StatusCode, Version};

pub(super) use body::UploadBody;
use exchange::Then;
use outbox::Outbox;
use wire::Wire;

use super::drive::{or_told, unless_cut};
use super::life::Ending;
use super::socket::ClientSocket;
use super::who::Client;
use crate::proxy::http1::request::RequestHead;
use crate::proxy::http1::write::{Delimited, response_head};
use crate::proxy::http1::{BadHead, Bounds};
use crate::proxy::observe::unread;
use crate::proxy::worker::Worker;

/// A client's connection.
struct Connection {
    worker: Rc<Worker>,
    client: Rc<Client>,
    wire: Rc<Wire>,
}

/// Serves requests until the connection ends or speaks another protocol.
pub(super) async fn serve(worker: Rc<Worker>, client: Rc<Client>, socket: ClientSocket) {
    let wire = Wire::new(worker.clone(), client.life.clone(), socket);
    let connection = Connection { worker, client, wire };
    while let Some(head) = connection.next_head().await {
        // Boxed, here and below: what waits for its client's next request is little else than this function's state.
        match Box::pin(connection.exchange(head)).await {
            Then::Next => {}
            Then::Tunnel(opening) => {
                let Some((socket, early)) = connection.wire.give_away() else { return };
                return Box::pin(opening.run(socket, early, &connection.client.life)).await;
            }
            Then::Farewell => return connection.part().await,
            Then::Nothing => return,
        }
    }
}

impl Connection {
    /// The next request's head. `None`: none will come, and the connection is over.
    async fn next_head(&self) -> Option<RequestHead> {
        let life = &self.client.life;
        let bounds = bounds(&self.client);
        let mut told = life.ending();
        while told != Ending::Now {
            let reading = poll_fn(|cx| self.wire.poll_head(cx, bounds));
            match or_told(life, told, pin!(reading)).await {
                Some(Some(Ok(head))) => return Some(head),
                Some(Some(Err(bad))) => {
                    Box::pin(self.refuse(bad)).await;
                    return None;
                }
                Some(None) => {
                    self.part().await;
                    return None;
                }
                None => {}
            }
            told = life.ending();
            // A request that has begun is still read, and answered.
            if told == Ending::Gently && self.wire.is_silent() {
                self.part().await;
                return None;
            }
        }
        None
    }

    /// Answers what is no request.
    async fn refuse(&self, bad: BadHead) {
        let status = match bad {
            BadHead::Malformed => StatusCode::BAD_REQUEST,
            BadHead::TargetTooLong => StatusCode::URI_TOO_LONG,
            BadHead::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            BadHead::Http2 => return,
        };
        unread(&self.worker, &self.client, status);
        let mut head = Response::new(()).into_parts().0;
        (head.status, head.headers) = (status, HeaderMap::new());
        let mut outbox = Outbox::default();
        let date = self.worker.date();
        let says = (Some(&b"close"[..]), Some(&date[..]));
        response_head(outbox.head(), Version::HTTP_11, &head, Delimited::Length(0), says.0, says.1);
        let sending = poll_fn(|cx| self.wire.poll_send(cx, &mut outbox));
        if let Some(Ok(())) = unless_cut(&self.client.life, pin!(sending)).await {
            self.part().await;
        }
    }

    /// Says goodbye, where a client could not tell an end from a cut otherwise.
    async fn part(&self) {
        if !self.wire.is_silent() {
            // What of a next request has come would make a reset of the end.
            self.client.life.body_left_unread();
        }
        let parting = poll_fn(|cx| self.wire.poll_shutdown(cx));
        let _gone = unless_cut(&self.client.life, pin!(parting)).await;
    }
}

/// How large a head or a trailer section may be.
fn bounds(client: &Client) -> Bounds {
    let limits = client.life.limits();
    let bytes = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX);
    Bounds { bytes, fields: limits.header_fields }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A body may be in the hands of another task.
        self.wire.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F: Future>(_serve: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_waits_for_a_request_is_small() {
        let size = size_of_future(serve);
        assert!(size <= 1152, "{size} bytes: box what only a request needs (see `serve`)");
    }
}
