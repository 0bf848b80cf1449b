//! One request over a connection of its own: for setting up and checking, never for measuring.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(5);

pub fn status(port: u16, host: &str, path: &str) -> Option<u16> {
    Some(get(port, host, path)?.status)
}

pub fn get(port: u16, host: &str, path: &str) -> Option<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(port, request.as_bytes())
}

/// Sends this, reads until the other side closes.
pub fn exchange(port: u16, request: &[u8]) -> Option<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some(Answer { status, body: answer.split_off(end) })
}
