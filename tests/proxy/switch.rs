//! An endpoint in the test's own hands, and how a connection changes to WebSocket through the proxy.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use adit::clock::Clock;

use crate::wire::Wire;
use crate::world::{PATIENCE, Proxy};

/// A client's wish.
pub(crate) const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// An endpoint's agreement.
pub(crate) const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// Goodbye, 1001, to a client.
pub(crate) const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xE9];

/// An endpoint whose connections the test itself accepts.
pub(crate) struct Endpoint {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// The next connection that the proxy makes.
    #[track_caller]
    pub(crate) fn accept(&self) -> Wire {
        let clock = Clock::real();
        let start = clock.now();
        loop {
            if let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(false).unwrap();
                return Wire::new(stream);
            }
            assert!(clock.now() - start < PATIENCE, "the proxy never connected");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// A tunnel through the proxy: the client's end and the endpoint's.
    #[track_caller]
    pub(crate) fn tunnel(&self, proxy: &Proxy) -> (Wire, Wire) {
        let mut client = proxy.client();
        client.send(ASK);
        let mut endpoint = self.accept();
        endpoint.request_head().expect("the wish");
        endpoint.send(AGREE);
        let head = client.head().expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (client, endpoint)
    }
}

/// Fails unless bytes still go both ways.
#[track_caller]
pub(crate) fn assert_open((client, endpoint): &mut (Wire, Wire)) {
    client.send(frame(b"ping"));
    assert_eq!(endpoint.up_to(10), frame(b"ping"));
    endpoint.send(b"\x81\x04pong");
    assert_eq!(client.up_to(6), b"\x81\x04pong");
}

/// Fails unless both sides are told 1001, and then that it is over.
#[track_caller]
pub(crate) fn assert_told_1001((client, endpoint): &mut (Wire, Wire)) {
    assert_eq!(client.up_to(4), GOING_AWAY, "to the client");
    assert_eq!(unmasked(&endpoint.up_to(8)), GOING_AWAY, "to the endpoint");
    client.send(frame_of(0x88, &GOING_AWAY[2..]));
    endpoint.send(GOING_AWAY);
    assert!(client.rest().is_empty() && endpoint.rest().is_empty(), "nothing follows a goodbye");
}

/// A short text as a client sends it.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    frame_of(0x81, payload)
}

fn frame_of(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 77, 7, 77];
    let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let length = 0x80 | u8::try_from(payload.len()).unwrap();
    [first, length].into_iter().chain(mask).chain(masked).collect()
}

/// A short masked frame without its mask.
pub(crate) fn unmasked(frame: &[u8]) -> Vec<u8> {
    assert!(frame.len() >= 6 && frame[1] & 0x80 != 0, "not a masked frame: {frame:?}");
    let payload = frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [frame[0], frame[1] & 0x7F].into_iter().chain(payload).collect()
}
