//! Where the admin API is, and with which token to knock.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use serde::Deserialize;

use super::client::Failure;
use super::{config_file, print};
use crate::config::spec::AdminAddress;
use crate::provider;

/// Where Adit listens unless its config says otherwise.
const DEFAULT: &str = "127.0.0.1:9900";

/// How all verbs that talk to a running Adit find it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The admin API: host:port or unix:PATH [default: as in the config, else 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR", env = "ADIT_ADMIN", hide_env_values = true)]
    admin: Option<String>,
    /// A file with the admin API's token [default: as in the config, where the address is from there too]
    #[arg(long, value_name = "FILE", env = "ADIT_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// The config file whose [admin] says where [default: ./adit.toml, else /etc/adit/adit.toml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Args {
    /// The config file that was named.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

/// Where to knock, and how.
#[derive(Debug, PartialEq)]
pub(super) struct Reach {
    pub(super) place: Place,
    pub(super) token: Option<String>,
}

/// Where the admin API is, and who said so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) at: At,
    found: Found,
}

/// An address that can be connected to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum At {
    /// `host:port`; the host may be a name.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

/// Who said where the admin API is.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Told,
    Config(PathBuf),
    Default,
}

/// What a config says about the admin API.
#[derive(Debug)]
struct Configured {
    at: At,
    token_file: Option<PathBuf>,
}

/// Finds the admin API: as told, else as configured, else at the default address.
///
/// # Errors
/// When what was told or configured can't be read.
pub(super) fn find(args: &Args) -> Result<Reach, Failure> {
    if let Some(told) = args.admin.as_deref().filter(|told| !told.is_empty()) {
        let place = Place { at: parse(told)?, found: Found::Told };
        return Ok(Reach { place, token: token(args.token_file.as_deref())? });
    }
    let (place, token_file) = match config_file::find(args.config.as_deref()) {
        None => (Place::default(), None),
        Some(file) => match read(&file) {
            Ok(Configured { at, token_file }) => (Place { at, found: Found::Config(file) }, token_file),
            Err(error) if args.config.is_some() => return Err(Failure::Config(error)),
            // An operator must get through while the file is broken.
            Err(error) => {
                print::err(&format!("adit: {error}; trying {DEFAULT}"));
                (Place::default(), None)
            }
        },
    };
    Ok(Reach { place, token: token(args.token_file.as_deref().or(token_file.as_deref()))? })
}

fn parse(text: &str) -> Result<At, Failure> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Ok(At::Unix(path.into()));
    }
    let port = text.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) if !text.contains('/') => Ok(At::Tcp(text.to_owned())),
        _ => Err(Failure::Usage(format!(
            "`{text}` is no admin address: give host:port or unix:PATH by --admin or ADIT_ADMIN"
        ))),
    }
}

/// Only `[admin]` matters here: it is looked for even in a file that is otherwise not valid, since that is when an
/// operator needs to get through.
fn read(file: &Path) -> Result<Configured, String> {
    match provider::file::load(file) {
        Ok(spec) => {
            let token_file = spec.admin.token_file;
            connectable(spec.admin.address, file).map(|at| Configured { at, token_file })
        }
        Err(_) => read_admin_alone(file),
    }
}

fn read_admin_alone(file: &Path) -> Result<Configured, String> {
    #[derive(Default, Deserialize)]
    struct Alone {
        #[serde(default)]
        admin: Admin,
    }
    #[derive(Default, Deserialize)]
    struct Admin {
        address: Option<String>,
        token_file: Option<PathBuf>,
    }
    let unreadable = |error: &dyn fmt::Display| format!("can't read [admin] in {}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| unreadable(&error))?;
    let Alone { admin } = toml::from_str(&text).map_err(|error| unreadable(&error.message()))?;
    let address = admin.address.unwrap_or_else(|| DEFAULT.to_owned());
    let at = match (address.strip_prefix("unix:"), address.parse()) {
        (Some(path), _) => At::Unix(path.into()),
        (None, Ok(address)) => connectable(AdminAddress::Tcp(address), file)?,
        (None, Err(_)) => return Err(unreadable(&format!("`{address}` is no address"))),
    };
    Ok(Configured { at, token_file: admin.token_file })
}

/// Where to connect to what listens there.
fn connectable(address: AdminAddress, file: &Path) -> Result<At, String> {
    let address = match address {
        AdminAddress::Unix(path) => return Ok(At::Unix(path)),
        AdminAddress::Tcp(address) => address,
    };
    if address.port() == 0 {
        let file = file.display();
        return Err(format!("{file} leaves the admin port open (port 0): give it by --admin or ADIT_ADMIN"));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(At::Tcp(SocketAddr::new(ip, address.port()).to_string()))
}

fn token(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else { return Ok(None) };
    let bad = |what: &dyn fmt::Display| Failure::Other(format!("the token file {}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error: io::Error| bad(&error))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad(&"is not one line of printable ASCII without spaces"));
    }
    Ok(Some(token.to_owned()))
}

impl Default for Place {
    fn default() -> Self {
        Self { at: At::Tcp(DEFAULT.to_owned()), found: Found::Default }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Tcp(authority) => f.write_str(authority)?,
            At::Unix(path) => write!(f, "unix:{}", path.display())?,
        }
        match &self.found {
            Found::Told => f.write_str(" (as told by --admin or ADIT_ADMIN)"),
            Found::Config(file) => write!(f, " (from {})", file.display()),
            Found::Default => f.write_str(" (the default)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(admin: Option<&str>, config: Option<&Path>) -> Args {
        Args { admin: admin.map(str::to_owned), token_file: None, config: config.map(Path::to_owned) }
    }

    fn file(dir: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = dir.path().join("adit.toml");
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn what_is_told_counts_before_the_config() {
        let reach = find(&args(Some("adit.internal:1234"), Some(Path::new("/not/there")))).unwrap();
        assert_eq!(reach.place.at, At::Tcp("adit.internal:1234".into()));
        let reach = find(&args(Some("unix:/run/adit.sock"), None)).unwrap();
        assert_eq!(reach.place.at, At::Unix("/run/adit.sock".into()));
    }

    #[test]
    fn what_is_no_address_is_a_mistake_in_usage() {
        for told in ["localhost", ":9900", "host:port", "http://localhost:9900", "unix:", "host:99999"] {
            assert!(matches!(find(&args(Some(told), None)), Err(Failure::Usage(_))), "{told}");
        }
    }

    #[test]
    fn a_config_that_is_not_valid_still_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        fs::write(&token, "s3cret\n").unwrap();
        let text = format!(
            "nonsense = 1\n[admin]\naddress = \"0.0.0.0:9911\"\ntoken_file = {:?}\n",
            token.to_str().unwrap()
        );
        let reach = find(&args(None, Some(&file(&dir, &text)))).unwrap();
        assert_eq!(reach.place.at, At::Tcp("127.0.0.1:9911".into()));
        assert_eq!(reach.token.as_deref(), Some("s3cret"));
    }

    #[test]
    fn the_configs_token_goes_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let config = file(&dir, "[admin]\ntoken_file = \"/not/there\"\n");
        assert_eq!(find(&args(Some("elsewhere:9900"), Some(&config))).unwrap().token, None);
    }

    #[test]
    fn a_config_that_was_named_and_can_not_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let broken = file(&dir, "[admin\n");
        let open_port = file(&tempfile::tempdir_in(dir.path()).unwrap(), "");
        for config in [broken, open_port.join("not/there")] {
            assert!(
                matches!(find(&args(None, Some(&config))), Err(Failure::Config(_))),
                "{}",
                config.display()
            );
        }
    }

    #[test]
    fn a_port_that_is_left_open_can_not_be_found() {
        let dir = tempfile::tempdir().unwrap();
        let config = file(&dir, "x = 1\n[admin]\naddress = \"127.0.0.1:0\"\n");
        let Err(Failure::Config(message)) = find(&args(None, Some(&config))) else { panic!("found") };
        assert!(message.contains("--admin"), "{message}");
    }

    #[test]
    fn a_token_file_without_a_token_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "\n", "two words"] {
            let file = file(&dir, text);
            assert!(token(Some(&file)).is_err(), "{text:?}");
        }
    }
}
