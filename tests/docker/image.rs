//! Images from nothing but the tests' static program.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::engine::{Engine, said};
use crate::harness::directory;

/// An image of the tests' program, about to be built.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    tag: String,
    lines: Vec<String>,
}

impl Image {
    /// `tag` is its reference, `version` what it answers.
    pub(crate) fn new(tag: &str, version: &str) -> Self {
        let lines = ["FROM scratch", "COPY app /app", "EXPOSE 8080", &format!("ENV VERSION={version}")];
        Self { tag: tag.to_owned(), lines: lines.map(str::to_owned).into() }
    }

    /// With another line of its Dockerfile.
    pub(crate) fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// With a label.
    pub(crate) fn label(self, name: &str, value: &str) -> Self {
        self.line(&format!("LABEL {name}=\"{value}\""))
    }

    /// With a HEALTHCHECK so often.
    pub(crate) fn checked_every(self, interval: &str) -> Self {
        self.line(&format!(
            "HEALTHCHECK --interval={interval} --timeout=5s --retries=2 CMD [\"/app\", \"--check\"]"
        ))
    }

    /// Builds it; gives its id.
    pub(crate) fn build(&self, engine: &Engine) -> String {
        let context = directory();
        std::fs::copy(app(), context.path().join("app")).unwrap();
        let dockerfile = format!("{}\nENTRYPOINT [\"/app\"]\n", self.lines.join("\n"));
        std::fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
        build(engine, &self.tag, context.path(), &[])
    }
}

/// `docker build ARGS -t TAG FOLDER`; the id of what was built.
pub(crate) fn build(engine: &Engine, tag: &str, folder: &Path, args: &[&str]) -> String {
    let folder = folder.to_str().expect("a temporary directory has a plain name");
    engine.docker(&[&["build", "--quiet", "-t", tag], args, &[folder]].concat())
}

/// The tests' static program, compiled once for each text of it.
pub(crate) fn app() -> &'static Path {
    static APP: OnceLock<PathBuf> = OnceLock::new();
    APP.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        include_str!("app/main.rs").hash(&mut hasher);
        let app = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("app-{:016x}", hasher.finish()));
        if !app.exists() {
            // Its name tells that it is whole.
            let new = app.with_extension("new");
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker/app/main.rs");
            let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
            rustc.args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-Cstrip=symbols", "-o"]);
            said("rustc tests/docker/app/main.rs", rustc.arg(&new).arg(source).output().unwrap());
            std::fs::rename(new, &app).unwrap();
        }
        app
    })
}
