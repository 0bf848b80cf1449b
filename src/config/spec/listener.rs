//! An address that clients connect to, and how they are received there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::routing::Spoken;

/// An address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Port 0: any free port.
    pub address: SocketAddr,
    /// What clients may speak. Default: either version of HTTP.
    pub protocol: Spoken,
    /// Whether a connection begins by saying whom it is from. Default: no.
    pub proxy_protocol: bool,
    /// How TLS is spoken there; `None`: it is not.
    pub tls: Option<Tls>,
    /// Requests are sent on to where TLS is spoken.
    pub redirect: Option<Redirect>,
    /// How long browsers shall come back over TLS only (RFC 6797).
    pub hsts: Option<Duration>,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// With a certificate that is made at the start.
    SelfSigned,
    /// With what is in these files.
    Files(TlsFiles),
}

/// The files that TLS needs at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// At least one; the first one is for clients that name no host, or one that no certificate is for.
    pub certificates: Vec<CertificateFiles>,
    /// Whose certificates are asked for; `None`: nobody's.
    pub clients: Option<ClientCertificates>,
    /// Default 1.2.
    pub min_version: TlsVersion,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and behind it its chain.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// Which certificates clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The authorities that may have signed them, PEM.
    pub ca_file: PathBuf,
    /// Whether a client may have none.
    pub auth: ClientAuth,
}

/// Whether a client may have no certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// It must have one.
    #[default]
    Require,
    /// It may; what it shows must be valid.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Where requests are sent on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `None`: the port of the first listener with TLS.
    pub port: Option<u16>,
}

impl Listener {
    /// Without TLS and without anything special.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, protocol: Spoken::Any, proxy_protocol: false, tls: None, redirect: None, hsts: None }
    }

    /// Whether `other` is the same but for the certificates, which can be changed while it runs.
    pub fn is_same_door(&self, other: &Self) -> bool {
        let tls = self.tls.is_some() == other.tls.is_some();
        tls && *self == Self { tls: self.tls.clone(), ..other.clone() }
    }
}
