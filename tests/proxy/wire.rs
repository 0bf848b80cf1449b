//! A connection of which a test sees every byte.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use adit::domain::proxy_protocol::ProxyHeader;

use crate::world::PATIENCE;

/// The heads of requests that arrived.
pub(crate) type Heads = Arc<Mutex<Vec<String>>>;

/// A connection, at either end.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    ahead: Vec<u8>,
    pub(crate) heads: Heads,
    /// Which connection to the endpoint this is, counted from 0.
    pub(crate) number: usize,
}

/// What a client got.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body came as far as the head promised.
    pub(crate) whole: bool,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new(), heads: Heads::default(), number: 0 }
    }

    /// Sends bytes. Whoever hung up does not get them.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _gone = self.stream.write_all(bytes.as_ref());
    }

    /// The PROXY header that a connection begins with; `None`: it ends, or begins with something else.
    pub(crate) fn proxy_header(&mut self) -> Option<ProxyHeader> {
        loop {
            if let Some((header, length)) = ProxyHeader::read(&self.ahead).ok()? {
                self.ahead.drain(..length);
                return Some(header);
            }
            if self.more() == 0 {
                return None;
            }
        }
    }

    /// The head and body of the next request; `None` when there is none.
    pub(crate) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.request_head()?;
        let body = self.body(&head, Framing::of_request(&head)).0;
        Some((head, body))
    }

    pub(crate) fn request_head(&mut self) -> Option<String> {
        let head = self.head()?;
        self.heads.lock().unwrap().push(head.clone());
        Some(head)
    }

    /// The answer to a request with this method.
    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        loop {
            let head = self.head().expect("an answer");
            let status: u16 = head[9..12].parse().unwrap();
            if status == 100 {
                continue;
            }
            let bodyless = method == "HEAD" || [204, 304].contains(&status);
            let framing = if bodyless { Framing::Length(0) } else { Framing::of_reply(&head) };
            let (body, whole) = self.body(&head, framing);
            return Reply { status, head, body, whole };
        }
    }

    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// Reads and throws away so many bytes, fewer at the end of the stream. How many it were.
    pub(crate) fn swallow(&mut self, length: usize) -> usize {
        let mut swallowed = 0;
        loop {
            swallowed += self.ahead.len();
            self.ahead.clear();
            if swallowed >= length || self.more() == 0 {
                return swallowed;
            }
        }
    }

    /// The next so many bytes; fewer at the end of the stream.
    pub(crate) fn up_to(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length && self.more() > 0 {}
        self.ahead.drain(..length.min(self.ahead.len())).collect()
    }

    /// All that is still to come.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() > 0 {}
        std::mem::take(&mut self.ahead)
    }

    /// Says that nothing more comes from here.
    pub(crate) fn end(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Whether the other side closed (or reset) the connection, once it does.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// The bytes up to an empty line, in lower case.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.ahead.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if self.more() == 0 {
                return None;
            }
        }
    }

    /// Exactly so many bytes; `None` when there are fewer.
    pub(crate) fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < length {
            if self.more() == 0 {
                return None;
            }
        }
        Some(self.ahead.drain(..length).collect())
    }

    fn more(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer).unwrap_or(0);
        self.ahead.extend_from_slice(&buffer[..read]);
        read
    }

    fn body(&mut self, head: &str, framing: Framing) -> (Vec<u8>, bool) {
        if head.to_lowercase().contains("expect: 100-continue") {
            self.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        match framing {
            Framing::Length(length) => {
                while self.ahead.len() < length && self.more() > 0 {}
                let whole = self.ahead.len() >= length;
                (self.ahead.drain(..length.min(self.ahead.len())).collect(), whole)
            }
            Framing::Chunked => self.chunked(),
            Framing::Close => {
                while self.more() > 0 {}
                (std::mem::take(&mut self.ahead), true)
            }
        }
    }

    fn chunked(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.ahead.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break end,
                    None if self.more() == 0 => return (body, false),
                    None => {}
                }
            };
            let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            while self.ahead.len() < size + 2 {
                if self.more() == 0 {
                    return (body, false);
                }
            }
            body.extend(self.ahead.drain(..size + 2).take(size));
            if size == 0 {
                return (body, true);
            }
        }
    }
}

enum Framing {
    Length(usize),
    Chunked,
    Close,
}

impl Framing {
    fn of_request(head: &str) -> Self {
        match Self::of_reply(head) {
            Self::Close => Self::Length(0),
            framed => framed,
        }
    }

    fn of_reply(head: &str) -> Self {
        let head = head.to_lowercase();
        if head.contains("transfer-encoding: chunked") {
            return Self::Chunked;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        length.map_or(Self::Close, |length| Self::Length(length.parse().unwrap()))
    }
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// The value of a field in a head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
