//! The header of the PROXY protocol at the beginning of a connection. Not a byte behind it is read: what follows belongs
//! to TLS or HTTP.

use std::fmt;
use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::domain::proxy_protocol::{BadProxyHeader, LONGEST, ProxyHeader};

/// Seen at a time. Most headers are shorter.
const PIECE: usize = 256;

/// Why a connection does not say whom it is from.
#[derive(Debug)]
pub(crate) enum NoHeader {
    /// Whoever connected may not say so.
    Untrusted,
    Bad(BadProxyHeader),
    /// It ended before.
    Gone,
}

/// Reads a header, however it is cut in pieces, and nothing else.
pub(crate) async fn read_header(stream: &mut TcpStream) -> Result<ProxyHeader, NoHeader> {
    let mut header = Vec::new();
    loop {
        let before = header.len();
        // Looked at first. All of it is the header's as long as that is not whole.
        let mut piece = [0; PIECE];
        let seen = stream.peek(&mut piece).await?;
        header.extend_from_slice(&piece[..seen]);
        let read = ProxyHeader::read(&header)?;
        let ours = read.map_or(header.len(), |(_, length)| length) - before;
        stream.read_exact(&mut piece[..ours]).await?;
        match read {
            Some((said, _)) => return Ok(said),
            None if seen == 0 || header.len() >= LONGEST => return Err(NoHeader::Gone),
            None => {}
        }
    }
}

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted => f.write_str("it is not among the trusted proxies"),
            Self::Bad(bad) => bad.fmt(f),
            Self::Gone => f.write_str("it ended"),
        }
    }
}

impl From<BadProxyHeader> for NoHeader {
    fn from(bad: BadProxyHeader) -> Self {
        Self::Bad(bad)
    }
}

impl From<io::Error> for NoHeader {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}
