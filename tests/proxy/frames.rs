//! Endpoints that speak HTTP/2: one that is written frame by frame, and one by the `h2` crate.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::wire::Wire;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u8 = 3;

/// An endpoint's end of a connection, frame by frame.
pub(crate) struct Frames<'w> {
    wire: &'w mut Wire,
    /// Whether pings are answered.
    pub(crate) deaf: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl<'w> Frames<'w> {
    /// Takes in a connection and allows so many streams.
    pub(crate) fn accept(wire: &'w mut Wire, streams: u32) -> Self {
        let mut frames = Self { wire, deaf: false };
        if frames.wire.bytes(24).as_deref() == Some(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
            let mut payload = vec![0, MAX_CONCURRENT_STREAMS];
            payload.extend(streams.to_be_bytes());
            frames.send(SETTINGS, 0, 0, &payload);
        }
        frames
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.wire.send(frame);
    }

    /// The next frame that is not about the connection itself.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any()?;
            match frame.kind {
                PING if frame.flags & ACK == 0 && !self.deaf => self.send(PING, ACK, 0, &frame.payload),
                SETTINGS if frame.flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]),
                DATA | HEADERS | RST_STREAM => return Some(frame),
                _ => {}
            }
        }
    }

    /// Any frame.
    pub(crate) fn any(&mut self) -> Option<Frame> {
        let head = self.wire.bytes(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload: self.wire.bytes(length)? })
    }

    /// The stream of the next request, without its body.
    pub(crate) fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next()?;
            if frame.kind == HEADERS {
                return Some(frame.stream);
            }
        }
    }

    /// `200` and this text.
    pub(crate) fn answer(&mut self, stream: u32, text: &str) {
        self.head(stream);
        self.send(DATA, END_STREAM, stream, text.as_bytes());
    }

    /// `200`, and a body to come.
    pub(crate) fn head(&mut self, stream: u32) {
        // RFC 7541 appendix A: `:status: 200` is entry 8.
        self.send(HEADERS, END_HEADERS, stream, &[0x88]);
    }

    pub(crate) fn reset(&mut self, stream: u32, reason: h2::Reason) {
        self.send(RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes());
    }

    /// Says farewell: what came on streams above `last` was not looked at.
    pub(crate) fn goaway(&mut self, last: u32, reason: h2::Reason) {
        let payload = [last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload);
    }
}

/// An endpoint by the `h2` crate.
pub(crate) struct Speaker {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request<()>>>>,
}

impl Speaker {
    /// Runs `answer` for every request.
    pub(crate) fn start<F>(
        builder: Builder,
        answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_with(builder, None, answer)
    }

    /// The same, over TLS if there is any.
    pub(crate) fn start_with<F>(
        builder: Builder,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let speaker = Self { address, connections: Arc::default(), requests: Arc::default() };
        let (connections, requests) = (speaker.connections.clone(), speaker.requests.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (builder, requests, answer) = (builder.clone(), requests.clone(), answer.clone());
                    let tls = tls.clone();
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, &builder, &requests, answer).await,
                            Some(tls) => {
                                let Some(stream) = accept(&tls, stream).await else { return };
                                serve(stream, &builder, &requests, answer).await;
                            }
                        }
                    });
                }
            });
        });
        speaker
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads of the requests it saw.
    pub(crate) fn requests(&self) -> Vec<Request<()>> {
        let requests = self.requests.lock().unwrap();
        requests.clone()
    }
}

async fn serve<S, F>(
    stream: S,
    builder: &Builder,
    requests: &Mutex<Vec<Request<()>>>,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        requests.lock().unwrap().push(Request::from_parts(parts.clone(), ()));
        tokio::spawn(answer(Request::from_parts(parts, body), respond));
    }
}

/// The endpoint's side of a handshake. Whom it turns away it hears out: unread bytes would make a reset, which can overtake
/// the reason.
pub(crate) async fn accept(tls: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    match tls.accept(stream).into_fallible().await {
        Ok(stream) => Some(stream),
        Err((_, mut stream)) => {
            let _sent = stream.shutdown().await;
            let _gone = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            None
        }
    }
}

/// The whole body of a request.
pub(crate) async fn read(mut body: RecvStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        let _ended = body.flow_control().release_capacity(data.len());
        bytes.extend(data);
    }
    Some(bytes)
}

/// `200` and these bytes.
pub(crate) fn say(mut respond: SendResponse<Bytes>, text: impl Into<Bytes>) {
    if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
        let _gone = stream.send_data(text.into(), true);
    }
}
