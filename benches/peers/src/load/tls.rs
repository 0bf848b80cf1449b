//! TLS of the generator's connections. Certificates are not verified: what that costs the client is not measured.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};

use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, NamedGroup, SignatureScheme};

/// Which handshakes the connections do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Resumption {
    Full,
    Resumed,
}

pub(super) fn config(resumption: Resumption) -> Arc<ClientConfig> {
    let provider = Arc::new(CryptoProvider {
        // One way for all. Left to choose, some agree on a hybrid with ML-KEM and some can't, and the handshakes differ in cost.
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..aws_lc_rs::default_provider()
    });
    let versions = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider speaks TLS 1.3");
    let mut config = versions
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = match resumption {
        Resumption::Full => rustls::client::Resumption::disabled(),
        Resumption::Resumed => rustls::client::Resumption::store(Arc::new(Tickets::default())),
    };
    Arc::new(config)
}

/// A socket with or without TLS, that reads and writes like one that doesn't block.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(TcpStream, Box<ClientConnection>),
}

impl Transport {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<ClientConfig>>) -> io::Result<Transport> {
        let Some(config) = tls else { return Ok(Transport::Plain(stream)) };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Transport::Tls(stream, Box::new(connection)))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.write(bytes),
            Transport::Tls(stream, tls) if tls.is_handshaking() => {
                flush(stream, tls)?;
                Err(ErrorKind::WouldBlock.into())
            }
            Transport::Tls(stream, tls) => {
                let taken = tls.writer().write(bytes)?;
                flush(stream, tls)?;
                if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
            }
        }
    }

    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let (stream, tls) = match self {
            Transport::Plain(stream) => return stream.read(bytes),
            Transport::Tls(stream, tls) => (stream, tls),
        };
        loop {
            match tls.reader().read(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            flush(stream, tls)?;
            if tls.read_tls(stream)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            flush(stream, tls)?;
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self, Transport::Tls(_, tls) if tls.is_handshaking())
    }

    pub(super) fn handshake(&self) -> Option<Resumption> {
        let Transport::Tls(_, tls) = self else { return None };
        match tls.handshake_kind()? {
            rustls::HandshakeKind::Resumed => Some(Resumption::Resumed),
            rustls::HandshakeKind::Full | rustls::HandshakeKind::FullWithHelloRetryRequest => {
                Some(Resumption::Full)
            }
        }
    }

    /// The proper end of a connection that is done with.
    pub(super) fn close(&mut self) {
        if let Transport::Tls(stream, tls) = self {
            tls.send_close_notify();
            // Whoever closed first needs no farewell.
            let _gone = flush(stream, tls);
        }
    }
}

fn flush(stream: &mut TcpStream, tls: &mut ClientConnection) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
            written => written?,
        };
    }
    Ok(())
}

/// All tickets of all connections, each used once. rustls's own store keeps eight, which is too few for so many connections
/// that begin at once.
#[derive(Debug, Default)]
struct Tickets(Mutex<Vec<Tls13ClientSessionValue>>);

impl ClientSessionStore for Tickets {
    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        if let Ok(mut tickets) = self.0.lock()
            && tickets.len() < 4096
        {
            tickets.push(ticket);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().ok()?.pop()
    }

    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
