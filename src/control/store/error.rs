//! Why something could not be kept or read, and what to do about it.

use std::path::{Path, PathBuf};
use std::{error, fmt, io};

use rusqlite::ErrorCode;

/// The store could not do it.
#[derive(Debug)]
pub enum StoreError {
    /// The state directory can't be made, read or written.
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Another Adit uses the state directory.
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Its process id, if it could be read.
        holder: Option<u32>,
    },
    /// No room on the disk.
    Full {
        /// The database, or the state directory.
        path: PathBuf,
        /// What SQLite or the system says.
        cause: Box<dyn error::Error + Send + Sync>,
    },
    /// The file or its file system can't be written.
    ReadOnly {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
    /// The file is damaged, or no database at all.
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
    /// A newer Adit wrote the file.
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that this Adit understands.
        known: i64,
    },
    /// A record can't be understood (when loading) or could not be understood later (when saving).
    Unreadable {
        /// The database.
        path: PathBuf,
        /// Whose record.
        service: String,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// Anything else that SQLite says.
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What it says.
        cause: rusqlite::Error,
    },
}

impl StoreError {
    pub(super) fn directory(dir: &Path, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path: dir.to_owned(), cause: cause.into() }
            }
            _ => Self::Directory { dir: dir.to_owned(), cause },
        }
    }

    pub(in crate::control) fn sqlite(path: &Path, cause: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, cause: cause.into() },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly { path, cause }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, cause },
            _ => Self::Sqlite { path, cause },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { dir, .. } => write!(
                f,
                "the state directory {} can't be used; make it writable for this user, or set `dir` in [state]",
                dir.display()
            ),
            Self::InUse { dir, holder } => {
                write!(f, "the state directory {} is in use by another adit", dir.display())?;
                if let Some(process) = holder {
                    write!(f, " (process {process})")?;
                }
                f.write_str("; stop that one, or give this one another `dir` in [state]")
            }
            Self::Full { path, .. } => write!(
                f,
                "no room on the disk for {}; free some, or set `dir` in [state] to another disk",
                path.display()
            ),
            Self::ReadOnly { path, .. } => write!(
                f,
                "{} can't be opened for writing; make the file and its directory writable for this user",
                path.display()
            ),
            Self::Corrupt { path, .. } => write!(
                f,
                "{} is damaged; put back a copy, or move it away: then each service starts with its `release` as \
                 stable, without history",
                path.display()
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "{} was written by a newer adit (schema {found}, this one knows up to {known}); run that one, or \
                 move the file away",
                path.display()
            ),
            Self::Unreadable { path, service, .. } => write!(
                f,
                "{}: the record of service {service} can't be understood; run the adit that wrote it, or move the \
                 file away",
                path.display()
            ),
            Self::Sqlite { path, .. } => write!(
                f,
                "{} could not be read or written; check the disk and the rights of the file and its directory",
                path.display()
            ),
        }
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Directory { cause, .. } => Some(cause),
            Self::Full { cause, .. } => Some(cause.as_ref()),
            Self::ReadOnly { cause, .. } | Self::Corrupt { cause, .. } | Self::Sqlite { cause, .. } => {
                Some(cause)
            }
            Self::Unreadable { cause, .. } => Some(cause),
            Self::InUse { .. } | Self::Newer { .. } => None,
        }
    }
}
