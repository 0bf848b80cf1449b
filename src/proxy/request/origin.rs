//! Who asks, as far as it can be believed: whoever is at the other end of the connection, or whom that names if it is one
//! of the trusted proxies. Of what clients say of themselves nothing is passed on.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers::{
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REAL_IP, X_REQUEST_ID,
};
use super::normalize::is_host;
use crate::domain::routing::TrustedProxies;
use crate::proxy::client::who::Client;

/// A client is at the most so many proxies away: what is behind them is not looked at.
const HOPS: usize = 32;
const LONGEST_REQUEST_ID: usize = 128;

/// Who asks.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) ip: IpAddr,
    /// How it speaks to the first of us that it meets.
    pub(crate) scheme: Scheme,
    /// What a trusted proxy said; `None`: nobody spoke for it.
    told: Option<Box<Told>>,
}

/// What a trusted proxy said, checked.
#[derive(Debug)]
struct Told {
    /// The client and the proxies it came through, ours included.
    chain: HeaderValue,
    real_ip: Option<HeaderValue>,
    host: Option<HeaderValue>,
    port: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
}

/// What an endpoint is told of who asks, in fields that nobody else can set: no client's field of these names is passed on.
/// Beside the client's fields and not among them, for nobody looks for it there.
pub(crate) struct Introduction([Option<HeaderValue>; INTRODUCED.len()]);

static INTRODUCED: [HeaderName; 6] =
    [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT, X_REAL_IP, X_REQUEST_ID];

impl Introduction {
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let fields = INTRODUCED.iter().zip(&self.0);
        fields.filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

impl Origin {
    pub(crate) fn of(client: &Client, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        if !trusted.trusts(client.ip) {
            return Self { ip: client.ip, scheme: client.scheme.clone(), told: None };
        }
        // From right to left: each said who the next one is.
        let chain = chain(headers, |ip| trusted.trusts(ip));
        let ip = chain.last().copied().unwrap_or(client.ip);
        let scheme = scheme(headers);
        let said_port = only(headers, &X_FORWARDED_PORT).filter(|value| is_port(value));
        let told = Told {
            chain: joined(&chain, client),
            // Some proxies pass on whatever their clients write there.
            real_ip: only(headers, &X_REAL_IP).filter(|value| address(value.as_bytes()) == Some(ip)).cloned(),
            host: only(headers, &X_FORWARDED_HOST).filter(|value| is_host(value)).cloned(),
            // Ours says nothing about the one that belongs to their scheme.
            port: said_port.cloned().or_else(|| scheme.is_none().then(|| client.port.clone())),
            request_id: only(headers, &X_REQUEST_ID).filter(|value| is_request_id(value)).cloned(),
        };
        let scheme = scheme.unwrap_or_else(|| client.scheme.clone());
        Self { ip, scheme, told: Some(Box::new(told)) }
    }

    /// The id that a trusted proxy gave the request.
    pub(crate) fn request_id(&self) -> Option<HeaderValue> {
        self.told.as_ref()?.request_id.clone()
    }

    /// What an endpoint is told of who asks. `host`: what was asked for; `request_id`: what the request is called.
    pub(crate) fn introduce(
        &self,
        client: &Client,
        host: Option<HeaderValue>,
        request_id: HeaderValue,
    ) -> Introduction {
        let told = self.told.as_ref();
        let scheme = HeaderValue::from_static(if self.scheme == Scheme::HTTPS { "https" } else { "http" });
        let port = told.map_or(Some(&client.port), |told| told.port.as_ref());
        Introduction([
            Some(told.map_or(&client.name, |told| &told.chain).clone()),
            Some(scheme),
            told.and_then(|told| told.host.clone()).or(host),
            port.cloned(),
            told.and_then(|told| told.real_ip.clone()),
            Some(request_id),
        ])
    }

    /// The client's address for whoever is told by the connection. Its port is known only if it is our own peer.
    pub(crate) fn address(&self, client: &Client) -> SocketAddr {
        SocketAddr::new(self.ip, if self.told.is_none() { client.peer.port() } else { 0 })
    }
}

/// The addresses in `X-Forwarded-For` from the right, up to the first that is not trusted, or to the first text that is no
/// address: who wrote that knows as little as we do. Several lines are one list.
pub(crate) fn chain(headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter();
    let names = lines.rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut chain = Vec::new();
    for name in names.take(HOPS).map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        let Some(ip) = address(name) else { break };
        chain.push(ip);
        if !trusts(ip) {
            break;
        }
    }
    chain
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => text.parse().ok().or_else(|| without_scope(text))?,
    };
    Some(ip.to_canonical())
}

/// An address and a port. A scope means something on one machine alone.
fn without_scope(text: &str) -> Option<IpAddr> {
    let address: SocketAddr = text.parse().ok().filter(|_| !text.contains('%'))?;
    Some(address.ip())
}

/// From left to right, and our own peer at the end.
fn joined(chain: &[IpAddr], client: &Client) -> HeaderValue {
    let mut text = String::new();
    for ip in chain.iter().rev() {
        // Writing to a string does not fail.
        let _written = write!(text, "{ip}, ");
    }
    text.push_str(client.name.to_str().unwrap_or_default());
    HeaderValue::try_from(text).unwrap_or_else(|_| client.name.clone())
}

/// The value of a field that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn scheme(headers: &HeaderMap) -> Option<Scheme> {
    let said = only(headers, &X_FORWARDED_PROTO)?.as_bytes();
    let known = [(b"http".as_slice(), Scheme::HTTP), (b"https", Scheme::HTTPS)];
    known.into_iter().find_map(|(name, scheme)| said.eq_ignore_ascii_case(name).then_some(scheme))
}

fn is_port(value: &HeaderValue) -> bool {
    let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
    digits && value.to_str().is_ok_and(|text| text.parse::<u16>().is_ok_and(|port| port > 0))
}

/// What can stand in a log, a header and an error page as it is.
fn is_request_id(value: &HeaderValue) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte);
    (1..=LONGEST_REQUEST_ID).contains(&value.len()) && value.as_bytes().iter().all(fits)
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        TrustedProxies(networks.iter().map(|text| text.parse::<IpNet>().unwrap()).collect())
    }

    fn lines(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (X_FORWARDED_FOR, line.parse().unwrap())).collect()
    }

    fn walked(text: &[&str]) -> Vec<String> {
        let trusted = trusted(&["10.0.0.0/8", "fd00::/8"]);
        chain(&lines(text), |ip| trusted.trusts(ip)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
        for (text, client) in [
            (&[][..], None),
            (&[""], None),
            (&["192.0.2.1"], Some("192.0.2.1")),
            (&["198.51.100.9, 192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1, 10.0.0.2, 10.0.0.1"], Some("192.0.2.1")),
            (&["192.0.2.1,10.0.0.2", " 10.0.0.1 "], Some("192.0.2.1")),
            (&["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            (&["192.0.2.1,, ,10.0.0.2,"], Some("192.0.2.1")),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["[2001:db8::1]"], Some("2001:db8::1")),
            (&["[2001:db8::1]:443, fd00::1, [fd00::2]"], Some("2001:db8::1")),
            (&["192.0.2.1, ::ffff:10.0.0.1"], Some("192.0.2.1")),
            (&["192.0.2.1, unknown"], None),
            (&["192.0.2.1, unknown, 10.0.0.2"], Some("10.0.0.2")),
            (&["192.0.2.1, _hidden, 10.0.0.2"], Some("10.0.0.2")),
            (&["192.0.2.1, fd00::1%1"], None),
            (&["192.0.2.1, [fd00::1%1]:80"], None),
            (&["192.0.2.1, 10.0.0.256"], None),
            (&["192.0.2.1, 10.0.0.1:70000"], None),
            (&["192.0.2.1, \"10.0.0.1\""], None),
            (&["192.0.2.1 10.0.0.1"], None),
        ] {
            assert_eq!(walked(text).last().map(String::as_str), client, "{text:?}");
        }
    }

    #[test]
    fn thousands_of_proxies_are_not_walked_through() {
        let many = vec!["10.0.0.1"; 5000].join(",");
        assert_eq!(walked(&[&many]).len(), HOPS);
        assert_eq!(walked(&[&",".repeat(30_000)]), Vec::<String>::new());
    }

    #[test]
    fn a_request_id_can_stand_anywhere() {
        let longest = "a".repeat(128);
        for id in ["0af7651916cd43dd", "Root=1-67891233-abcdef012345678912345678", longest.as_str()] {
            assert!(is_request_id(&id.parse().unwrap()), "{id}");
        }
        for id in ["", "a b", "a\"", "a<", "a\\", "é", &"a".repeat(129)] {
            assert!(!is_request_id(&HeaderValue::from_bytes(id.as_bytes()).unwrap()), "{id}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_the_client_is_next_to_somebody_trusted(text in "([0-9a-f.:,\\[\\] ]{0,12}|10\\.0\\.0\\.[0-9], ?|192\\.0\\.2\\.[0-9],){0,20}") {
            let trusted = trusted(&["10.0.0.0/8"]);
            let chain = chain(&lines(&[&text]), |ip| trusted.trusts(ip));
            let (_, proxies) = chain.split_last().unwrap_or((&IpAddr::from([10, 0, 0, 0]), &[]));
            prop_assert!(proxies.iter().all(|ip| trusted.trusts(*ip)), "{chain:?}");
        }
    }
}
