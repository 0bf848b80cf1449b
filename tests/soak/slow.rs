//! Clients that are slow, but not too slow: they must be answered like all others.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::tally::Tally;
use crate::world::{BIG, World};

const BEAT: Duration = Duration::from_millis(10);

/// A request that comes in little pieces: head and body.
pub(crate) fn trickle(world: &World, tally: &Tally) {
    let request = "POST /clean/trickle/1 HTTP/1.1\r\nhost: still.example\r\nconnection: close\r\ncontent-length: 40\r\n\r\n\
                   0123456789012345678901234567890123456789";
    repeat("trickle", "still", tally, || {
        let mut stream = connect(world)?;
        for piece in request.as_bytes().chunks(4) {
            stream.write_all(piece)?;
            std::thread::park_timeout(BEAT);
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    });
}

/// An answer that is read in little pieces.
pub(crate) fn sip(world: &World, tally: &Tally) {
    let request = b"GET /clean/sip/1 HTTP/1.1\r\nhost: big.example\r\nconnection: close\r\n\r\n";
    repeat("sip", "big", tally, || {
        let mut stream = connect(world)?;
        stream.write_all(request)?;
        let (mut answer, mut piece) = (Vec::new(), [0; 8192]);
        loop {
            match stream.read(&mut piece)? {
                0 => break,
                read => answer.extend_from_slice(&piece[..read]),
            }
            std::thread::park_timeout(BEAT);
        }
        if u64::try_from(answer.len()).is_ok_and(|length| length < BIG) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    });
}

fn connect(world: &World) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(world.front.plain)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn repeat(kind: &str, service: &str, tally: &Tally, mut ask: impl FnMut() -> io::Result<Vec<u8>>) {
    while !tally.is_stopped() {
        match ask() {
            Ok(answer) if answer.starts_with(b"HTTP/1.1 200 ") => tally.add(kind, service, 200, 1),
            other => tally.complain(format!("{kind}: {other:?}")),
        }
    }
}
