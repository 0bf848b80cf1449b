//! One certificate of ours with its chain and key.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::PROVIDER;
use super::file::{Contents, FileError, Problem};
use super::names::Names;
use crate::config::spec::CertificateFiles;
use crate::domain::Timestamp;

/// A certificate of ours, as it is shown to clients and to operators.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// What it is called: its file as the config names it.
    pub label: String,
    /// The hosts that it is for.
    pub hosts: Vec<String>,
    /// The end of its time, in seconds since the Unix epoch.
    pub not_after: i64,
    /// SHA-256 of the certificate, in hexadecimal with colons, as browsers and openssl show it.
    pub fingerprint: String,
    pub(super) names: Names,
    pub(super) key: Arc<CertifiedKey>,
}

impl Certificate {
    pub(super) fn load(files: &CertificateFiles, contents: &Contents) -> Result<Self, FileError> {
        let chain = contents.certificates(&files.cert_file)?;
        let wrong = |problem| FileError::new(&files.cert_file, problem);
        let read = chain.iter().map(|one| read(one).map_err(Problem::BadCertificate));
        let all = read.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let key = contents.key(&files.key_file)?;
        let label = files.cert_file.display().to_string();
        let key = certify(chain, key).map_err(|error| unfit(error, files))?;
        let own = all.into_iter().next().ok_or_else(|| wrong(Problem::NoCertificate))?;
        Ok(Self::new(label, own, key))
    }

    pub(super) fn of(
        label: &str,
        own: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let facts = read(&own)?;
        let key = certify(vec![own], key).map_err(|error| error.to_string())?;
        Ok(Self::new(label.to_owned(), facts, key))
    }

    fn new(label: String, facts: Facts, key: CertifiedKey) -> Self {
        let Facts { names, not_after, fingerprint } = facts;
        let addresses = names.addresses.iter().map(ToString::to_string);
        let hosts = names.hosts.iter().cloned().chain(addresses).collect();
        Self { label, hosts, not_after, fingerprint, names, key: Arc::new(key) }
    }

    /// How many whole days are left; negative: it has expired.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        let now = i64::try_from(now.as_micros() / 1_000_000).unwrap_or(i64::MAX);
        self.not_after.saturating_sub(now).div_euclid(86_400)
    }

    /// The end of its time, RFC 3339.
    pub fn not_after_text(&self) -> String {
        let seconds = u64::try_from(self.not_after).unwrap_or_default();
        Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_string()
    }
}

/// What is read from a certificate.
struct Facts {
    names: Names,
    not_after: i64,
    fingerprint: String,
}

fn certify(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, Error> {
    CertifiedKey::from_der(chain, key, &PROVIDER)
}

fn unfit(error: Error, files: &CertificateFiles) -> FileError {
    let CertificateFiles { cert_file, key_file } = files;
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            FileError::new(key_file, Problem::OtherKey(cert_file.clone()))
        }
        Error::InvalidCertificate(why) => {
            FileError::new(cert_file, Problem::BadCertificate(format!("{why:?}")))
        }
        error => FileError::new(key_file, Problem::BadKey(error.to_string())),
    }
}

fn read(der: &CertificateDer<'_>) -> Result<Facts, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("there are bytes behind its end".to_owned());
    }
    let mut names = Names::default();
    let alternatives = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(host) => names.hosts.push(host.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
            _ => {}
        }
    }
    let not_after = certificate.validity().not_after.timestamp();
    Ok(Facts { names, not_after, fingerprint: fingerprint(der) })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn fingerprint(der: &[u8]) -> String {
    // The provider's SHA-256 is reached by a suite that uses it.
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else { return String::new() };
    let digest = suite.common.hash_provider.hash(der);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// The files that a certificate is made of.
pub(super) fn paths(files: &CertificateFiles) -> [&Path; 2] {
    [&files.cert_file, &files.key_file]
}
