//! Which certificate a client is shown.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::names::Directory;

/// The certificates of a listener by the names that they are for. The first one is for everybody else.
pub(super) struct Chooser {
    pub(super) certificates: Vec<Certificate>,
    directory: Directory,
}

impl Chooser {
    pub(super) fn new(certificates: Vec<Certificate>) -> Self {
        let directory = Directory::new(certificates.iter().map(|certificate| &certificate.names));
        Self { certificates, directory }
    }

    /// Those that may be shown to a client that names this host.
    pub(super) fn for_name(&self, name: Option<&str>) -> &[usize] {
        match name.map(|name| self.directory.find(name)) {
            None | Some([]) => &[0],
            Some(found) => found,
        }
    }

    /// Whether one of those that may be shown to a client that names this host is for `host`.
    pub(super) fn shows_for(&self, name: Option<&str>, host: &str) -> bool {
        self.for_name(name).iter().any(|&index| self.certificates[index].names.cover(host))
    }

    pub(super) fn any_for(&self, host: &str) -> bool {
        self.certificates.iter().any(|certificate| certificate.names.cover(host))
    }
}

impl ResolvesServerCert for Chooser {
    /// Of several for one name (an ECDSA and an RSA certificate), the first that the client can check.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let found = self.for_name(name.as_deref()).iter().map(|&index| &self.certificates[index].key);
        let checkable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        found.clone().find(checkable).or_else(|| found.clone().next()).cloned()
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chooser").field("certificates", &self.certificates.len()).finish_non_exhaustive()
    }
}
