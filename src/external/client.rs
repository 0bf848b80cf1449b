//! One HTTP client for hooks and checks: a connection per call, a bounded answer, no redirects, no proxy.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::iter::successors;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Who asks, in the other side's log.
const AGENT: &str = concat!("adit/", env!("CARGO_PKG_VERSION"));
/// More than this is no token.
const LONGEST_TOKEN: u64 = 16 * 1024;

/// Speaks HTTP and HTTPS. Cheap to clone; certificates of the system are read at the first call.
#[derive(Clone, Debug, Default)]
pub struct Client(Arc<OnceCell<Built>>);

#[derive(Debug)]
struct Built {
    client: reqwest::Client,
    /// Why no server's certificate can be verified, if so.
    distrust: Option<String>,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    /// `None`: a GET, else a POST.
    pub(super) body: Option<String>,
    /// A file with a bearer token, read now.
    pub(super) token_file: Option<PathBuf>,
    /// For everything from the name's look-up to the answer's last byte, in real time: it bounds real I/O.
    pub(super) timeout: Duration,
    /// Of the answer's body, no more bytes are read.
    pub(super) most: usize,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether the body went on.
    pub(super) cut: bool,
}

/// Why there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    TimedOut(Duration),
    Connection(String),
    Token(String),
}

impl Client {
    /// Calls, once.
    pub(super) async fn call(&self, outgoing: Outgoing) -> Result<Answer, Silence> {
        let limit = outgoing.timeout;
        let built = self.0.get_or_init(build).await;
        timeout(limit, built.exchange(outgoing)).await.unwrap_or(Err(Silence::TimedOut(limit)))
    }
}

impl Built {
    async fn exchange(&self, outgoing: Outgoing) -> Result<Answer, Silence> {
        let mut headers = outgoing.headers;
        if let Some(file) = outgoing.token_file {
            headers.insert(AUTHORIZATION, bearer(file).await?);
        }
        let request = match outgoing.body {
            Some(body) => self.client.post(&outgoing.url).body(body),
            None => self.client.get(&outgoing.url),
        };
        let failed = |error: reqwest::Error| self.silence(&error);
        let mut response = request.headers(headers).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() <= outgoing.most {
            let Some(piece) = response.chunk().await.map_err(failed)? else { break };
            body.extend_from_slice(&piece);
        }
        let cut = body.len() > outgoing.most;
        body.truncate(outgoing.most);
        Ok(Answer { status, body, cut })
    }

    fn silence(&self, error: &reqwest::Error) -> Silence {
        let causes = || successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source());
        let refused = causes().any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::ConnectionRefused)
        });
        if refused {
            return Silence::Connection("connection refused".to_owned());
        }
        let deepest = causes().last().map(ToString::to_string).unwrap_or_default();
        Silence::Connection(match &self.distrust {
            Some(why) if deepest.contains("certificate") => format!("{deepest} ({why})"),
            Some(_) | None => deepest,
        })
    }
}

/// Without certificates of the system (an image `FROM scratch` has none) plain HTTP still works, and HTTPS says what it
/// lacks.
async fn build() -> Built {
    let builder = || {
        reqwest::Client::builder()
            .user_agent(AGENT)
            .redirect(Policy::none())
            .no_proxy()
            // A call of now and then gains nothing from an old connection, and can lose by one that died.
            .pool_max_idle_per_host(0)
    };
    // Reading certificates takes its time on the disk.
    let built = spawn_blocking(move || {
        builder().build().map(|client| Built { client, distrust: None }).or_else(|error| {
            let why = successors(error.source(), |&cause| cause.source()).last().map(ToString::to_string);
            let client = builder().tls_certs_only([]).build()?;
            Ok::<_, reqwest::Error>(Built { client, distrust: why })
        })
    });
    built
        .await
        .expect("building a client neither panics nor is cancelled: it is a list of settings")
        .expect("a client without certificates has nothing left that can fail")
}

/// Read for every call: a token that was changed counts at once.
async fn bearer(file: PathBuf) -> Result<HeaderValue, Silence> {
    let read = spawn_blocking(move || token(&file));
    read.await.unwrap_or_else(|failure| Err(failure.to_string())).map_err(Silence::Token)
}

fn token(file: &Path) -> Result<HeaderValue, String> {
    let mut text = String::new();
    let shown = file.display();
    File::open(file)
        .and_then(|opened| opened.take(LONGEST_TOKEN).read_to_string(&mut text))
        .map_err(|error| format!("its token_file {shown} can't be read: {error}"))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", text.trim()))
        .map_err(|_| format!("its token_file {shown} holds more than one line"))?;
    if text.trim().is_empty() {
        return Err(format!("its token_file {shown} is empty"));
    }
    value.set_sensitive(true);
    Ok(value)
}

/// A URL as it may be shown and logged: what stands behind `?` may be a secret.
pub(super) fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// The first line of what others wrote, at most `most` characters, nothing in it that could pass for ours.
pub(super) fn first_line(body: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut shown = String::new();
    for (at, character) in line.chars().enumerate() {
        if at == most {
            shown.push('…');
            break;
        }
        match character {
            control if control.is_control() => shown.extend(control.escape_default()),
            other => shown.push(other),
        }
    }
    shown
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
            Self::Connection(why) | Self::Token(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::server::{Act, Server};

    fn get(url: String) -> Outgoing {
        let timeout = Duration::from_secs(20);
        Outgoing { url, headers: HeaderMap::new(), body: None, token_file: None, timeout, most: 16 }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let server = Server::start(&[Act::Answer(302, "elsewhere")]).await;
        let answer = Client::default().call(get(server.url("/a"))).await;
        let body = b"elsewhere".to_vec();
        assert_eq!(answer, Ok(Answer { status: 302, body, cut: false }));
    }

    #[tokio::test]
    async fn an_answer_is_read_only_so_far() {
        let server = Server::start(&[Act::Endless]).await;
        let answer = Client::default().call(get(server.url("/"))).await.expect("an answer");
        assert_eq!((answer.body.len(), answer.cut), (16, true));
    }

    #[tokio::test]
    async fn who_does_not_answer_is_left_in_time() {
        let server = Server::start(&[Act::Hang]).await;
        let hasty = Outgoing { timeout: Duration::from_millis(30), ..get(server.url("/")) };
        let silence = Client::default().call(hasty).await.expect_err("nobody answers");
        assert_eq!(silence.to_string(), "no answer within 30ms");
    }

    #[tokio::test]
    async fn why_there_is_no_answer_is_said_in_few_words() {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let nobody = format!("http://{}/", socket.local_addr().expect("bound"));
        let silence = Client::default().call(get(nobody)).await.expect_err("nobody listens");
        assert_eq!(silence.to_string(), "connection refused");
        let server = Server::start(&[Act::Close]).await;
        let silence = Client::default().call(get(server.url("/"))).await.expect_err("it closes");
        assert_eq!(silence.to_string(), "connection closed before message completed");
    }

    #[tokio::test]
    async fn https_to_a_server_without_tls_is_an_error_and_no_answer() {
        let server = Server::start(&[Act::Answer(200, "plain")]).await;
        let https = server.url("/").replace("http:", "https:");
        assert!(matches!(Client::default().call(get(https)).await, Err(Silence::Connection(_))));
    }

    #[tokio::test]
    async fn a_token_is_read_from_its_file_for_every_call() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        let mut server = Server::start(&[Act::Answer(200, "")]).await;
        let call = || Outgoing { token_file: Some(file.clone()), ..get(server.url("/")) };
        let client = Client::default();
        let silence = client.call(call()).await.expect_err("no such file");
        assert!(silence.to_string().contains("can't be read"), "{silence}");
        for token in ["one", "two"] {
            std::fs::write(&file, format!("{token}\n")).expect("written");
            let outgoing = Outgoing { token_file: Some(file.clone()), ..get(server.url("/")) };
            client.call(outgoing).await.expect("an answer");
            let request = server.next().await;
            assert_eq!(request.field("authorization"), Some(format!("Bearer {token}").as_str()));
        }
    }

    #[test]
    fn what_others_wrote_is_shown_as_one_harmless_line() {
        let table: [(&[u8], &str); 4] = [
            (b"\n  not today \nsecond", "not today"),
            (b"a\x1b[31mred\x07", "a\\u{1b}[31mred\\u{7}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"12345678901", "1234567890…"),
        ];
        for (body, line) in table {
            assert_eq!(first_line(body, if body.len() == 11 { 10 } else { 200 }), line);
        }
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_a_secret() {
        assert_eq!(shown("http://ci/gate?token=abc"), "http://ci/gate");
    }
}
