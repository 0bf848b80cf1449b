//! The PROXY protocol: a header is read alike however its bytes come, and what is written is what is read.
//!
//! Input: the first bytes of a connection.

use std::net::SocketAddr;

use adit::domain::proxy_protocol::{LONGEST, ProxyHeader, ProxyProtocol};

pub(crate) fn check(data: &[u8]) {
    match ProxyHeader::read(data) {
        Ok(Some((header, length))) => {
            assert!((1..=LONGEST.min(data.len())).contains(&length), "{length} of {}", data.len());
            // Not before its last byte, and whatever comes behind it.
            for end in prefixes(length) {
                assert_eq!(ProxyHeader::read(&data[..end]), Ok(None), "the first {end} bytes of {length}");
            }
            assert_eq!(ProxyHeader::read(&data[..length]), Ok(Some((header, length))));
            is_written_as_it_is_read(header);
        }
        Ok(None) => {
            assert!(data.len() < LONGEST, "more is wanted after {} bytes", data.len());
            for end in prefixes(data.len()) {
                assert_eq!(ProxyHeader::read(&data[..end]), Ok(None), "the first {end} bytes");
            }
        }
        Err(error) => {
            // Once bad, bad for ever.
            let first = (0..data.len()).rev().take_while(|end| ProxyHeader::read(&data[..*end]).is_err());
            let good = first.last().unwrap_or(data.len());
            for end in prefixes(good) {
                assert_eq!(ProxyHeader::read(&data[..end]), Ok(None), "{error}: the first {end} bytes");
            }
        }
    }
}

fn prefixes(length: usize) -> impl Iterator<Item = usize> {
    let step = if length > 512 { 61 } else { 1 };
    (0..length).step_by(step)
}

fn is_written_as_it_is_read(header: ProxyHeader) {
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let bytes = header.write(version);
        let read = ProxyHeader::read(&bytes).expect("what we write is well formed");
        let (read, length) = read.expect("and whole");
        assert_eq!((plain(read), length), (plain(header), bytes.len()), "{version:?}");
    }
}

/// Without the ways to write one address in two families.
fn plain(header: ProxyHeader) -> Option<(SocketAddr, SocketAddr)> {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    match header {
        ProxyHeader::Own => None,
        ProxyHeader::Relayed { source, destination } => Some((canonical(source), canonical(destination))),
    }
}
