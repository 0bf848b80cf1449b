//! Clients that keep to no rule. Nothing is promised to them; nobody else may notice them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;

use crate::tally::Tally;
use crate::world::World;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A client that stalls waits until it is thrown out; longer than any timer of the config.
const PATIENCE: Duration = Duration::from_secs(10);

type Way = (&'static str, fn(&World) -> io::Result<()>);

const WAYS: [Way; 9] = [
    ("garbage: random bytes", |world| throw(world.front.plain, &random(300))),
    ("garbage: random bytes to TLS", |world| throw(world.front.tls, &random(300))),
    ("garbage: a request to TLS", |world| {
        throw(world.front.tls, b"GET / HTTP/1.1\r\nhost: dirty.example\r\n\r\n")
    }),
    ("garbage: half a handshake", half_a_handshake),
    ("garbage: HTTP/2 frames", |world| throw(world.front.plain, &[PREFACE, &random(200)].concat())),
    ("garbage: HTTP/2 over TLS", http2_over_tls),
    ("garbage: half a head, reset", |world| {
        reset(world.front.plain, b"GET /garbage HTTP/1.1\r\nhost: dirty.exa")
    }),
    ("garbage: a request, reset", |world| {
        reset(world.front.plain, b"GET /garbage HTTP/1.1\r\nhost: dirty.example\r\n\r\n")
    }),
    ("garbage: half a body, reset", |world| {
        reset(
            world.front.plain,
            b"POST /garbage HTTP/1.1\r\nhost: dirty.example\r\ncontent-length: 100\r\n\r\nonly this",
        )
    }),
];

/// One after the other until the load stops.
pub(crate) fn throw_all(world: &World, tally: &Tally) {
    for (name, way) in WAYS.iter().cycle() {
        if tally.is_stopped() {
            return;
        }
        // Being thrown out is what it is for.
        drop(way(world));
        tally.did(name);
        tally.pause(Duration::from_millis(10));
    }
}

/// A head that never ends, until the program ends it.
pub(crate) fn stall(world: &World, tally: &Tally) {
    while !tally.is_stopped() {
        drop(throw(world.front.plain, b"GET /garbage HTTP/1.1\r\nhost: "));
        drop(half_a_handshake_held(world));
        tally.did("garbage: stalled");
    }
}

fn random(length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect()
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends it, and takes what comes until the other side closes.
fn throw(to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = connect(to)?;
    stream.write_all(bytes)?;
    swallow(stream)
}

fn swallow(mut stream: impl Read) -> io::Result<()> {
    io::copy(&mut (&mut stream).take(1 << 20), &mut io::sink()).map(drop)
}

/// Sends it, and is gone without a goodbye.
fn reset(to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = connect(to)?;
    stream.write_all(bytes)?;
    // Sometimes at once, sometimes when the answer is on its way.
    std::thread::park_timeout(Duration::from_micros(fastrand::u64(..2000)));
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

fn hello(world: &World) -> io::Result<Vec<u8>> {
    let name = ServerName::try_from("dirty.example").map_err(io::Error::other)?;
    let mut client = ClientConnection::new(world.front.terms(b"h2"), name).map_err(io::Error::other)?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello)?;
    hello.truncate(hello.len() / 2);
    Ok(hello)
}

fn half_a_handshake(world: &World) -> io::Result<()> {
    connect(world.front.tls)?.write_all(&hello(world)?)
}

fn half_a_handshake_held(world: &World) -> io::Result<()> {
    throw(world.front.tls, &hello(world)?)
}

fn http2_over_tls(world: &World) -> io::Result<()> {
    let name = ServerName::try_from("dirty.example").map_err(io::Error::other)?;
    let client =
        ClientConnection::new(Arc::clone(&world.front.terms(b"h2")), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(client, connect(world.front.tls)?);
    stream.write_all(&[PREFACE, &random(200)].concat())?;
    swallow(stream)
}
