//! The other side of a call, as tests script it.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What is done with one connection, after its request was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// This status, with this body.
    Answer(u16, &'static str),
    /// A 200 with a body that never ends.
    Endless,
    /// Nothing, and the connection stays.
    Hang,
    /// Closes without a byte.
    Close,
}

/// Plays a script, a connection per act, the last one over and over. Stops when dropped.
pub(super) struct Server {
    address: SocketAddr,
    requests: mpsc::Receiver<Request>,
    _tasks: JoinSet<()>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// `POST /gate HTTP/1.1`.
    pub(super) line: String,
    fields: Vec<(String, String)>,
    pub(super) body: String,
}

impl Server {
    pub(super) async fn start(script: &'static [Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (heard, requests) = mpsc::channel(1024);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for turn in 0.. {
                let (stream, _from) = listener.accept().await.expect("a connection");
                connections.spawn(serve(stream, script[turn.min(script.len() - 1)], heard.clone()));
            }
        });
        Self { address, requests, _tasks: tasks }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Request {
        self.requests.recv().await.expect("the server runs as long as the test")
    }

    /// How many requests came that nobody has looked at.
    pub(super) fn waiting(&self) -> usize {
        self.requests.len()
    }
}

impl Request {
    /// The first field of this (lower case) name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

async fn serve(stream: TcpStream, act: Act, heard: mpsc::Sender<Request>) {
    let mut stream = BufReader::new(stream);
    let Some(request) = read(&mut stream).await else { return };
    // The test may be over.
    let _gone = heard.send(request).await;
    match act {
        Act::Answer(status, body) => {
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status} Said\r\nlocation: /b\r\ncontent-length: {length}\r\n\r\n{body}");
            let _gone = stream.write_all(text.as_bytes()).await;
        }
        Act::Endless => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
            let mut gone = stream.write_all(head.as_bytes()).await;
            while gone.is_ok() {
                gone = stream.write_all(&[b'x'; 1024]).await;
            }
        }
        Act::Hang => {
            let _closed = stream.read_u8().await;
        }
        Act::Close => {}
    }
}

/// `None` when it is none: a client that speaks TLS, or one that left.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let length = stream.read_line(&mut line).await.ok()?;
        match line.trim_end() {
            "" if length > 0 => break,
            "" => return None,
            field => lines.push(field.to_owned()),
        }
    }
    let fields: Vec<_> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = fields.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, length)| length);
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { line: lines[0].clone(), fields, body: String::from_utf8(body).ok()? })
}
