//! TLS at a listener. Only what can be known without reading a file: what is in the files is `tls/`'s to say.

use std::time::Duration;

use super::file::path;
use super::reader::Table;
use super::spec::{CertificateFiles, ClientAuth, ClientCertificates, Redirect, Tls, TlsFiles, TlsVersion};
use super::value::Value;

const FORM: &str = "\"self-signed\", or a table with `certificates`";
const CERTIFICATES: &str = "write `certificates = [{ cert_file = \"shop.pem\", key_file = \"shop.key\" }]`";
/// Long enough for anybody; browsers' preload lists ask for one or two years.
const LONGEST_HSTS: Duration = Duration::from_secs(86_400 * 3_653);

/// The listener's `tls`.
pub(super) fn tls(listener: &mut Table<'_>) -> Option<Tls> {
    let value = listener.value("tls")?;
    if value.is_table() {
        return value.table(files)?.map(Tls::Files);
    }
    value.parsed(|text| match text {
        "self-signed" => Ok(Tls::SelfSigned),
        _ => Err(format!("{text:?} is not known here: write {FORM}")),
    })
}

fn files(table: &mut Table<'_>) -> Option<TlsFiles> {
    let certificates = table.required("certificates", CERTIFICATES).and_then(|value| certificates(&value));
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    let min_version = table.value("min_version").and_then(|value| value.choice(&versions, &[]));
    let clients = clients(table);
    Some(TlsFiles { certificates: certificates?, clients, min_version: min_version.unwrap_or_default() })
}

fn certificates(value: &Value<'_>) -> Option<Vec<CertificateFiles>> {
    let certificates = value.list(|item| item.table(certificate).flatten())?;
    if certificates.is_empty() {
        value.error("there is no certificate to show", Some(CERTIFICATES.to_owned()));
        return None;
    }
    Some(certificates)
}

fn certificate(table: &mut Table<'_>) -> Option<CertificateFiles> {
    let cert_file = table.required("cert_file", "name a PEM file with the certificate and its chain");
    let key_file = table.required("key_file", "name a PEM file with the certificate's private key");
    Some(CertificateFiles { cert_file: path(&cert_file?)?, key_file: path(&key_file?)? })
}

fn clients(table: &mut Table<'_>) -> Option<ClientCertificates> {
    let words = [("require", ClientAuth::Require), ("optional", ClientAuth::Optional)];
    let ca_file = table.value("client_ca_file").filter(|value| !value.is_unwritten());
    let auth = table.value("client_auth").filter(|value| !value.is_unwritten());
    if let (None, Some(auth)) = (&ca_file, &auth) {
        let help = "add `client_ca_file`: a PEM file with the authorities that sign clients' certificates";
        auth.error("`client_auth` says nothing without `client_ca_file`", Some(help.to_owned()));
    }
    let auth = auth.and_then(|value| value.choice(&words, &[])).unwrap_or_default();
    Some(ClientCertificates { ca_file: path(&ca_file?)?, auth })
}

/// The listener's `redirect`: `"https"`, or `"https:PORT"` where clients see another port than we do.
pub(super) fn redirect(listener: &mut Table<'_>) -> Option<Redirect> {
    let wrong = |text: &str| format!("{text:?} is not known here: write \"https\", or \"https:443\"");
    listener.value("redirect")?.parsed(|text| match text.strip_prefix("https:") {
        None if text == "https" => Ok(Redirect { port: None }),
        None => Err(wrong(text)),
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Redirect { port: Some(port) }),
            Ok(_) | Err(_) => Err(wrong(text)),
        },
    })
}

/// The listener's `hsts`.
pub(super) fn hsts(listener: &mut Table<'_>) -> Option<Duration> {
    // `0s` is of use: it takes back what was said before (RFC 6797 section 6.1.1).
    listener.value("hsts")?.duration(&(Duration::ZERO..=LONGEST_HSTS))
}
