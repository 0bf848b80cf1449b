//! The files: read once, then looked into. What is wrong with one is said with its name and what to do.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use siphasher::sip::SipHasher13;

/// A larger file holds no certificates: 1 MiB is hundreds of them.
const LARGEST: u64 = 1024 * 1024;

/// What is in some files at one moment. A file that was replaced while others were read shows in the next reading.
pub(super) struct Contents(BTreeMap<PathBuf, Result<Vec<u8>, Problem>>);

/// A file that can't be used: which, why, what to do.
#[derive(Clone, Debug)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    problem: Problem,
}

/// What is wrong with a file.
#[derive(Clone, Debug)]
pub(super) enum Problem {
    Missing,
    NotAFile,
    Unreadable(io::ErrorKind),
    TooLarge,
    BrokenPem(String),
    NoCertificate,
    NoKey,
    EncryptedKey,
    BadCertificate(String),
    BadKey(String),
    /// The key is of another certificate: this one's.
    OtherKey(PathBuf),
    BadAuthority(String),
}

impl Contents {
    pub(super) fn read<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self(paths.into_iter().map(|path| (path.to_owned(), read(path))).collect())
    }

    /// The same number for the same contents.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        for (path, content) in &self.0 {
            path.hash(&mut hasher);
            hash(content, &mut hasher);
        }
        hasher.finish()
    }

    /// The same number for the same content of one file.
    pub(super) fn digest_of(&self, path: &Path) -> u64 {
        let mut hasher = SipHasher13::new();
        if let Some(content) = self.0.get(path) {
            hash(content, &mut hasher);
        }
        hasher.finish()
    }

    /// All certificates in a file; at least one.
    pub(super) fn certificates(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
        let bytes = self.bytes(path)?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        match all {
            Ok(all) if all.is_empty() => Err(FileError::new(path, Problem::NoCertificate)),
            Ok(all) => Ok(all),
            Err(error) => Err(FileError::new(path, broken(&error))),
        }
    }

    /// The first private key in a file.
    pub(super) fn key(&self, path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
        let bytes = self.bytes(path)?;
        PrivateKeyDer::from_pem_slice(bytes).map_err(|error| {
            let problem = match error {
                pem::Error::NoItemsFound if is_encrypted(bytes) => Problem::EncryptedKey,
                pem::Error::NoItemsFound => Problem::NoKey,
                error => broken(&error),
            };
            FileError::new(path, problem)
        })
    }

    fn bytes(&self, path: &Path) -> Result<&[u8], FileError> {
        match self.0.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(problem)) => Err(FileError::new(path, problem.clone())),
            None => Err(FileError::new(path, Problem::Missing)),
        }
    }
}

impl FileError {
    pub(super) fn new(path: &Path, problem: Problem) -> Self {
        Self { path: path.to_owned(), problem }
    }

    /// What is wrong, without the file's name and without what to do.
    pub fn message(&self) -> String {
        self.problem.to_string()
    }

    /// What to do.
    pub fn help(&self) -> &'static str {
        match &self.problem {
            Problem::Missing | Problem::NotAFile => "put the file there, or correct the path in the config",
            Problem::Unreadable(_) => "see to its permissions",
            Problem::TooLarge => "this is no file with certificates",
            Problem::BrokenPem(_) | Problem::BadCertificate(_) | Problem::BadKey(_) => "write the file again",
            Problem::NoCertificate => "it needs a `-----BEGIN CERTIFICATE-----` section",
            Problem::NoKey => "it needs a `-----BEGIN PRIVATE KEY-----` section",
            Problem::EncryptedKey => "take the passphrase off: openssl pkey -in KEY -out NEW",
            Problem::OtherKey(_) => {
                "name the two that belong together; a server's own certificate comes first in its file"
            }
            Problem::BadAuthority(_) => "name certificates of authorities",
        }
    }
}

fn hash(content: &Result<Vec<u8>, Problem>, hasher: &mut SipHasher13) {
    match content {
        Ok(bytes) => bytes.hash(hasher),
        Err(problem) => problem.to_string().hash(hasher),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Problem::Missing,
        kind => Problem::Unreadable(kind),
    };
    // Before it is opened: opening a named pipe would wait for a writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Problem::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(Problem::TooLarge);
    }
    Ok(bytes)
}

fn broken(error: &pem::Error) -> Problem {
    Problem::BrokenPem(error.to_string())
}

fn is_encrypted(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains("ENCRYPTED")
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.problem, self.help())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::NotAFile => f.write_str("not a file"),
            Self::Unreadable(kind) => write!(f, "can't be read ({kind})"),
            Self::TooLarge => f.write_str("larger than 1 MiB"),
            Self::BrokenPem(why) => write!(f, "not valid PEM ({why})"),
            Self::NoCertificate => f.write_str("there is no certificate in it"),
            Self::NoKey => f.write_str("there is no private key in it"),
            Self::EncryptedKey => {
                f.write_str("the private key is encrypted, and nobody is here to type its passphrase")
            }
            Self::BadCertificate(why) => write!(f, "a certificate in it can't be read ({why})"),
            Self::BadKey(why) => write!(f, "the private key can't be used ({why})"),
            Self::OtherKey(certificate) => {
                write!(f, "this private key is not the one of the certificate in {}", certificate.display())
            }
            Self::BadAuthority(why) => write!(f, "can't be used to check clients' certificates ({why})"),
        }
    }
}

impl std::error::Error for FileError {}
