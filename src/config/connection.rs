//! `[services.*.connection]`: how endpoints are spoken to.

use std::path::PathBuf;
use std::sync::Arc;

use super::file::path;
use super::reader::Table;
use super::spec::EndpointTlsFiles;
use crate::domain::proxy_protocol::ProxyProtocol;
use crate::domain::routing::{Connection, Protocol, Roots, Tls};

/// How endpoints are spoken to, and the files that this needs.
pub(super) fn connection(table: &mut Table<'_>) -> (Connection, EndpointTlsFiles) {
    let words = [("http1", Protocol::Http1), ("http2", Protocol::Http2), ("auto", Protocol::Auto)];
    let protocol = table.value("protocol").and_then(|value| value.choice(&words, &[])).unwrap_or_default();
    let read = table.value("tls").and_then(|value| value.table(tls));
    if protocol == Protocol::Auto && read.is_none() {
        let help = "add `[services.….connection.tls]`, or write \"http1\" or \"http2\"";
        let message = "without TLS nothing tells which version of HTTP an endpoint speaks";
        table.error_of("protocol", message, Some(help.to_owned()));
    }
    let words = [("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
    let proxy_protocol = table.value("proxy_protocol").and_then(|value| value.choice(&words, &[]));
    if proxy_protocol.is_some() && protocol != Protocol::Http1 && table.sound() {
        let help = "write `protocol = \"http1\"`, or leave `proxy_protocol` out";
        let message = "a connection of HTTP/2 carries requests of many clients, and its header names one";
        table.error_of("proxy_protocol", message, Some(help.to_owned()));
    }
    let (tls, files) = read.unzip();
    (Connection { protocol, tls: tls.map(Arc::new), proxy_protocol }, files.unwrap_or_default())
}

/// What can be known without reading files. Without them it trusts those that it should not, at the most.
fn tls(table: &mut Table<'_>) -> (Tls, EndpointTlsFiles) {
    let mut file = |key: &'static str| -> Option<PathBuf> { table.value(key).and_then(|value| path(&value)) };
    let files =
        EndpointTlsFiles { ca: file("ca_file"), certificate: file("cert_file"), key: file("key_file") };
    if files.certificate.is_some() != files.key.is_some() {
        let (missing, there) =
            if files.key.is_none() { ("key_file", "cert_file") } else { ("cert_file", "key_file") };
        let help = "a certificate and its private key are used together";
        table.error_of(there, format!("`{missing}` is missing"), Some(help.to_owned()));
    }
    let server_name = table.value("server_name").and_then(|value| value.parsed(name));
    (Tls { roots: Roots::System, server_name, identity: None }, files)
}

fn name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    match (1..=253).contains(&text.len()) && text.bytes().all(fits) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("{text:?} is neither a DNS name nor an address")),
    }
}
