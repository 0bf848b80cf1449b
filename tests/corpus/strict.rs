//! What an endpoint saw, read by the letter of RFC 9112: whatever can be read in two ways is broken.

use std::borrow::Cow;

/// Everything that came on one connection.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) requests: Vec<Request>,
    pub(crate) rest: Rest,
}

/// What is behind the last whole request.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Rest {
    #[default]
    Nothing,
    /// The beginning of a request: the bytes of it.
    Begun(String),
    /// Something that is no request, and why not.
    Broken(String),
}

/// A whole request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// In order, as written.
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

/// A reading that stops: more is needed, or nothing will help.
enum Stop {
    Short,
    Wrong(String),
}

type Reading<T> = Result<T, Stop>;

/// Names and values.
type Fields = Vec<(String, String)>;

/// Reads all of them.
pub(crate) fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut cursor = Cursor(rest);
        match cursor.request() {
            Ok(request) => read.requests.push(request),
            Err(Stop::Short) => {
                read.rest = Rest::Begun(String::from_utf8_lossy(rest).into_owned());
                return read;
            }
            Err(Stop::Wrong(why)) => {
                read.rest = Rest::Broken(why);
                return read;
            }
        }
        rest = cursor.0;
    }
    read
}

struct Cursor<'a>(&'a [u8]);

fn wrong<T>(why: impl Into<String>) -> Reading<T> {
    Err(Stop::Wrong(why.into()))
}

impl<'a> Cursor<'a> {
    fn request(&mut self) -> Reading<Request> {
        let line = self.line()?;
        let words: Vec<&str> = line.split(' ').collect();
        let [method, target, version] = words[..] else { return wrong(format!("request line {line:?}")) };
        if !is_token(method) || version != "HTTP/1.1" && version != "HTTP/1.0" {
            return wrong(format!("request line {line:?}"));
        }
        let origin = target.starts_with('/') && !target.contains(['#', '\\']);
        if !origin || target.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
            return wrong(format!("target {target:?}"));
        }
        let (method, target) = (method.to_owned(), target.to_owned());
        let fields = self.fields()?;
        let (body, trailers) = self.body(&fields)?;
        Ok(Request { method, target, fields, body, trailers })
    }

    /// Up to CR LF, neither of which may be inside.
    fn line(&mut self) -> Reading<Cow<'a, str>> {
        let Some(end) = self.0.iter().position(|byte| *byte == b'\n') else { return Err(Stop::Short) };
        let line = &self.0[..end];
        let Some(line) = line.strip_suffix(b"\r") else { return wrong("a bare LF") };
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return wrong("a bare CR or NUL");
        }
        self.0 = &self.0[end + 1..];
        Ok(String::from_utf8_lossy(line))
    }

    fn fields(&mut self) -> Reading<Fields> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let Some((name, value)) = line.split_once(':') else { return wrong(format!("field {line:?}")) };
            let value = value.trim_matches([' ', '\t']);
            if !is_token(name) || value.chars().any(|c| c.is_ascii_control() && c != '\t') {
                return wrong(format!("field {line:?}"));
            }
            fields.push((name.to_owned(), value.to_owned()));
        }
    }

    fn body(&mut self, fields: &[(String, String)]) -> Reading<(Vec<u8>, Fields)> {
        let all = |wanted: &str| -> Vec<&str> {
            let named = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.map(|(_, value)| value.as_str()).collect()
        };
        match (&all("transfer-encoding")[..], &all("content-length")[..]) {
            ([], []) => Ok((Vec::new(), Vec::new())),
            ([], [length]) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
                let length = length.parse().or_else(|_| wrong("a length without end"))?;
                Ok((self.take(length)?.to_vec(), Vec::new()))
            }
            (["chunked"], []) => self.chunks(),
            (codings, lengths) => wrong(format!("framing {codings:?} {lengths:?}")),
        }
    }

    fn chunks(&mut self) -> Reading<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
            let Some(size) = usize::from_str_radix(&line, 16).ok().filter(|_| digits) else {
                return wrong(format!("chunk size {line:?}"));
            };
            if size == 0 {
                return Ok((body, self.fields()?));
            }
            body.extend_from_slice(self.take(size)?);
            if !self.line()?.is_empty() {
                return wrong("a chunk longer than its size");
            }
        }
    }

    fn take(&mut self, length: usize) -> Reading<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(length) else { return Err(Stop::Short) };
        self.0 = rest;
        Ok(taken)
    }
}

impl Request {
    /// Method, target, body.
    pub(crate) fn summary(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let space = if body.is_empty() { "" } else { " " };
        format!("{} {}{space}{body}", self.method, self.target)
    }

    pub(crate) fn all(&self, wanted: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// What a request to an endpoint must not be, though it can be read. `upgrade`: the one that may be asked for.
    pub(crate) fn faults(&self, upgrade: Option<&str>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut never = |is: bool, what: String| {
            if is {
                faults.push(what);
            }
        };
        let hosts = self.all("host");
        never(hosts.len() != 1, format!("hosts: {hosts:?}"));
        never(hosts.iter().any(|host| !is_authority(host)), format!("no host: {hosts:?}"));
        let between =
            ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "expect"];
        for name in between {
            never(!self.all(name).is_empty(), format!("{name} went through"));
        }
        never(!matches!(self.all("te")[..], [] | ["trailers"]), format!("te: {:?}", self.all("te")));
        let (connection, upgrades) = (self.all("connection"), self.all("upgrade"));
        let hop = match (&connection[..], &upgrades[..]) {
            ([] | ["te"], []) => true,
            ([option], [protocol]) => {
                option.eq_ignore_ascii_case("upgrade")
                    && upgrade.is_some_and(|it| protocol.eq_ignore_ascii_case(it))
            }
            _ => false,
        };
        never(!hop, format!("connection: {connection:?}, upgrade: {upgrades:?}"));
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-request-id"] {
            never(self.all(name).len() != 1, format!("{name}: {:?}", self.all(name)));
        }
        never(self.all("x-forwarded-for") != ["127.0.0.1"], format!("{:?}", self.all("x-forwarded-for")));
        // A client of HTTP/1.0 that names no host leaves it to us.
        let forwarded = self.all("x-forwarded-host");
        never(!forwarded.is_empty() && forwarded != hosts, format!("x-forwarded-host: {forwarded:?}"));
        for name in ["forwarded", "x-real-ip", "x-forwarded-server", "x-forwarded-ssl"] {
            never(!self.all(name).is_empty(), format!("{name} went through"));
        }
        never(self.all("cookie").len() > 1, "several cookie fields".into());
        for (name, _) in &self.fields {
            never(name.contains('_') && is_ours(&name.replace('_', "-")), format!("{name} reads as ours"));
        }
        for (name, _) in &self.trailers {
            never(is_ours(&name.replace('_', "-")), format!("trailer {name}"));
        }
        faults
    }
}

fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("x-forwarded-")
        || [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "forwarded",
            "x-real-ip",
            "x-request-id",
            "authorization",
            "cookie",
            "te",
            "upgrade",
        ]
        .contains(&name.as_str())
}

fn is_token(text: &str) -> bool {
    let special = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || special(byte))
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, ""),
    };
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let addressed = inside.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    (named || addressed) && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn only_what_has_one_reading_is_read() {
    let good =
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nt: v\r\n\r\n";
    let twice = read(format!("{good}{good}").as_bytes());
    assert_eq!((twice.requests.len(), twice.rest), (2, Rest::Nothing));
    assert_eq!(twice.requests[0].summary(), "POST /a hi");
    for broken in [
        "GET / HTTP/1.1\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n",
    ] {
        assert!(matches!(read(broken.as_bytes()).rest, Rest::Broken(_)), "{broken:?}");
    }
    let begun = &good.as_bytes()[..good.len() - 1];
    assert!(matches!(read(begun).rest, Rest::Begun(_)));
}
