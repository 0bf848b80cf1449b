//! A proxy that speaks TLS, and clients that do.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::config;
use adit::domain::Timestamp;
use adit::proxy::{Handshake, Listener, ToHttps};
use adit::tls::Keyrings;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use tempfile::TempDir;

use crate::certificates::{Authority, Pair};
use crate::wire::{Reply, header};
use crate::world::{PATIENCE, Proxy, Web, eventually};

/// A proxy with listeners as a config has them, and one authority that all trust.
pub(crate) struct Secure {
    pub(crate) proxy: Proxy,
    pub(crate) keyrings: Arc<Keyrings>,
    pub(crate) authority: Authority,
    pub(crate) hand: Arc<Manual>,
    pub(crate) folder: TempDir,
}

/// A client's connection.
pub(crate) struct Conversation(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    /// With a certificate for `shop.example` at its only listener.
    pub(crate) fn shop(web: Web) -> Self {
        Self::start(web, 1, |authority, folder| {
            let shop = authority.server(&["shop.example", "*.shop.example"]);
            vec![format!("tls = {{ certificates = [{}] }}", shop.config(folder, "shop"))]
        })
    }

    /// With listeners that have these keys.
    pub(crate) fn start(
        web: Web,
        workers: usize,
        listeners: impl FnOnce(&Authority, &std::path::Path) -> Vec<String>,
    ) -> Self {
        let (authority, folder) = (Authority::new("ours"), tempfile::tempdir().unwrap());
        let listeners = listeners(&authority, folder.path());
        let listener = |keys: &String| format!("[[listeners]]\naddress = '127.0.0.1:0'\n{keys}\n");
        let text: String = listeners.iter().map(listener).collect();
        let spec = config::parse(&text, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
        let keyrings = Arc::new(Keyrings::load(&spec, clock.clone()).unwrap());
        let listeners = (0..).zip(&spec.listeners).map(|(index, listener)| Listener {
            tls: keyrings.keyring(index),
            redirect: listener.redirect.map(|redirect| ToHttps { port: redirect.port }),
            hsts: listener.hsts.map(|age| format!("max-age={}", age.as_secs()).parse().unwrap()),
            ..Listener::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        });
        let proxy = Proxy::start_at(listeners.collect(), web, workers, clock, Duration::from_secs(8));
        Self { proxy, keyrings, authority, hand, folder }
    }

    /// A conversation with the first listener as a client that trusts the authority.
    pub(crate) fn client(&self, name: &str) -> Conversation {
        Conversation::begin(self.proxy.address, Arc::new(self.authority.trusted()), name)
    }

    /// The first answer to a client that names this host, in its handshake and in its request.
    pub(crate) fn get(&self, name: &str, path: &str) -> Reply {
        self.client(name).ask(&format!("GET {path} HTTP/1.1\r\nhost: {name}\r\n\r\n"))
    }

    pub(crate) fn handshakes(&self, how: Handshake) -> u64 {
        self.proxy.workers.as_ref().unwrap().vitals().handshakes(how)
    }

    /// Waits until so many handshakes went so.
    #[track_caller]
    pub(crate) fn counted(&self, how: Handshake, count: u64) {
        eventually(&format!("{count} handshakes: {}", how.as_str()), || self.handshakes(how) == count);
    }
}

impl Conversation {
    pub(crate) fn begin(to: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Self(StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream))
    }

    /// Completes the handshake.
    pub(crate) fn shake(&mut self) -> std::io::Result<()> {
        let (connection, stream) = (&mut self.0.conn, &mut self.0.sock);
        while connection.is_handshaking() {
            connection.complete_io(stream)?;
        }
        Ok(())
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether this is what it was shown.
    pub(crate) fn was_shown(&mut self, pair: &Pair) -> bool {
        self.shake().unwrap();
        self.0.conn.peer_certificates().unwrap()[0] == pair.der
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _gone = self.0.write_all(bytes.as_ref()).and_then(|()| self.0.flush());
    }

    pub(crate) fn ask(&mut self, request: &str) -> Reply {
        self.send(request);
        self.reply()
    }

    /// An answer with a length.
    pub(crate) fn reply(&mut self) -> Reply {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        let whole = self.0.read_exact(&mut body).is_ok();
        Reply { status: head[9..12].parse().unwrap(), head, body, whole }
    }

    /// Whether the other side said goodbye before it closed (`true`), or just closed.
    pub(crate) fn until_goodbye(&mut self) -> bool {
        loop {
            match self.0.read(&mut [0; 1024]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return false,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
