use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn relayed(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::Relayed { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// A header of version 2 with these two bytes after the signature, and this body.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE.as_slice(), &[command, family], &length, body].concat()
}

const TCP4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x1F, 0x90, 0x01, 0xBB];

#[test]
fn lines_are_read_as_they_are_specified() {
    let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let everything = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", relayed("192.0.2.1:56324", "192.0.2.2:443")),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", relayed("0.0.0.0:0", "255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", relayed("[2001:db8::1]:1", "[::1]:2")),
        ("PROXY UNKNOWN\r\n", ProxyHeader::Own),
        ("PROXY UNKNOWN ffff::1 what ever\r\n", ProxyHeader::Own),
        (everything.as_str(), ProxyHeader::Own),
    ] {
        assert_eq!(ProxyHeader::read(line.as_bytes()), Ok(Some((expected, line.len()))), "{line:?}");
    }
    let read = ProxyHeader::read(longest.as_bytes());
    assert!(matches!(read, Ok(Some((ProxyHeader::Relayed { .. }, 104)))), "{read:?}");
}

#[test]
fn lines_that_break_the_rules_are_refused() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(108 - 16));
    for (line, why) in [
        ("GET / HTTP/1.1\r\n", BadProxyHeader::Missing),
        ("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", BadProxyHeader::Missing),
        (" PROXY UNKNOWN\r\n", BadProxyHeader::Missing),
        ("PROXY\r\n", BadProxyHeader::Missing),
        ("PROXY \r\n", BadProxyHeader::Malformed),
        ("PROXY UNKNOWN\n", BadProxyHeader::Malformed),
        ("PROXY UNKNOWN\r\r\n", BadProxyHeader::Malformed),
        ("PROXY UNKNOWNS\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP 192.0.2.1 192.0.2.2 1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n", BadProxyHeader::Malformed),
        ("PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n", BadProxyHeader::Malformed),
        (too_long.as_str(), BadProxyHeader::TooLong),
        (&"PROXY UNKNOWN ".repeat(100), BadProxyHeader::TooLong),
    ] {
        assert_eq!(ProxyHeader::read(line.as_bytes()), Err(why), "{line:?}");
    }
    assert_eq!(ProxyHeader::read(b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n"), Err(BadProxyHeader::Malformed));
}

#[test]
fn binary_headers_are_read_as_they_are_specified() {
    let mut tcp6 = [0; 36];
    (tcp6[15], tcp6[31], tcp6[33], tcp6[35]) = (1, 2, 3, 4);
    let with_extensions = [TCP4.as_slice(), &[0x04, 0, 2, 0, 0], &[0xEE, 0, 0]].concat();
    for (what, bytes, expected) in [
        ("TCP4", binary(0x21, 0x11, &TCP4), relayed("192.0.2.1:8080", "192.0.2.2:443")),
        ("TCP6", binary(0x21, 0x21, &tcp6), relayed("[::1]:3", "[::2]:4")),
        ("extensions", binary(0x21, 0x11, &with_extensions), relayed("192.0.2.1:8080", "192.0.2.2:443")),
        ("LOCAL", binary(0x20, 0x00, &[]), ProxyHeader::Own),
        ("LOCAL with an address", binary(0x20, 0x11, &TCP4), ProxyHeader::Own),
        ("LOCAL with what is not looked at", binary(0x20, 0x11, &[1, 2, 3]), ProxyHeader::Own),
        ("unspecified", binary(0x21, 0x00, &[9; 40]), ProxyHeader::Own),
        ("datagrams", binary(0x21, 0x12, &TCP4), ProxyHeader::Own),
        ("unix", binary(0x21, 0x31, &[0; 216]), ProxyHeader::Own),
        ("the longest", binary(0x21, 0x00, &[0; LONGEST - 16]), ProxyHeader::Own),
    ] {
        assert_eq!(ProxyHeader::read(&bytes), Ok(Some((expected, bytes.len()))), "{what}");
    }
}

#[test]
fn binary_headers_that_break_the_rules_are_refused() {
    let extended = |extension: &[u8]| binary(0x21, 0x11, &[TCP4.as_slice(), extension].concat());
    for (what, bytes, why) in [
        ("version 1", binary(0x11, 0x11, &TCP4), BadProxyHeader::Malformed),
        ("version 3", binary(0x31, 0x11, &TCP4), BadProxyHeader::Malformed),
        ("no such command", binary(0x22, 0x11, &TCP4), BadProxyHeader::Malformed),
        ("no such family", binary(0x21, 0x41, &TCP4), BadProxyHeader::Malformed),
        ("no such transport", binary(0x21, 0x13, &TCP4), BadProxyHeader::Malformed),
        ("short TCP4", binary(0x21, 0x11, &TCP4[..11]), BadProxyHeader::Malformed),
        ("TCP4 as TCP6", binary(0x21, 0x21, &TCP4), BadProxyHeader::Malformed),
        ("short unix", binary(0x21, 0x31, &[0; 215]), BadProxyHeader::Malformed),
        ("half an extension", extended(&[4, 0]), BadProxyHeader::Malformed),
        ("an extension too long", extended(&[4, 0, 2, 0]), BadProxyHeader::Malformed),
        ("a checksum too short", extended(&[3, 0, 3, 0, 0, 0]), BadProxyHeader::Malformed),
        ("a wrong checksum", extended(&[3, 0, 4, 0, 0, 0, 0]), BadProxyHeader::Corrupt),
        ("too long", binary(0x21, 0x00, &[0; LONGEST - 15]), BadProxyHeader::TooLong),
        ("another signature", b"\r\n\r\n\0\r\nQUIT\r".to_vec(), BadProxyHeader::Missing),
    ] {
        assert_eq!(ProxyHeader::read(&bytes), Err(why), "{what}");
    }
}

#[test]
fn a_checksum_is_over_the_whole_header() {
    // RFC 3720 appendix B.4.
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    let mut header = binary(0x21, 0x11, &[TCP4.as_slice(), &[3, 0, 4, 0, 0, 0, 0]].concat());
    let sum = crc32c(&header).to_be_bytes();
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum);
    assert!(matches!(ProxyHeader::read(&header), Ok(Some((ProxyHeader::Relayed { .. }, _)))));
    let kind = 16 + TCP4.len();
    for byte in (16..header.len()).filter(|byte| *byte != kind) {
        let mut changed = header.clone();
        changed[byte] ^= 0x10;
        assert!(ProxyHeader::read(&changed).is_err(), "byte {byte}");
    }
}

#[test]
fn families_are_not_mixed() {
    let mixed = relayed("192.0.2.1:1", "[2001:db8::2]:2");
    let line = mixed.write(ProxyProtocol::V1);
    assert_eq!(line, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n");
    let (read, _) = ProxyHeader::read(&mixed.write(ProxyProtocol::V2)).unwrap().unwrap();
    assert_eq!(read, relayed("[::ffff:192.0.2.1]:1", "[2001:db8::2]:2"));
    let narrow = relayed("[::ffff:192.0.2.1]:1", "192.0.2.2:2").write(ProxyProtocol::V1);
    assert_eq!(narrow, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
}

fn addresses() -> impl Strategy<Value = ProxyHeader> {
    let v4 = any::<([u8; 4], u16, [u8; 4], u16)>()
        .prop_map(|(a, b, c, d)| (SocketAddr::from((a, b)), SocketAddr::from((c, d))));
    let v6 = any::<([u16; 8], u16, [u16; 8], u16)>()
        .prop_map(|(a, b, c, d)| (SocketAddr::from((a, b)), SocketAddr::from((c, d))))
        .prop_filter("is IPv4 in disguise", |(a, c)| {
            [a, c].iter().all(|it| it.ip().to_canonical().is_ipv6())
        });
    let relayed =
        prop_oneof![v4, v6].prop_map(|(source, destination)| ProxyHeader::Relayed { source, destination });
    prop_oneof![Just(ProxyHeader::Own), relayed]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_and_nothing_behind_it(
        header in addresses(),
        v2 in any::<bool>(),
        rest in any::<Vec<u8>>(),
    ) {
        let written = header.write(if v2 { ProxyProtocol::V2 } else { ProxyProtocol::V1 });
        for end in 0..written.len() {
            prop_assert_eq!(ProxyHeader::read(&written[..end]), Ok(None), "{} bytes", end);
        }
        let whole = [written.as_slice(), &rest].concat();
        prop_assert_eq!(ProxyHeader::read(&whole), Ok(Some((header, written.len()))));
    }

    #[test]
    fn a_verdict_on_a_beginning_is_the_verdict_on_the_whole(
        bytes in prop_oneof![
            any::<Vec<u8>>(),
            any::<Vec<u8>>().prop_map(|rest| [LINE, &rest].concat()),
            any::<Vec<u8>>().prop_map(|rest| [SIGNATURE.as_slice(), &rest].concat()),
            (any::<[u8; 2]>(), any::<Vec<u8>>()).prop_map(|([a, b], body)| binary(0x20 | a & 1, b & 0x33, &body)),
            "PROXY (TCP4|TCP6|UNKNOWN|TCP)( [0-9.:a-f]{1,8}){0,5}(\r\n|\n|\r| )x{0,110}".prop_map(String::into_bytes),
        ],
    ) {
        let whole = ProxyHeader::read(&bytes);
        if let Ok(Some((_, length))) = whole {
            prop_assert!(length <= bytes.len() && length <= LONGEST);
        }
        for end in 0..bytes.len() {
            match ProxyHeader::read(&bytes[..end]) {
                Ok(None) => {}
                decided => prop_assert_eq!(decided, whole, "{} bytes", end),
            }
        }
        // What is not decided can only be short.
        prop_assert!(whole != Ok(None) || bytes.len() < LONGEST);
    }
}
