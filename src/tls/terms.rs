//! On what terms TLS is spoken at a listener: made as a whole, never changed, replaced as a whole.

use std::fmt;
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::PROVIDER;
use super::certificate::Certificate;
use super::choose::Chooser;
use super::file::{Contents, FileError, Problem};
use crate::config::spec::{ClientAuth, ClientCertificates, TlsVersion};
use crate::domain::routing::Spoken;

/// What a listener offers by ALPN (RFC 7301), the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The terms of one listener.
pub struct Terms {
    config: Arc<ServerConfig>,
    chooser: Arc<Chooser>,
    /// Whether clients are asked for certificates.
    asks_clients: bool,
}

impl Terms {
    pub(super) fn new(
        certificates: Vec<Certificate>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        (min_version, protocol): (TlsVersion, Spoken),
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Self, rustls::Error> {
        let chooser = Arc::new(Chooser::new(certificates));
        let asks_clients = clients.is_some();
        let versions: &[&SupportedProtocolVersion] = match min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let builder =
            ServerConfig::builder_with_provider(PROVIDER.clone()).with_protocol_versions(versions)?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(chooser.clone());
        config.alpn_protocols = offered(protocol).iter().map(|name| name.to_vec()).collect();
        // Sessions are kept by clients, so that every worker can resume them; nothing is kept here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets;
        // 0-RTT can be replayed (RFC 8446 section 8): off, as it is by default.
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), chooser, asks_clients })
    }

    /// What rustls needs for a handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Whether clients are asked for certificates.
    pub fn asks_clients(&self) -> bool {
        self.asks_clients
    }

    /// Whether a request for `host` (lower case, without port) does not belong on a connection whose client named `name`
    /// in its handshake (RFC 9110 section 15.5.20).
    ///
    /// Where clients show certificates, the one they were shown must be for the host: whom somebody was let in as must
    /// not depend on which name was used for it. Elsewhere a client that named a host may only ask for what its
    /// certificate is for, as long as another certificate of ours is for the host; hosts that none is for are between the
    /// client and its own checks. One that named none (an address, a health check) can't have meant another.
    pub fn misdirects(&self, name: Option<&str>, host: &str) -> bool {
        if !self.asks_clients && name.is_none_or(|name| name == host) {
            return false;
        }
        !self.chooser.shows_for(name, host) && (self.asks_clients || self.chooser.any_for(host))
    }

    pub(super) fn certificates(&self) -> &[Certificate] {
        &self.chooser.certificates
    }
}

fn offered(protocol: Spoken) -> &'static [&'static [u8]] {
    match protocol {
        Spoken::Any => &PROTOCOLS,
        Spoken::Http2 => &PROTOCOLS[..1],
        Spoken::Http1 => &PROTOCOLS[1..],
    }
}

/// Checks what clients show against the authorities in a file.
pub(super) fn verifier(
    clients: &ClientCertificates,
    contents: &Contents,
) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
    let wrong = |why: String| FileError::new(&clients.ca_file, Problem::BadAuthority(why));
    let mut authorities = RootCertStore::empty();
    for authority in contents.certificates(&clients.ca_file)? {
        authorities.add(authority).map_err(|error| wrong(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), PROVIDER.clone());
    let builder = match clients.auth {
        ClientAuth::Require => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| wrong(error.to_string()))
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("chooser", &self.chooser).finish_non_exhaustive()
    }
}
