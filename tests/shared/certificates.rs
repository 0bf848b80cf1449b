//! Certificates made for a test, and clients that check them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pub(crate) pem: String,
}

/// A certificate with its key.
pub(crate) struct Pair {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key is made");
        let certificate = params.self_signed(&key).expect("an authority signs itself");
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Self { issuer: Issuer::new(params, key), der, pem }
    }

    /// A server's certificate for these hosts.
    pub(crate) fn server(&self, hosts: &[&str]) -> Pair {
        self.sign(named(hosts))
    }

    /// One that expires on this day.
    pub(crate) fn server_until(&self, hosts: &[&str], (year, month, day): (i32, u8, u8)) -> Pair {
        let mut params = named(hosts);
        params.not_after = rcgen::date_time_ymd(year, month, day);
        self.sign(params)
    }

    /// A client's certificate.
    pub(crate) fn client(&self, organisation: &str, name: &str) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key is made");
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs");
        Pair { der: certificate.der().clone(), pem: certificate.pem(), key }
    }

    /// A client that trusts this authority and shows nothing.
    pub(crate) fn trusted(&self) -> ClientConfig {
        self.trusted_with(rustls::ALL_VERSIONS, None)
    }

    /// A client that trusts this authority, speaks these versions, and shows a certificate if it has one.
    pub(crate) fn trusted_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shows: Option<&Pair>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("the authority is one");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let builder = builder.expect("versions that the provider has").with_root_certificates(roots);
        match shows {
            None => builder.with_no_client_auth(),
            Some(pair) => builder
                .with_client_auth_cert(vec![pair.der.clone()], pair.key_der())
                .expect("a key and its certificate"),
        }
    }
}

impl Pair {
    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// Writes `NAME.pem` and `NAME.key`, whole or not at all.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        replace(&cert, &self.pem);
        replace(&key, &self.key.serialize_pem());
        (cert, key)
    }

    /// Writes it, and gives the config's line for it.
    pub(crate) fn config(&self, folder: &Path, name: &str) -> String {
        let (cert, key) = self.write(folder, name);
        format!("{{ cert_file = \"{}\", key_file = \"{}\" }}", cert.display(), key.display())
    }
}

/// Puts a file in another one's place.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("the folder can be written");
    std::fs::rename(&new, path).expect("a file can be renamed within its folder");
}

fn named(hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("hosts that can be in a certificate");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
