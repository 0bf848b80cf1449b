//! A config file: read, and watched for changes.

mod material;
mod watch;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::config::spec::Spec;
use crate::config::{self, Diagnostics, Style};

pub use watch::Watcher;

/// A larger file is no config: 16 MiB.
const LARGEST: u64 = 16 * 1024 * 1024;

/// A config file that can't be used.
#[derive(Debug)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a config file.
#[derive(Debug)]
pub enum Problem {
    /// It is not there.
    Missing,
    /// It is a folder, a socket or the like.
    NotAFile,
    /// It can't be opened or read.
    Unreadable(io::Error),
    /// It is larger than 16 MiB.
    TooLarge,
    /// It is not text: the line (from 1) of the first byte that is not UTF-8.
    NotUtf8(usize),
    /// It is text, but not a valid config.
    Invalid(Diagnostics),
    /// It is valid, but files that it names are not: each with what is wrong.
    Files(Vec<String>),
}

/// Reads the config at `path`. Variables are taken from the process's environment; one that is not UTF-8 counts as
/// not set. Relative paths in the config are meant from the current directory, not from the file's.
///
/// # Errors
/// When the file (or one that it names) can't be read or is not valid; the error says what, where and what to do.
pub fn load(path: &Path) -> Result<Spec, LoadError> {
    meaning(path, read(path))
}

/// What the file's `bytes` mean, with the files that they name.
fn meaning(path: &Path, bytes: Result<Vec<u8>, Problem>) -> Result<Spec, LoadError> {
    let meaning = bytes
        .and_then(text)
        .and_then(|text| config::parse(&text, &|name| std::env::var(name).ok()).map_err(Problem::Invalid));
    let whole = meaning.and_then(|mut spec| match material::read(&mut spec) {
        Ok(()) => Ok(spec),
        Err(wrong) => Err(Problem::Files(wrong)),
    });
    whole.map_err(|problem| LoadError { path: path.to_owned(), problem })
}

/// Whether the file itself is a mount point, as with `docker run -v ./adit.toml:/etc/adit.toml`. Such a mount holds on
/// to one inode: a file that is saved by renaming a new one over it (as editors do) never appears, so the folder
/// should be mounted instead. `false` where it can't be known.
pub fn single_file_mount(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    path.is_file()
        && std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|table| is_mounted(&path, &table))
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Problem::Missing,
        _ => Problem::Unreadable(error),
    };
    // Before it is opened: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Problem::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(Problem::TooLarge);
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Problem::NotUtf8(good.iter().filter(|byte| **byte == b'\n').count() + 1)
    })
}

/// Whether `table`, in the form of proc_pid_mountinfo(5), has `path` as a mount point: the fifth field, with space, tab,
/// newline and backslash as octal escapes.
fn is_mounted(path: &Path, table: &str) -> bool {
    let escape = |text: &str| {
        text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
    };
    let escaped = path.to_str().map(escape);
    table.lines().any(|line| line.split(' ').nth(4) == escaped.as_deref())
}

impl LoadError {
    /// For people: what, where, and what to do. Several lines when the config is invalid.
    pub fn render(&self, style: Style) -> String {
        match &self.problem {
            Problem::Invalid(errors) => errors.render(&self.path.display().to_string(), style),
            Problem::Missing
            | Problem::NotAFile
            | Problem::Unreadable(_)
            | Problem::TooLarge
            | Problem::Files(_)
            | Problem::NotUtf8(_) => self.to_string(),
        }
    }

    /// For machines, in the form of [`Diagnostics::to_json`].
    pub fn to_json(&self) -> serde_json::Value {
        let file = self.path.display().to_string();
        let one = |line: usize, message: &str, help: &str| {
            let (column, path) = (1, "");
            json!({
                "file": file, "line": line, "column": column, "path": path, "message": message, "help": help,
            })
        };
        let error = |line: usize, message: String, help: &str| json!({ "valid": false, "errors": [one(line, &message, help)] });
        match &self.problem {
            Problem::Invalid(errors) => errors.to_json(&file),
            Problem::Files(wrong) => {
                let errors: Vec<_> =
                    wrong.iter().map(|message| one(1, message, self.problem.help())).collect();
                json!({ "valid": false, "errors": errors })
            }
            Problem::NotUtf8(line) => error(*line, self.problem.to_string(), self.problem.help()),
            Problem::Missing | Problem::NotAFile | Problem::Unreadable(_) | Problem::TooLarge => {
                error(1, self.problem.to_string(), self.problem.help())
            }
        }
    }
}

impl Problem {
    fn help(&self) -> &'static str {
        match self {
            Self::Missing | Self::NotAFile => "name the config with `-c FILE`",
            Self::Unreadable(_) => "see to its permissions",
            Self::TooLarge => "this is not a config",
            Self::NotUtf8(_) => "save the file as UTF-8",
            Self::Invalid(_) => "correct it",
            Self::Files(_) => "see to these files, or name others",
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, problem) = (self.path.display(), &self.problem);
        match problem {
            Problem::NotUtf8(line) => write!(f, "{path}:{line}: {problem}; {}", problem.help()),
            Problem::Invalid(_) | Problem::Files(_) => write!(f, "{path}: {problem}"),
            Problem::Missing | Problem::NotAFile | Problem::Unreadable(_) | Problem::TooLarge => {
                write!(f, "{path}: {problem}; {}", problem.help())
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::NotAFile => f.write_str("not a file"),
            Self::Unreadable(error) => write!(f, "can't be read ({error})"),
            Self::TooLarge => f.write_str("larger than 16 MiB"),
            Self::NotUtf8(_) => f.write_str("not UTF-8"),
            Self::Invalid(errors) => write!(f, "the config is not valid\n{errors}"),
            Self::Files(wrong) => {
                write!(f, "files that the config names can't be used\n{}", wrong.join("\n"))
            }
        }
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What loading a file with these bytes says.
    fn said_about(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adit.toml");
        std::fs::write(&path, bytes).expect("the file is written");
        let error = load(&path).expect_err("the file is bad").to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn a_valid_file_is_loaded() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/adit.toml");
        assert_eq!(load(&path).map(|spec| spec.services.len()).ok(), Some(1));
    }

    #[test]
    fn a_bad_file_is_told_apart_from_a_missing_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = load(&folder.path().join("adit.toml")).expect_err("there is none");
        assert!(matches!(missing.problem, Problem::Missing), "{missing}");
        let not_a_file = load(folder.path()).expect_err("a folder is no config");
        assert!(matches!(not_a_file.problem, Problem::NotAFile), "{not_a_file}");
        assert_eq!(said_about(b"a = 1\n\xff"), "adit.toml:2: not UTF-8; save the file as UTF-8");
        let expected = "adit.toml: the config is not valid\nline 1, column 5: not valid TOML: ";
        assert!(said_about(b"a = ").starts_with(expected), "{}", said_about(b"a = "));
    }

    #[test]
    fn a_file_above_the_limit_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adit.toml");
        let file = File::create(&path).expect("the file is created");
        file.set_len(LARGEST + 1).expect("a sparse file");
        let error = load(&path).expect_err("too large");
        assert!(matches!(error.problem, Problem::TooLarge), "{error}");
    }

    #[test]
    fn a_mounted_file_is_found_in_the_mount_table() {
        let table = "36 35 98:0 / / rw,noatime master:1 - ext3 /dev/root rw\n\
                     37 36 98:0 /x /etc/my\\040adit.toml rw - ext3 /dev/root rw";
        assert!(is_mounted(Path::new("/etc/my adit.toml"), table));
        assert!(!is_mounted(Path::new("/etc/adit.toml"), table));
    }

    #[test]
    fn an_ordinary_file_is_not_a_mount() {
        assert!(!single_file_mount(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/adit.toml")));
    }
}
