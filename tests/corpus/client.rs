//! A client of HTTP/1 that sends whatever it is told and reads answers strictly.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a proxy listens.
#[derive(Clone, Debug)]
pub(crate) enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection to a proxy.
pub(crate) struct Peer {
    socket: Socket,
    pub(crate) ahead: Vec<u8>,
    /// The other side has closed or reset the connection.
    pub(crate) closed: bool,
    /// Nothing came for as long as was waited.
    pub(crate) silent: bool,
    patience: Duration,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) whole: bool,
    /// What is wrong with it.
    pub(crate) faults: Vec<String>,
}

impl Peer {
    pub(crate) fn connect(at: &At, patience: Duration) -> Self {
        let socket = match at {
            At::Tcp(address) => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                Socket::Tcp(stream)
            }
            At::Unix(path) => Socket::Unix(UnixStream::connect(path).unwrap()),
        };
        let mut peer = Self { socket, ahead: Vec::new(), closed: false, silent: false, patience };
        peer.set_patience(patience);
        peer
    }

    fn set_patience(&mut self, patience: Duration) {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_read_timeout(Some(patience)).unwrap(),
            Socket::Unix(stream) => stream.set_read_timeout(Some(patience)).unwrap(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _gone = match &mut self.socket {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        };
    }

    pub(crate) fn finish(&mut self) {
        let _gone = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Reads more. `false`: there is no more, or nothing came for too long.
    pub(crate) fn more(&mut self) -> bool {
        if self.closed {
            return false;
        }
        let mut buffer = [0; 16 * 1024];
        let read = match &mut self.socket {
            Socket::Tcp(stream) => stream.read(&mut buffer),
            Socket::Unix(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(length) => {
                self.closed = length == 0;
                self.ahead.extend_from_slice(&buffer[..length]);
                length > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.silent = true;
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(_reset) => {
                self.closed = true;
                false
            }
        }
    }

    /// Looks for a moment whether the connection has closed; bytes that come are kept.
    pub(crate) fn has_closed(&mut self, moment: Duration) -> bool {
        self.set_patience(moment);
        self.more();
        self.set_patience(self.patience);
        self.silent = false;
        self.closed
    }

    /// Reads until the end of the stream.
    pub(crate) fn drain(&mut self) {
        while self.more() {}
    }

    /// The next answer, to a request that has a body in its answer unless `bodiless`.
    pub(crate) fn reply(&mut self, bodiless: bool) -> Option<Reply> {
        let head = loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break self.ahead.drain(..end + 4).collect::<Vec<u8>>();
            }
            if !self.more() {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&head[..head.len() - 4]).into_owned();
        let mut faults = Vec::new();
        if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
            faults.push(format!("a bare CR, LF or NUL in {head:?}"));
        }
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        if !line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.0 ") || !(100..600).contains(&status) {
            faults.push(format!("status line {line:?}"));
        }
        let fields: Vec<(String, String)> = lines
            .filter_map(|line| {
                let field =
                    line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
                if field.as_ref().is_none_or(|(name, _)| name.is_empty() || name.contains([' ', '\t'])) {
                    faults.push(format!("field {line:?}"));
                }
                field
            })
            .collect();
        let mut reply = Reply { status, fields, body: Vec::new(), whole: true, faults };
        if !bodiless && status >= 200 && ![204, 304].contains(&status) {
            self.body(&mut reply);
        }
        Some(reply)
    }

    fn body(&mut self, reply: &mut Reply) {
        let lengths = reply.all("content-length");
        match (&reply.all("transfer-encoding")[..], &lengths[..]) {
            ([], []) => {
                self.drain();
                reply.body = std::mem::take(&mut self.ahead);
            }
            ([], [length]) if length.parse::<usize>().is_ok() => {
                let length = length.parse().unwrap();
                while self.ahead.len() < length && self.more() {}
                reply.whole = self.ahead.len() >= length;
                reply.body = self.ahead.drain(..length.min(self.ahead.len())).collect();
            }
            (["chunked"], []) => reply.whole = self.chunks(&mut reply.body),
            framing => {
                let fault = format!("framing {framing:?}");
                reply.faults.push(fault);
            }
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(line) = self.line() else { return false };
            let Ok(size) = usize::from_str_radix(&line, 16) else { return false };
            if size == 0 {
                // Trailers, up to an empty line.
                while let Some(line) = self.line() {
                    if line.is_empty() {
                        return true;
                    }
                }
                return false;
            }
            while self.ahead.len() < size + 2 {
                if !self.more() {
                    body.append(&mut self.ahead);
                    return false;
                }
            }
            body.extend(self.ahead.drain(..size + 2).take(size));
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }
}

impl Reply {
    pub(crate) fn all(&self, wanted: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// As outcomes say it.
    pub(crate) fn summary(&self) -> String {
        let cut = if self.whole { "" } else { " cut" };
        format!("{}{cut}", self.status)
    }

    /// What an answer of ours must not be, though it can be read.
    pub(crate) fn unfit(&self, upgrade: Option<&str>) -> Vec<String> {
        let mut faults = self.faults.clone();
        for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "te"] {
            if !self.all(name).is_empty() {
                faults.push(format!("{name} reached the client"));
            }
        }
        if upgrade.is_none() && !self.all("upgrade").is_empty() {
            faults.push("upgrade reached the client".into());
        }
        let connection = self.all("connection");
        if upgrade.is_none() && !matches!(connection[..], [] | ["close"] | ["keep-alive"]) {
            faults.push(format!("connection: {connection:?}"));
        }
        faults
    }
}
