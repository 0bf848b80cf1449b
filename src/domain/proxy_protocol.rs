//! The PROXY protocol (HAProxy's `proxy-protocol.txt`): the first bytes of a connection say who it is from, when whoever
//! made it only relays it. Versions 1 (a line of text) and 2 (binary).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header: that of version 1 has 107 bytes at the most, version 2 could announce 64 KiB of extensions.
pub const LONGEST: usize = 4096;

const LINE: &[u8] = b"PROXY ";
const LONGEST_LINE: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED: usize = 16;
const CRC32C: u8 = 0x03;

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// Whoever connected speaks for itself (a health check), or for somebody without an IP address.
    Own,
    /// It relays this connection.
    Relayed {
        /// Who made it.
        source: SocketAddr,
        /// Where that one connected to.
        destination: SocketAddr,
    },
}

/// Bytes that are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadProxyHeader {
    /// They begin with something else.
    Missing,
    /// It begins well, and breaks the rules.
    Malformed,
    /// Longer than any header that is read here.
    TooLong,
    /// Its checksum is not that of its bytes.
    Corrupt,
}

impl ProxyHeader {
    /// Reads the header at the beginning of `bytes`, and how long it is. `None`: it is not whole yet, and every byte so far
    /// belongs to it.
    ///
    /// # Errors
    /// When `bytes` are not the beginning of a header, however they may go on.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, BadProxyHeader> {
        let begins_like = |start: &[u8]| bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted);
        if begins_like(SIGNATURE) {
            read_binary(bytes)
        } else if begins_like(LINE) {
            read_line(bytes)
        } else {
            Err(BadProxyHeader::Missing)
        }
    }

    /// The header in bytes.
    pub fn write(self, version: ProxyProtocol) -> Vec<u8> {
        match (version, self) {
            (ProxyProtocol::V1, Self::Own) => b"PROXY UNKNOWN\r\n".to_vec(),
            (ProxyProtocol::V1, Self::Relayed { source, destination }) => {
                let (family, from, to) = match same_family(source.ip(), destination.ip()) {
                    Pair::V4(from, to) => ("TCP4", from.to_string(), to.to_string()),
                    Pair::V6(from, to) => ("TCP6", from.to_string(), to.to_string()),
                };
                format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
                    .into_bytes()
            }
            (ProxyProtocol::V2, Self::Own) => [SIGNATURE.as_slice(), &[0x20, 0, 0, 0]].concat(),
            (ProxyProtocol::V2, Self::Relayed { source, destination }) => {
                let (family, length, addresses) = match same_family(source.ip(), destination.ip()) {
                    Pair::V4(from, to) => (0x11, 12, [from.octets(), to.octets()].concat()),
                    Pair::V6(from, to) => (0x21, 36, [from.octets(), to.octets()].concat()),
                };
                let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
                [SIGNATURE.as_slice(), &[0x21, family, 0, length], &addresses, &ports].concat()
            }
        }
    }
}

/// Both addresses in the family that has room for both.
enum Pair {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

fn same_family(from: IpAddr, to: IpAddr) -> Pair {
    let wide = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    match (from.to_canonical(), to.to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Pair::V4(from, to),
        (from, to) => Pair::V6(wide(from), wide(to)),
    }
}

/// Section 2.1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`.
fn read_line(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, BadProxyHeader> {
    let line = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = line.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if line.len() == LONGEST_LINE { Err(BadProxyHeader::TooLong) } else { Ok(None) };
    };
    match (line[end], line.get(end + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if line.len() < LONGEST_LINE => return Ok(None),
        (b'\r', None) => return Err(BadProxyHeader::TooLong),
        _ => return Err(BadProxyHeader::Malformed),
    }
    let text = line.get(LINE.len()..end).and_then(|text| std::str::from_utf8(text).ok());
    let header = text.and_then(read_fields).ok_or(BadProxyHeader::Malformed)?;
    Ok(Some((header, end + 2)))
}

fn read_fields(text: &str) -> Option<ProxyHeader> {
    let mut fields = text.split(' ');
    let family = fields.next()?;
    if family == "UNKNOWN" {
        // What follows is to be ignored.
        return Some(ProxyHeader::Own);
    }
    let mut address = || -> Option<IpAddr> {
        let field = fields.next()?;
        match family {
            "TCP4" => field.parse().ok().map(IpAddr::V4),
            "TCP6" => field.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (from, to) = (address()?, address()?);
    let (source, destination) = (port(fields.next()?)?, port(fields.next()?)?);
    let relayed = ProxyHeader::Relayed {
        source: SocketAddr::new(from, source),
        destination: SocketAddr::new(to, destination),
    };
    fields.next().is_none().then_some(relayed)
}

/// Digits alone, without a zero before others.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| digits && canonical)
}

/// Section 2.2.
fn read_binary(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, BadProxyHeader> {
    // What can be refused is refused at once: who speaks another protocol shall not wait for more.
    let relayed = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => false,
        Some(0x21) => true,
        Some(_) => return Err(BadProxyHeader::Malformed),
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    if family >> 4 > 3 || family & 0xF > 2 {
        return Err(BadProxyHeader::Malformed);
    }
    let Some(&[high, low]) = bytes.get(14..FIXED) else { return Ok(None) };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(BadProxyHeader::TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let said = if relayed { read_addresses(header, family)? } else { ProxyHeader::Own };
    Ok(Some((said, length)))
}

fn read_addresses(header: &[u8], family: u8) -> Result<ProxyHeader, BadProxyHeader> {
    let body = &header[FIXED..];
    let size = match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        // Unspecified: nothing in it is to be used.
        _ => return Ok(ProxyHeader::Own),
    };
    let (addresses, _) = body.split_at_checked(size).ok_or(BadProxyHeader::Malformed)?;
    check_extensions(header, FIXED + size)?;
    let said = match family {
        0x11 => read_pair::<4>(addresses),
        0x21 => read_pair::<16>(addresses),
        // Datagrams and unix sockets: no address that a client of ours can have.
        _ => return Ok(ProxyHeader::Own),
    };
    said.ok_or(BadProxyHeader::Malformed)
}

/// Two addresses of `N` bytes, then two ports.
fn read_pair<const N: usize>(bytes: &[u8]) -> Option<ProxyHeader>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = bytes.split_first_chunk::<N>()?;
    let (to, ports) = rest.split_first_chunk::<N>()?;
    let &[a, b, c, d] = ports else { return None };
    Some(ProxyHeader::Relayed {
        source: SocketAddr::new(IpAddr::from(*from), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(IpAddr::from(*to), u16::from_be_bytes([c, d])),
    })
}

/// Type, length, value: skipped, but they must add up, and a checksum must be right.
fn check_extensions(header: &[u8], mut at: usize) -> Result<(), BadProxyHeader> {
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else { return Err(BadProxyHeader::Malformed) };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let said = header.get(value.clone()).ok_or(BadProxyHeader::Malformed)?;
        if kind == CRC32C {
            let said: [u8; 4] = said.try_into().map_err(|_| BadProxyHeader::Malformed)?;
            // Over the whole header, its own place counted as zeros.
            let mut zeroed = header.to_vec();
            zeroed[value.clone()].fill(0);
            if crc32c(&zeroed) != u32::from_be_bytes(said) {
                return Err(BadProxyHeader::Corrupt);
            }
        }
        at = value.end;
    }
    Ok(())
}

/// RFC 4960 appendix B. Bit by bit: a few headers have one, each once per connection.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 }
            },
        )
    })
}

impl fmt::Display for BadProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the connection does not begin with a PROXY header",
            Self::Malformed => "the PROXY header breaks the rules of its protocol",
            Self::TooLong => "the PROXY header is too long",
            Self::Corrupt => "the PROXY header's checksum is wrong",
        })
    }
}

impl std::error::Error for BadProxyHeader {}

#[cfg(test)]
mod tests;
