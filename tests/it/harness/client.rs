//! A client with one keep-alive connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::wait::LIMIT;
use super::wire::{Framing, Head, read_body, read_chunk};

/// One connection, over which requests go one after the other.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
    /// Whether the other side said that it will close.
    pub(crate) closing: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Client {
    /// Connects to a listener.
    pub(crate) fn connect(to: SocketAddr) -> io::Result<Self> {
        Self::with_patience(to, LIMIT)
    }

    /// Connects from this address of the machine.
    pub(crate) fn connect_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&to.into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)), closing: false })
    }

    /// Waits no longer than that for any part of an answer.
    pub(crate) fn with_patience(to: SocketAddr, patience: Duration) -> io::Result<Self> {
        Self::over(TcpStream::connect(to)?, patience)
    }

    /// Over a connection that somebody else made, with no longer patience than that.
    pub(crate) fn over(stream: TcpStream, patience: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)), closing: false })
    }

    /// Connects to a unix socket.
    pub(crate) fn connect_unix(to: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(to)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)), closing: false })
    }

    /// GET, whole answer.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Response> {
        self.request("GET", path, &[], b"")
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.send_request(method, path, fields, body)?;
        self.response(method)
    }

    /// Sends a request and does not wait.
    pub(crate) fn send_request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str("host: web.example\r\n");
        }
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        self.send_raw(&bytes)
    }

    /// Sends these bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads a whole answer to a request with this method.
    pub(crate) fn response(&mut self, method: &str) -> io::Result<Response> {
        let head = self.response_head()?;
        let status = status_of(&head)?;
        let body = match (method, status) {
            ("HEAD", _) | (_, 100..=199 | 204 | 304) => Vec::new(),
            (_, _) => read_body(&mut self.stream, head.framing(Framing::UntilClose)?)?,
        };
        Ok(Response { status, head, body })
    }

    /// Reads an answer's head; its body is read piece by piece with [`Self::piece`].
    pub(crate) fn response_head(&mut self) -> io::Result<Head> {
        let head = Head::read(&mut self.stream)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::ConnectionAborted, "the connection ended without an answer")
        })?;
        self.closing = head.closes();
        Ok(head)
    }

    /// The next piece of a chunked body; `None` at its end.
    pub(crate) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        read_chunk(&mut self.stream)
    }

    /// Waits until the other side closes; gives what it still sent.
    pub(crate) fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Waits for the first byte of an answer, and leaves it there.
    pub(crate) fn first_byte(&mut self) -> io::Result<Option<u8>> {
        Ok(self.stream.fill_buf()?.first().copied())
    }
}

impl Response {
    /// Which version answered; empty when none did.
    pub(crate) fn version(&self) -> &str {
        self.head.field("x-version").unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn status_of(head: &Head) -> io::Result<u16> {
    head.word(1)
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("no status in `{}`", head.line)))
}
