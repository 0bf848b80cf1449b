//! Taking the admin address: a TCP port, or a unix socket that only its owner can open.

use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use socket2::{Domain, SockAddr, Socket, Type};

use super::guard::Token;
use crate::config::spec::{Admin, AdminAddress};

/// Only the owner may open the unix socket: who can open it can release.
const OWNER_ONLY: u32 = 0o600;
/// Connections that the kernel keeps waiting for us.
const BACKLOG: i32 = 128;

/// The admin address, taken but not served yet. Clients can connect already; they wait.
#[derive(Debug)]
pub struct Bound {
    pub(super) listener: Listener,
    pub(super) token: Option<Token>,
    address: AdminAddress,
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(SocketFile, UnixListener),
}

/// The name of a unix socket; goes when it is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

/// Why the admin API can't start.
#[derive(Debug)]
pub enum BindError {
    /// The TCP address can't be had.
    Tcp(SocketAddr, io::Error),
    /// Anyone could reach it, and no token protects it.
    Unprotected(SocketAddr),
    /// A living process answers at the unix socket.
    SocketInUse(PathBuf),
    /// There is a file in the socket's place that is no socket.
    NotASocket(PathBuf),
    /// The unix socket can't be made.
    Unix(PathBuf, io::Error),
    /// The token file can't be read.
    TokenFile(PathBuf, io::Error),
    /// The token file has no token in it.
    NoToken(PathBuf),
}

/// Takes the address of the admin API and reads its token file. The token is read here once: a new one needs a
/// restart.
///
/// # Errors
/// When the address can't be had, or is not protected.
pub fn bind(admin: &Admin) -> Result<Bound, BindError> {
    let token = admin.token_file.as_deref().map(read_token).transpose()?;
    let (listener, address) = match &admin.address {
        AdminAddress::Tcp(address) => {
            if !address.ip().is_loopback() && token.is_none() {
                return Err(BindError::Unprotected(*address));
            }
            let (listener, bound) = bind_tcp(*address).map_err(|error| BindError::Tcp(*address, error))?;
            (Listener::Tcp(listener), AdminAddress::Tcp(bound))
        }
        AdminAddress::Unix(path) => {
            clear_stale(path)?;
            let (file, listener) = bind_unix(path).map_err(|error| BindError::Unix(path.clone(), error))?;
            (Listener::Unix(file, listener), AdminAddress::Unix(path.clone()))
        }
    };
    Ok(Bound { listener, token, address })
}

impl Bound {
    /// Where it listens, with the real port.
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }
}

fn read_token(path: &Path) -> Result<Token, BindError> {
    let text = fs::read_to_string(path).map_err(|error| BindError::TokenFile(path.to_owned(), error))?;
    Token::new(text.trim()).ok_or_else(|| BindError::NoToken(path.to_owned()))
}

fn bind_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Removes what a process that was killed has left behind, and nothing else.
fn clear_stale(path: &Path) -> Result<(), BindError> {
    let unix = |error| BindError::Unix(path.to_owned(), error);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unix(error)),
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    match knock(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(unix),
        // A full backlog is a sign of life too.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(BindError::SocketInUse(path.to_owned()))
        }
        Err(error) => Err(unix(error)),
        Ok(()) => Err(BindError::SocketInUse(path.to_owned())),
    }
}

fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

fn bind_unix(path: &Path) -> io::Result<(SocketFile, UnixListener)> {
    // The mode is set before there is a name to open, so that there is no moment at which others could.
    let unnamed = File::from(OwnedFd::from(Socket::new(Domain::UNIX, Type::STREAM, None)?));
    unnamed.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    let socket = Socket::from(OwnedFd::from(unnamed));
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
    fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY))?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok((file, UnixListener::from(OwnedFd::from(socket))))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Only our own: someone may have put another socket in its place.
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the admin socket could not be removed");
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "the admin API can't listen on {address}: another process has that port; stop it, or choose another \
                 `address` in [admin]"
            ),
            Self::Tcp(address, _) => {
                write!(f, "the admin API can't listen on {address}; choose another `address` in [admin]")
            }
            Self::Unprotected(address) => write!(
                f,
                "the admin API at {address} can be reached from elsewhere: give it a `token_file` in [admin], or a \
                 loopback `address`"
            ),
            Self::SocketInUse(path) => write!(
                f,
                "the admin API can't listen on unix:{}: a running process answers there; stop it, or choose another \
                 `address` in [admin]",
                path.display()
            ),
            Self::NotASocket(path) => write!(
                f,
                "the admin API can't listen on unix:{}: there is a file that is no socket; move it away, or choose \
                 another `address` in [admin]",
                path.display()
            ),
            Self::Unix(path, _) => write!(
                f,
                "the admin API can't listen on unix:{}; its folder must exist and be writable, or choose another \
                 `address` in [admin]",
                path.display()
            ),
            Self::TokenFile(path, _) => {
                write!(f, "the admin API's token file {} can't be read", path.display())
            }
            Self::NoToken(path) => write!(
                f,
                "the admin API's token file {} has no token: put one line of printable ASCII without spaces into it, \
                 for example from `openssl rand -hex 32`",
                path.display()
            ),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tcp(_, error) if error.kind() == io::ErrorKind::AddrInUse => None, // said already
            Self::Tcp(_, error) | Self::Unix(_, error) | Self::TokenFile(_, error) => Some(error),
            Self::Unprotected(_) | Self::SocketInUse(_) | Self::NotASocket(_) | Self::NoToken(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &Path) -> Admin {
        Admin { address: AdminAddress::Unix(path.to_owned()), token_file: None }
    }

    fn tcp(address: &str) -> Admin {
        Admin { address: AdminAddress::Tcp(address.parse().expect("an address")), token_file: None }
    }

    #[test]
    fn a_unix_socket_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let _bound = bind(&unix(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, OWNER_ONLY);
    }

    #[test]
    fn the_mode_holds_from_the_first_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("early.sock");
        let unnamed = File::from(OwnedFd::from(Socket::new(Domain::UNIX, Type::STREAM, None).unwrap()));
        unnamed.set_permissions(Permissions::from_mode(OWNER_ONLY)).unwrap();
        Socket::from(OwnedFd::from(unnamed)).bind(&SockAddr::unix(&path).unwrap()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, OWNER_ONLY);
    }

    #[test]
    fn a_socket_that_a_dead_process_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind, like a killed process");
        bind(&unix(&path)).unwrap();
    }

    #[test]
    fn a_socket_that_a_living_process_serves_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let first = bind(&unix(&path)).unwrap();
        assert!(matches!(bind(&unix(&path)), Err(BindError::SocketInUse(_))));
        drop(first);
        bind(&unix(&path)).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(matches!(bind(&unix(&path)), Err(BindError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn the_socket_file_goes_with_the_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(bind(&unix(&path)).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_someone_else_put_in_its_place_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let bound = bind(&unix(&path)).unwrap();
        let other = dir.path().join("other.sock");
        let _other = UnixListener::bind(&other).unwrap();
        fs::rename(&other, &path).unwrap();
        drop(bound);
        assert!(path.exists());
    }

    #[test]
    fn an_address_that_others_can_reach_needs_a_token() {
        assert!(matches!(bind(&tcp("0.0.0.0:0")), Err(BindError::Unprotected(_))));
    }

    #[test]
    fn the_bound_address_has_the_real_port() {
        let bound = bind(&tcp("127.0.0.1:0")).unwrap();
        assert!(matches!(bound.address(), AdminAddress::Tcp(address) if address.port() != 0));
    }

    #[test]
    fn a_port_in_use_says_so_and_what_to_do() {
        let first = bind(&tcp("127.0.0.1:0")).unwrap();
        let error = bind(&tcp(&first.address().to_string())).unwrap_err().to_string();
        assert!(error.contains("another process has that port") && error.contains("[admin]"), "{error}");
    }

    #[test]
    fn a_missing_or_empty_token_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let admin = Admin { token_file: Some(path.clone()), ..tcp("127.0.0.1:0") };
        assert!(matches!(bind(&admin), Err(BindError::TokenFile(..))));
        fs::write(&path, " \n").unwrap();
        assert!(matches!(bind(&admin), Err(BindError::NoToken(_))));
    }
}
