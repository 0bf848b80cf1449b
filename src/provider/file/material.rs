//! The files that a config names: certificates and keys. They are read with the config, so that a reload with a bad one
//! is refused and changes nothing.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::config::spec::{ServiceSpec, Spec};
use crate::domain::routing::{Roots, Tls};
use crate::tls::outgoing::{self, Outgoing};

/// A larger file is neither a certificate nor a key: 4 MiB.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Reads what the services' connections need.
///
/// # Errors
/// Everything that is wrong with the files, a line each: where it is said, which file, what is wrong.
pub(super) fn read(spec: &mut Spec) -> Result<(), Vec<String>> {
    let mut wrong = Vec::new();
    for service in spec.services.values_mut() {
        if let Some(tls) = service.policy.connection.tls.clone() {
            match fill(service, &tls) {
                Ok(tls) => Arc::make_mut(service).policy.connection.tls = Some(Arc::new(tls)),
                Err(why) => {
                    wrong.push(format!("services.{}.connection.tls.{why}", service.name.as_str()));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn fill(service: &ServiceSpec, tls: &Tls) -> Result<Tls, String> {
    let files = &service.tls_files;
    let mut tls = tls.clone();
    if let Some(path) = &files.ca {
        let pem = bytes("ca_file", path)?;
        tls.roots = outgoing::authorities(&pem).map_err(|why| about("ca_file", path, &why))?;
    }
    if let (Some(certificate), Some(key)) = (&files.certificate, &files.key) {
        let (chain, secret) = (bytes("cert_file", certificate)?, bytes("key_file", key)?);
        let identity =
            outgoing::identity(&chain, &secret).map_err(|why| about("cert_file", certificate, &why))?;
        tls.identity = Some(identity);
    }
    if let Some(name) = &tls.server_name {
        outgoing::server_name(name).map_err(|why| format!("server_name: {why}"))?;
    }
    // Whatever the workers will make of it can be made.
    let shared = Arc::new(tls);
    Outgoing::new(&shared, service.policy.connection.protocol).map_err(|why| match shared.roots {
        Roots::System => format!("ca_file: {why}"),
        Roots::These(_) => why,
    })?;
    Ok(Arc::unwrap_or_clone(shared))
}

fn bytes(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| about(key, path, &format!("can't be read ({error})"));
    // Before it is opened: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(about(key, path, "not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn about(key: &str, path: &Path, why: &str) -> String {
    format!("{key}: {}: {why}", path.display())
}
