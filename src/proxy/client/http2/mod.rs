//! A client that speaks HTTP/2: many requests at once, all of them polled within the connection's own task. So one
//! wake-up serves all endpoints that have answered, and what they said leaves in one write.

mod bell;
mod body;
mod connection;
mod exchange;
mod heartbeat;
mod pipe;
mod reply;
mod streams;

use std::rc::Rc;

use h2::server::Builder;

pub(crate) use self::body::RequestBody;
use self::connection::Connection;
use super::body::ClientBody;
use super::drive::drive;
use super::life::Life;
use super::socket::ClientSocket;
use super::who::Client;
use crate::proxy::handler::handle;
use crate::proxy::worker::Worker;

/// Streams that we reset for their client's faults: more ends the connection (CVE-2025-8671).
const LOCAL_RESETS: usize = 256;
/// What small frames that wait for their endpoint may lack together, each to 256 bytes: more ends the connection. Room for 8,900
/// of 20 bytes, which is what a client of gRPC may have sent while an endpoint pauses.
const FRAME_BUDGET: usize = 2 * 1024 * 1024;
/// What is buffered of a response that its client does not take.
const STREAM_BUFFER: usize = 64 * 1024;

/// Serves requests until the connection ends.
pub(super) async fn serve(worker: Rc<Worker>, client: Rc<Client>, socket: ClientSocket) {
    let life = client.life.clone();
    life.speaks_http2();
    let handshake = builder(&life).handshake(socket);
    let asked = worker.clone();
    let answer = move |request: http::Request<RequestBody>| {
        let (parts, body) = request.into_parts();
        Box::pin(handle(asked.clone(), client.clone(), Box::new(parts), ClientBody::Http2(body)))
    };
    let mut connection = Connection::new(handshake, answer, worker, life.clone());
    // How it ended is in the records of the exchanges that it broke.
    let _ended = drive(&life, &mut connection, Connection::bid_farewell).await;
}

fn builder(life: &Life) -> Builder {
    let limits = life.limits();
    let mut builder = Builder::new();
    builder
        .initial_window_size(limits.http2_stream_window)
        .initial_connection_window_size(limits.http2_connection_window)
        .data_frame_budget(FRAME_BUDGET)
        .max_concurrent_streams(limits.http2_streams)
        .max_send_buffer_size(STREAM_BUFFER)
        .max_header_list_size(limits.header_bytes)
        .max_local_error_reset_streams(Some(LOCAL_RESETS));
    builder
}
