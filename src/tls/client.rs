//! What is known of a client by its certificate, in the words that endpoints read.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

use crate::domain::Timestamp;

/// A client's certificate, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject as RFC 4514 writes it, in ASCII.
    pub subject: String,
    /// All of it as RFC 9440 writes it: base64 between colons.
    pub whole: String,
}

impl ClientCertificate {
    /// Of a certificate that was found valid, now or when the session that is resumed began. `None` when it is over by
    /// now, or can't be read.
    pub fn read(der: &CertificateDer<'_>, now: Timestamp) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let now = i64::try_from(now.as_micros() / 1_000_000).unwrap_or(i64::MAX);
        (certificate.validity().not_after.timestamp() >= now).then(|| Self {
            subject: distinguished_name(certificate.subject()),
            whole: format!(":{}:", base64(der)),
        })
    }
}

/// RFC 4514 section 2: the last part first.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let written = parts.iter().rev().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"));
    written.collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    match (short_name(&oid), attribute.as_str()) {
        (Some(name), Ok(value)) => format!("{name}={}", escaped(value)),
        (name, _) => {
            let value = attribute.attr_value();
            let tag = u8::try_from(value.tag().0).unwrap_or_default();
            format!("{}=#{}", name.unwrap_or(&oid), hex(&der(tag, value.data)))
        }
    }
}

/// RFC 4514 section 3.
fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        _ => return None,
    })
}

/// RFC 4514 section 2.4. What is not printable ASCII is escaped as well: a field's value carries nothing else safely.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let at_edge = (byte == b' ' && (at == 0 || at == last)) || (byte == b'#' && at == 0);
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => out.extend(['\\', char::from(byte)]),
            _ if at_edge => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:02X}")),
        }
    }
    out
}

/// A value with its tag and length before it (X.690 section 8.1.3).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ ..128) => out.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let digits: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
            out.extend(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * at) & 0x3F).unwrap_or_default();
            out.push(if at <= three.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn subject(parts: &[(DnType, &str)]) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(certificate.der(), Timestamp::from_micros(0)).unwrap()
    }

    #[test]
    fn a_subject_is_written_from_its_end() {
        let parts = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Miller, Meyer + Sons"),
            (DnType::CommonName, "#1 \"Müller\"\r\nx-admin: yes "),
        ];
        let expected = "CN=\\#1 \\\"M\\C3\\BCller\\\"\\0D\\0Ax-admin: yes\\ ,O=Miller\\, Meyer \\+ Sons,C=DE";
        assert_eq!(subject(&parts).subject, expected);
    }

    #[test]
    fn an_attribute_without_a_short_name_is_written_as_its_bytes() {
        let kind = DnType::CustomDnType(vec![2, 5, 4, 5]);
        assert_eq!(subject(&[(kind, "ab")]).subject, "2.5.4.5=#0c026162");
    }

    #[test]
    fn a_certificate_that_is_over_says_nothing() {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(1970, 1, 2);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = |seconds: u64| {
            ClientCertificate::read(certificate.der(), Timestamp::from_micros(seconds * 1_000_000))
        };
        assert!(read(86_400).is_some());
        assert!(read(86_401).is_none());
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
