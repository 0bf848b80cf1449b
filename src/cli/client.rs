//! One question to the admin API, one answer, within a time limit.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};

use super::exit::Exit;
use super::reach::{self, At, Place, Reach};
use crate::admin::{Code, Problem};

/// To connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// From the connection to the end of the answer; above the server's own limit, so that its words come through.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Bytes of an answer.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// Speaks to one admin API.
#[derive(Debug)]
pub(super) struct Client {
    reach: Reach,
    runtime: Runtime,
    /// To connect, and from there to the end of the answer.
    limits: (Duration, Duration),
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why a verb did not work.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was typed makes no sense.
    Usage(String),
    /// The config is not valid.
    Config(String),
    /// Nobody answers.
    Unreachable(Place, io::Error),
    /// No answer in time.
    TimedOut(Place),
    /// The connection broke, or what answers is not Adit.
    Strange(Place, String),
    /// Adit says no.
    Problem(Problem),
    /// Something else; the text says it all.
    Other(String),
}

impl Client {
    /// For the admin API that `args` lead to. Nothing is connected yet.
    pub(super) fn new(args: &reach::Args) -> Result<Self, Failure> {
        let reach = reach::find(args)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Other(format!("the operating system refuses a runtime: {error}")))?;
        Ok(Self { reach, runtime, limits: (CONNECT_LIMIT, ANSWER_LIMIT) })
    }

    /// No longer than this to connect, nor for an answer.
    pub(super) fn within(self, limit: Duration) -> Self {
        let (connect, answer) = self.limits;
        Self { limits: (connect.min(limit), answer.min(limit)), ..self }
    }

    /// Asks for `path`; whatever is not a success is a failure.
    pub(super) fn get(&self, path: &str) -> Result<Bytes, Failure> {
        let answer = self.ask(Method::GET, path, HeaderMap::new(), Bytes::new())?;
        self.expect_success(answer)
    }

    /// Gives a command with a JSON body.
    pub(super) fn post(&self, path: &str, headers: HeaderMap, body: Bytes) -> Result<Bytes, Failure> {
        let answer = self.ask(Method::POST, path, headers, body)?;
        self.expect_success(answer)
    }

    /// Asks for `path` and returns whatever is answered.
    pub(super) fn probe(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, HeaderMap::new(), Bytes::new())
    }

    /// What a successful answer says.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body).map_err(|error| self.strange(format!("an unreadable answer: {error}")))
    }

    /// Lets time pass.
    pub(super) fn wait(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Waits for something else than an answer.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn ask(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        let request = self.request(method, path, headers, body)?;
        self.runtime.block_on(async {
            match &self.reach.place.at {
                At::Tcp(authority) => {
                    let stream = self.connected(TcpStream::connect(authority)).await?;
                    self.exchange(stream, request).await
                }
                At::Unix(path) => {
                    let stream = self.connected(UnixStream::connect(path)).await?;
                    self.exchange(stream, request).await
                }
            }
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let host = match &self.reach.place.at {
            At::Tcp(authority) => authority,
            At::Unix(_) => "localhost",
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Some(token) = &self.reach.token {
            let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Failure::Other("the token can't be sent in a header".to_owned()))?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let mut request = request
            .body(Full::new(body))
            .map_err(|error| Failure::Usage(format!("that can't be asked for: {error}")))?;
        request.headers_mut().extend(headers);
        Ok(request)
    }

    async fn connected<S>(&self, connecting: impl Future<Output = io::Result<S>>) -> Result<S, Failure> {
        let connected = tokio::time::timeout(self.limits.0, connecting).await;
        connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| Failure::Unreachable(self.reach.place.clone(), error))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        let answer = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let answered = async move {
                let response = sender.send_request(request).await?;
                let status = response.status();
                Ok::<_, hyper::Error>((
                    status,
                    Limited::new(response.into_body(), BODY_LIMIT).collect().await,
                ))
            };
            // The connection does the reading and writing; it ends once the sender, and so the answer, is done.
            let (answered, _ended) = tokio::join!(answered, connection);
            answered
        };
        let broken = |error: &dyn fmt::Display| self.strange(format!("the connection broke: {error}"));
        match tokio::time::timeout(self.limits.1, answer).await {
            Err(_) => Err(Failure::TimedOut(self.reach.place.clone())),
            Ok(Err(error)) => Err(broken(&error)),
            Ok(Ok((_, Err(error)))) => Err(broken(&error)),
            Ok(Ok((status, Ok(body)))) => Ok(Answer { status, body: body.to_bytes() }),
        }
    }

    fn expect_success(&self, answer: Answer) -> Result<Bytes, Failure> {
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(match serde_json::from_slice(&answer.body) {
            Ok(problem) => Failure::Problem(problem),
            Err(_) => self.strange(format!("HTTP {}", answer.status)),
        })
    }

    fn strange(&self, what: String) -> Failure {
        Failure::Strange(self.reach.place.clone(), what)
    }
}

impl Failure {
    /// The exit code that says so.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Config(_) => Exit::InvalidConfig,
            Self::Unreachable(..) => Exit::Unreachable,
            Self::TimedOut(_) => Exit::TimedOut,
            Self::Strange(..) | Self::Other(_) => Exit::Failure,
            Self::Problem(problem) => match problem.code {
                Code::BadRequest | Code::TooLarge | Code::NotServed => Exit::Usage,
                Code::Conflict | Code::Refused => Exit::Conflict,
                Code::InvalidConfig => Exit::InvalidConfig,
                Code::TimedOut => Exit::TimedOut,
                Code::Busy
                | Code::Forbidden
                | Code::MethodNotAllowed
                | Code::NotFound
                | Code::NotSaved
                | Code::Stopping
                | Code::Unauthorized
                | Code::Unreadable
                | Code::UnknownRollout
                | Code::UnknownEndpoint
                | Code::UnknownService
                | Code::UnknownVersion
                | Code::Unrecognised => Exit::Failure,
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Config(text) | Self::Other(text) => f.write_str(text),
            Self::Unreachable(place, error) if error.kind() == io::ErrorKind::PermissionDenied => write!(
                f,
                "the admin API at {place} may not be opened: {error}; run this as the user that runs Adit"
            ),
            Self::Unreachable(place, error) => write!(
                f,
                "no admin API at {place}: {error}; is `adit run` running there? Say where by --admin or ADIT_ADMIN"
            ),
            Self::TimedOut(place) => write!(
                f,
                "no answer from {place} within {} s; a command may still take effect: see `adit status`",
                ANSWER_LIMIT.as_secs()
            ),
            Self::Strange(place, what) => write!(f, "{what} from {place}; is that Adit's admin API?"),
            Self::Problem(problem) if problem.code == Code::InvalidConfig => {
                write!(f, "the config was not reloaded; the last good one serves on\n{problem}")
            }
            Self::Problem(problem) => problem.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::{self, JoinHandle};

    use clap::Parser;
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reach: reach::Args,
    }

    fn client(admin: &str) -> Client {
        Client::new(&Line::parse_from(["adit", "--admin", admin]).reach).expect("an address")
    }

    /// Takes one connection, answers `answer`, and returns what was asked.
    fn endpoint(answer: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).expect("a request");
            stream.write_all(answer.as_bytes()).expect("it is read");
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (address, server)
    }

    fn exit(answer: &'static str) -> Exit {
        let (address, server) = endpoint(answer);
        let failure = client(&address).get("/v1/status").expect_err("no success");
        server.join().expect("served");
        assert!(!failure.to_string().is_empty());
        failure.exit()
    }

    #[test]
    fn a_success_hands_over_its_body() {
        let (address, server) = endpoint("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(client(&address).get("/v1/status").expect("a body"), "{}");
        let asked = server.join().expect("served").to_ascii_lowercase();
        assert!(asked.starts_with("get /v1/status http/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    }

    #[test]
    fn nobody_there_says_where_it_looked_and_what_to_do() {
        // Bound but not listening: refuses connections, and nobody else can get the port.
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        held.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let address = held.local_addr().expect("bound").as_socket().expect("TCP").to_string();
        let failure = client(&address).get("/v1/status").expect_err("nobody listens");
        assert_eq!(failure.exit(), Exit::Unreachable);
        let message = failure.to_string();
        assert!(message.contains(&address) && message.contains("--admin"), "{message}");
    }

    #[test]
    fn a_socket_that_is_not_there_is_unreachable() {
        let failure = client("unix:/not/there/admin.sock").get("/livez").expect_err("nobody listens");
        assert_eq!(failure.exit(), Exit::Unreachable);
    }

    #[test]
    fn a_problem_becomes_the_exit_code_of_its_kind() {
        for (code, expected) in [
            ("conflict", Exit::Conflict),
            ("refused", Exit::Conflict),
            ("invalid_config", Exit::InvalidConfig),
            ("timed_out", Exit::TimedOut),
            ("unknown_service", Exit::Failure),
            ("unauthorized", Exit::Failure),
            ("not_served", Exit::Usage),
            ("of_tomorrow", Exit::Failure),
        ] {
            let text = format!(r#"{{"type":"t","title":"t","status":409,"detail":"d","code":"{code}"}}"#);
            let problem = serde_json::from_str(&text).expect("a problem");
            assert_eq!(Failure::Problem(problem).exit(), expected, "{code}");
        }
    }

    #[test]
    fn a_problem_speaks_for_itself() {
        let (address, server) = endpoint(
            "HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\n\
             {\"type\":\"t\",\"title\":\"t\",\"status\":409,\"detail\":\"nothing to abort\",\"code\":\"conflict\"}",
        );
        let failure = client(&address).post("/v1/x", HeaderMap::new(), Bytes::new()).expect_err("no success");
        server.join().expect("served");
        assert_eq!((failure.to_string().as_str(), failure.exit()), ("nothing to abort", Exit::Conflict));
    }

    #[test]
    fn what_is_not_our_admin_api_is_a_plain_failure() {
        for answer in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        ] {
            assert_eq!(exit(answer), Exit::Failure, "{answer:?}");
        }
    }
}
