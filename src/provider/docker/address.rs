//! Where an engine listens: which kinds of address we speak to, and what to do about the others.

use std::env;
use std::fmt;
use std::path::PathBuf;

/// Where an engine listens when nobody says otherwise.
const DEFAULT: &str = "unix:///var/run/docker.sock";
/// The port of an engine that speaks without TLS.
const PORT: u16 = 2375;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Address {
    /// What the config says, else `DOCKER_HOST`, else Docker's usual socket.
    pub(super) fn find(configured: Option<&str>) -> Result<Self, String> {
        if let Some(text) = configured {
            return Self::parse(text).map_err(|why| format!("docker.endpoint: {why}"));
        }
        let Some(text) = env::var("DOCKER_HOST").ok().filter(|text| !text.is_empty()) else {
            return Self::parse(DEFAULT);
        };
        let address = Self::parse(&text).map_err(|why| format!("DOCKER_HOST: {why}"))?;
        let wants_tls = env::var_os("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty());
        if wants_tls && matches!(address, Self::Tcp(_)) {
            return Err(format!("DOCKER_TLS_VERIFY with DOCKER_HOST={text}: {}", Instead("TLS")));
        }
        Ok(address)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            // As the docker command has it: a bare path is a unix socket.
            None if text.starts_with('/') => ("unix", text),
            None => return Err(format!("`{text}` is no address; write unix:///PATH or tcp://HOST:PORT")),
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "unix" => Err(format!("`{text}`: the path must be absolute, as in unix:///var/run/docker.sock")),
            "tcp" | "http" => {
                Self::tcp(rest).ok_or_else(|| format!("`{text}` has no host; write tcp://HOST:PORT"))
            }
            "https" => Err(format!("`{text}`: {}", Instead("TLS"))),
            "ssh" => Err(format!("`{text}`: {}", Instead("SSH"))),
            "npipe" => Err(format!("`{text}`: {}", Instead("named pipe"))),
            _ => Err(format!("`{text}`: there is no `{scheme}` here; write unix:///PATH or tcp://HOST:PORT")),
        }
    }

    /// `host:port`, the port being Docker's when there is none.
    fn tcp(rest: &str) -> Option<Self> {
        let authority: http::uri::Authority = rest.trim_end_matches('/').parse().ok()?;
        let host = Some(authority.host()).filter(|host| !host.is_empty())?;
        Some(Self::Tcp(format!("{host}:{}", authority.port_u16().unwrap_or(PORT))))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

/// What to do instead of speaking to an engine by this.
struct Instead(&'static str);

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no {} is spoken with an engine; give Adit its unix socket, or put a socket proxy beside it and use tcp://HOST:PORT",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_plain_tcp_are_addresses() {
        let cases = [
            ("unix:///run/docker.sock", "unix:///run/docker.sock"),
            ("/run/docker.sock", "unix:///run/docker.sock"),
            ("tcp://127.0.0.1:2376", "tcp://127.0.0.1:2376"),
            ("tcp://socket-proxy", "tcp://socket-proxy:2375"),
            ("tcp://socket-proxy:2375/", "tcp://socket-proxy:2375"),
            ("http://[::1]:2375", "tcp://[::1]:2375"),
        ];
        for (text, address) in cases {
            assert_eq!(
                Address::parse(text).map(|address| address.to_string()),
                Ok(address.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_spoken_is_refused_with_what_to_do_instead() {
        let cases = [
            ("https://engine:2376", "no TLS is spoken with an engine"),
            ("ssh://me@engine", "no SSH is spoken with an engine"),
            ("npipe:////./pipe/docker_engine", "no named pipe is spoken with an engine"),
            ("fd://3", "write unix:///PATH or tcp://HOST:PORT"),
            ("unix://run/docker.sock", "must be absolute"),
            ("tcp://", "has no host"),
            ("tcp://:2375", "has no host"),
            ("localhost", "is no address"),
            ("", "is no address"),
        ];
        for (text, what) in cases {
            let refused = Address::parse(text).expect_err(text);
            assert!(refused.contains(what), "{text}: {refused}");
        }
    }
}
