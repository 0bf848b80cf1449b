//! What all commands to a running Adit have in common: which service, who says so, why.

use std::{env, fs};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use super::client::{Client, Failure};
use super::{reach, view};
use crate::admin::WHO;
use crate::control::report::ServiceStatus;

/// Which service, and why.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The service's name
    service: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    reach: reach::Args,
}

/// Gives the command `verb` with what `said` adds to it; returns how the service stands now.
pub(super) fn tell(args: &Args, verb: &str, said: &[(&str, Value)]) -> Result<String, Failure> {
    let client = args.client()?;
    let service: ServiceStatus = client.read(&ask(&client, args, verb, said)?)?;
    Ok(view::summary(&service))
}

/// Gives the command; returns the answer as it came.
pub(super) fn ask(
    client: &Client,
    args: &Args,
    verb: &str,
    said: &[(&str, Value)],
) -> Result<Bytes, Failure> {
    let mut body: Map<_, _> = said.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    if let Some(why) = &args.why {
        body.insert("why".to_owned(), Value::from(why.as_str()));
    }
    let path = format!("{}/{verb}", service_path(&args.service));
    client.post(&path, who(), Bytes::from(Value::Object(body).to_string()))
}

impl Args {
    /// Who is told.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.reach)
    }
}

/// The path of a service, whatever its name is made of (RFC 3986 section 2.3).
pub(super) fn service_path(service: &str) -> String {
    format!("/v1/services/{}", segment(service))
}

/// One segment of a path, whatever it is made of.
pub(super) fn segment(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

/// Who gives the command, as far as the environment knows: `user@host`.
pub(super) fn who() -> HeaderMap {
    let user = ["USER", "LOGNAME"].iter().find_map(|key| env::var(key).ok().filter(|user| !user.is_empty()));
    let host =
        fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    let who = match (user.as_deref().unwrap_or("cli"), host.as_deref().map(str::trim)) {
        (user, Ok(host)) if !host.is_empty() => format!("{user}@{host}"),
        (user, _) => user.to_owned(),
    };
    let plain: String = who.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(256).collect();
    HeaderValue::try_from(plain).map(|who| (WHO, who)).map_or_else(|_| HeaderMap::new(), header)
}

fn header((name, value): (&'static str, HeaderValue)) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_stays_one_segment_of_the_path() {
        assert_eq!(service_path("web-1.a_b~"), "/v1/services/web-1.a_b~");
        assert_eq!(service_path("a/../b ü?"), "/v1/services/a%2F..%2Fb%20%C3%BC%3F");
    }
}
