//! A client that speaks HTTP/2: many requests at once.

use std::rc::Rc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::body::ClientBody;
use super::drive::drive;
use super::life::Life;
use super::socket::ClientSocket;
use super::stream::Stream;
use super::who::Client;
use crate::proxy::handler::handle;
use crate::proxy::worker::Worker;

/// Streams that we reset for their client's faults: more ends the connection (CVE-2025-8671).
const LOCAL_RESETS: usize = 256;
/// What is buffered of a response that its client does not take.
const STREAM_BUFFER: usize = 64 * 1024;
const PING: Duration = Duration::from_secs(20);

/// Runs the streams of a connection on its own worker.
#[derive(Clone)]
struct Streams {
    worker: Rc<Worker>,
    life: Rc<Life>,
}

/// Serves requests until the connection ends.
pub(super) async fn serve(worker: Rc<Worker>, client: Rc<Client>, socket: ClientSocket) {
    let life = client.life.clone();
    life.speaks_http2();
    let streams = Streams { worker: worker.clone(), life: life.clone() };
    let service = service_fn(move |request: Request<Incoming>| {
        handle(worker.clone(), client.clone(), request.map(ClientBody::Http2))
    });
    let limits = life.limits();
    let mut connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits.http2_stream_window)
        .initial_connection_window_size(limits.http2_connection_window)
        .max_concurrent_streams(limits.http2_streams)
        .max_send_buf_size(STREAM_BUFFER)
        .max_header_list_size(limits.header_bytes)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(socket), service);
    // An error ends the connection; what it cost is in the records of the exchanges it broke.
    let _ended = drive(&life, &mut connection, http2::Connection::graceful_shutdown).await;
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        // Boxed here, once: what runs it would copy it at each step inwards.
        self.worker.spawn(Stream::run(self.life.clone(), Box::pin(stream)));
    }
}
