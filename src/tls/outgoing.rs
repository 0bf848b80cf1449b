//! TLS towards endpoints: what certificates are trusted, which one is shown, and what went wrong, in clear words.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::domain::routing::{Identity, Protocol, Roots, Tls};

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";
/// Sessions that may be taken up again, per user of a configuration.
const RESUMABLE: usize = 256;

/// How to speak TLS to the endpoints of a service. Cheap to clone.
#[derive(Clone)]
pub struct Outgoing {
    tls: Arc<Tls>,
    /// Offers what the service wants.
    wanted: Arc<ClientConfig>,
    /// Offers HTTP/1.1 only.
    http1: Arc<ClientConfig>,
    protocol: Protocol,
}

/// Why no TLS connection came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The endpoint's certificate is not one that we trust, or not its own; or the endpoint does not take ours.
    Certificate(String),
    /// Anything else that is about TLS.
    Protocol(String),
}

/// The certificate authorities of a PEM file.
///
/// # Errors
/// When there is none in it, or one that can't be read.
pub fn authorities(pem: &[u8]) -> Result<Roots, String> {
    let found = certificates(pem)?;
    let mut store = RootCertStore::empty();
    for certificate in &found {
        store
            .add(certificate.clone())
            .map_err(|error| format!("a certificate in it can't be used: {error}"))?;
    }
    Ok(Roots::These(found.into_iter().map(|certificate| certificate.to_vec()).collect()))
}

/// What we show to endpoints that ask who we are, from PEM files.
///
/// # Errors
/// When there is no certificate or no key, or when they don't belong together.
pub fn identity(certificate: &[u8], key: &[u8]) -> Result<Identity, String> {
    let chain = certificates(certificate).map_err(|why| format!("the certificate: {why}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key: {}", said(&error)))?;
    let identity = Identity {
        chain: chain.into_iter().map(|certificate| certificate.to_vec()).collect(),
        key: key.secret_der().to_vec(),
    };
    let tls = Tls { roots: Roots::These(Vec::new()), identity: Some(identity), server_name: None };
    config(&tls)?;
    Ok(tls.identity.unwrap_or_default())
}

/// Whether `name` can be asked for.
///
/// # Errors
/// When it is neither a DNS name nor an address.
pub fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("{name:?} is neither a DNS name nor an address"))
}

impl Outgoing {
    /// Made once per service and user, not per connection.
    ///
    /// # Errors
    /// When the certificates can't be used, or when the system has none.
    pub fn new(tls: &Arc<Tls>, protocol: Protocol) -> Result<Self, String> {
        let mut http1 = config(tls)?;
        let mut wanted = http1.clone();
        http1.alpn_protocols = vec![HTTP1.to_vec()];
        wanted.alpn_protocols = match protocol {
            Protocol::Http1 => vec![HTTP1.to_vec()],
            Protocol::Http2 => vec![HTTP2.to_vec()],
            Protocol::Auto => vec![HTTP2.to_vec(), HTTP1.to_vec()],
        };
        Ok(Self { tls: tls.clone(), wanted: Arc::new(wanted), http1: Arc::new(http1), protocol })
    }

    /// The name that an endpoint must have a certificate for: the service's if it has one, else as the endpoint was
    /// declared (`name:port`).
    ///
    /// # Errors
    /// When that is no name.
    pub fn name_of(&self, declared: &str) -> Result<ServerName<'static>, String> {
        let host = declared.rsplit_once(':').map_or(declared, |(host, _port)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        server_name(self.tls.server_name.as_deref().unwrap_or(host))
    }

    /// Makes a TLS connection of a socket: the stream, and which version of HTTP was agreed on. `offered`: HTTP/1.1 alone
    /// or what the service wants.
    ///
    /// # Errors
    /// When the endpoint is not whom we want, or does not speak as we want. Those of the socket are passed on:
    /// [`Fault::of`] tells them apart.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
        name: ServerName<'static>,
        offered: Protocol,
    ) -> io::Result<(TlsStream<S>, Protocol)> {
        let config = if offered == Protocol::Http1 { &self.http1 } else { &self.wanted };
        let stream = TlsConnector::from(config.clone()).connect(name, socket).await?;
        let spoken = match stream.get_ref().1.alpn_protocol() {
            Some(HTTP2) => Protocol::Http2,
            Some(_) | None => Protocol::Http1,
        };
        if self.protocol == Protocol::Http2 && spoken != Protocol::Http2 {
            return Err(io::Error::other(NoHttp2));
        }
        Ok((stream, spoken))
    }
}

impl Fault {
    /// What an error says about TLS; `None`: nothing, it is about the socket.
    pub fn of(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref()?;
        if inner.is::<NoHttp2>() {
            return Some(Self::Protocol(NoHttp2.to_string()));
        }
        let error = inner.downcast_ref::<rustls::Error>()?;
        let about_certificates = match error {
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented => true,
            rustls::Error::AlertReceived(alert) => is_about_certificates(*alert),
            _ => false,
        };
        Some(if about_certificates {
            Self::Certificate(error.to_string())
        } else {
            Self::Protocol(error.to_string())
        })
    }

    /// The first in a chain of errors that is about TLS.
    pub fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(fault) = error.downcast_ref::<io::Error>().and_then(Self::of) {
                return Some(fault);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) | Self::Protocol(why) => f.write_str(why),
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("tls", &self.tls).field("protocol", &self.protocol).finish()
    }
}

/// The endpoint speaks TLS, but HTTP/1.1 in it.
#[derive(Debug)]
struct NoHttp2;

impl fmt::Display for NoHttp2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the endpoint did not agree to HTTP/2 (ALPN h2)")
    }
}

impl std::error::Error for NoHttp2 {}

/// The endpoint tells us that it does not like our certificate, or that it wants one.
fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(roots(&tls.roots)?);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
            let key = PrivateKeyDer::try_from(identity.key.clone())?;
            builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
                other => other.to_string(),
            })?
        }
    };
    config.resumption = Resumption::in_memory_sessions(RESUMABLE);
    Ok(config)
}

fn roots(roots: &Roots) -> Result<Arc<RootCertStore>, String> {
    /// Those of the machine, as `SSL_CERT_FILE`, `SSL_CERT_DIR` or its distribution say; read once.
    static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut store = RootCertStore::empty();
        // Some machines have certificates among theirs that nobody can read.
        let (_added, _ignored) =
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    });
    match roots {
        Roots::System if SYSTEM.is_empty() => {
            Err("this machine has no certificate authorities: name a `ca_file`".to_owned())
        }
        Roots::System => Ok(SYSTEM.clone()),
        Roots::These(these) => {
            let mut store = RootCertStore::empty();
            for der in these {
                store.add(CertificateDer::from(der.as_slice())).map_err(|error| error.to_string())?;
            }
            Ok(Arc::new(store))
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err("there is no certificate in it (PEM: `BEGIN CERTIFICATE`)".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => Err(said(&error)),
    }
}

fn said(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::NoItemsFound => "there is none in it (PEM)".to_owned(),
        other => format!("not PEM: {other}"),
    }
}
