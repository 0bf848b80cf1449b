//! The service in the tests' containers: HTTP/1.1 with keep-alive, a thread per connection. Static, so that it runs in an image
//! without anything else. What it does is said by its environment:
//!
//! - `VERSION`: in every answer, as body and as `x-version`;
//! - `FAIL`: this share (0 to 1) of the requests gets a 500;
//! - `DELAY`: milliseconds before an answer;
//! - `HEALTH_AFTER`: seconds until /healthz is good (`never`), `HEALTH_FOR`: seconds for which it is (/health is the same);
//! - `LINGER`: milliseconds between SIGTERM and the end of what is idle (500);
//! - `IGNORE_TERM`: SIGTERM does nothing;
//! - `PORT`: where it listens (8080).
//!
//! `/eat` takes memory until somebody ends it. `app --check` asks /healthz: for Docker's HEALTHCHECK.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const SIGTERM: i32 = 15;
/// No request takes longer; no stop either.
const LONGEST: Duration = Duration::from_secs(8);

static TOLD_TO_END: AtomicBool = AtomicBool::new(false);
static CLOSING: AtomicBool = AtomicBool::new(false);
static IN_FLIGHT: AtomicU64 = AtomicU64::new(0);
static REQUESTS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}

extern "C" fn end(_signal: i32) {
    TOLD_TO_END.store(true, SeqCst);
}

struct App {
    version: String,
    fail: f64,
    delay: Duration,
    health_after: Option<Duration>,
    health_for: Option<Duration>,
    started: Instant,
}

fn main() {
    let port = text("PORT").unwrap_or_else(|| "8080".to_owned());
    if std::env::args().any(|word| word == "--check") {
        exit(i32::from(!is_healthy(&port)));
    }
    if text("IGNORE_TERM").is_none() {
        // SAFETY: the handler does nothing but store to an atomic, which is safe in a signal handler.
        unsafe { signal(SIGTERM, end) };
    }
    thread::spawn(end_when_told);
    let app: &'static App = Box::leak(Box::new(App::from_environment()));
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).expect("a free port");
    for stream in listener.incoming().flatten() {
        thread::spawn(move || drop(app.serve(&stream)));
    }
}

/// Serves on for a moment, so that whoever sends requests can hear of the end; then ends what is idle, then what is left.
fn end_when_told() {
    while !TOLD_TO_END.load(SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(number("LINGER").unwrap_or(500.0) as u64));
    CLOSING.store(true, SeqCst);
    let last = Instant::now() + LONGEST;
    while IN_FLIGHT.load(SeqCst) > 0 && Instant::now() < last {
        thread::sleep(Duration::from_millis(2));
    }
    exit(0);
}

impl App {
    fn from_environment() -> Self {
        let seconds = |name| number(name).map(Duration::from_secs_f64);
        let never = text("HEALTH_AFTER").is_some_and(|after| after == "never");
        Self {
            version: text("VERSION").unwrap_or_default(),
            fail: number("FAIL").unwrap_or(0.0),
            delay: Duration::from_millis(number("DELAY").unwrap_or(0.0) as u64),
            health_after: if never { None } else { Some(seconds("HEALTH_AFTER").unwrap_or_default()) },
            health_for: seconds("HEALTH_FOR"),
            started: Instant::now(),
        }
    }

    /// One connection, until either side ends it.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            if reader.fill_buf()?.is_empty() {
                return Ok(());
            }
            let _counted = InFlight::begin();
            let Some((target, length)) = read_head(&mut reader)? else { return Ok(()) };
            let got = io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
            let (status, body) = self.answer(&target, got);
            let close = CLOSING.load(SeqCst);
            let head = format!(
                "HTTP/1.1 {status}\r\nx-version: {}\r\ncontent-length: {}\r\n{}\r\n",
                self.version,
                body.len(),
                if close { "connection: close\r\n" } else { "" },
            );
            (&*stream).write_all(format!("{head}{body}").as_bytes())?;
            if close {
                return Ok(());
            }
        }
    }

    fn answer(&self, target: &str, got: u64) -> (&'static str, String) {
        if matches!(target, "/healthz" | "/health") {
            return if self.is_good() { ("200 OK", "good\n".into()) } else { ("503 No", "not good\n".into()) };
        }
        if target == "/eat" {
            eat();
        }
        thread::sleep(self.delay);
        let number = REQUESTS.fetch_add(1, SeqCst) as f64;
        let fails = ((number + 1.0) * self.fail).floor() > (number * self.fail).floor();
        let status = if fails { "500 Internal Server Error" } else { "200 OK" };
        (status, format!("{} answers {target}, {got} bytes\n", self.version))
    }

    fn is_good(&self) -> bool {
        let age = self.started.elapsed();
        self.health_after.is_some_and(|after| age >= after) && self.health_for.is_none_or(|long| age < long)
    }
}

struct InFlight;

impl InFlight {
    fn begin() -> Self {
        IN_FLIGHT.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(1, SeqCst);
    }
}

/// The request's target and the length of its body; `None` when the connection ended within it.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<(String, u64)>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut field = String::new();
        if reader.read_line(&mut field)? == 0 {
            return Ok(None);
        }
        let field = field.trim();
        if field.is_empty() {
            return Ok(Some((target, length)));
        }
        if let Some((name, value)) = field.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
    }
}

fn is_healthy(port: &str) -> bool {
    let asked = TcpStream::connect(format!("127.0.0.1:{port}")).and_then(|mut stream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.ends_with(b"200"))
}

fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1024 * 1024]);
        // Touched, so that it is really taken.
        std::hint::black_box(&eaten);
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str) -> Option<f64> {
    text(name)?.parse().ok()
}
