//! `adit check`: all that is wrong with a config, before it is used.

use std::path::Path;

use serde_json::json;

use crate::config::Style;
use crate::config::spec::{DockerSpec, Spec};
use crate::provider::file;
use crate::tls::{FileError, Keyrings};

/// The exit code for a config that can't be used.
const INVALID: u8 = 3;

/// How the result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckFormat {
    /// For people.
    Text,
    /// For machines: `{"valid", "errors": [{"file", "line", "column", "path", "message", "help"}]}`.
    Json,
}

/// Reads the config at `path` and tells what is wrong with it: the lines to print, and the exit code (0, or 3 when the
/// config can't be used).
pub(crate) fn check(path: &Path, format: CheckFormat) -> (String, u8) {
    let loaded = file::load(path);
    let flaws = loaded.as_ref().map(Keyrings::check).unwrap_or_default();
    let (said, code) = match (loaded, format) {
        (Ok(_), CheckFormat::Text) if !flaws.is_empty() => (blame(path, &flaws), INVALID),
        (Ok(_), CheckFormat::Json) if !flaws.is_empty() => (blame_json(path, &flaws), INVALID),
        (Ok(spec), CheckFormat::Text) => (praise(path, &spec), 0),
        (Ok(_), CheckFormat::Json) => (json!({ "valid": true, "errors": [] }).to_string(), 0),
        (Err(error), CheckFormat::Text) => (error.render(Style::Plain), INVALID),
        (Err(error), CheckFormat::Json) => (error.to_json().to_string(), INVALID),
    };
    (said + "\n", code)
}

/// The files that the config names can't be used.
fn blame(path: &Path, flaws: &[(String, FileError)]) -> String {
    let lines = flaws.iter().map(|(place, flaw)| format!("{}: {place}: {flaw}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}

fn blame_json(path: &Path, flaws: &[(String, FileError)]) -> String {
    let file = path.display().to_string();
    let error = |(place, flaw): &(String, FileError)| {
        let message = format!("{}: {}", flaw.path.display(), flaw.message());
        json!({ "file": file, "line": 1, "column": 1, "path": place, "message": message, "help": flaw.help() })
    };
    json!({ "valid": false, "errors": flaws.iter().map(error).collect::<Vec<_>>() }).to_string()
}

fn praise(path: &Path, spec: &Spec) -> String {
    let names: Vec<_> = spec.services.keys().map(|name| name.as_str()).collect();
    let listeners: Vec<_> = spec.listeners.iter().map(|listener| listener.address.to_string()).collect();
    let services = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let docker = match &spec.docker {
        Some(DockerSpec { endpoint, .. }) => {
            let engine = endpoint.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
            format!("; containers of the docker engine{engine} are served too, and were not looked at")
        }
        None => String::new(),
    };
    let listeners = listeners.join(", ");
    format!("{} is valid: listens on {listeners}; services: {services}{docker}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about a config with this text, and the exit code.
    fn checked(text: &str, format: CheckFormat) -> (String, u8) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adit.toml");
        std::fs::write(&path, text).expect("the file is written");
        let (said, code) = check(&path, format);
        (said.replace(&format!("{}/", folder.path().display()), ""), code)
    }

    const GOOD: &str =
        "[[listeners]]\naddress = '127.0.0.1:80'\n[services.web.versions.v1]\nendpoints = ['a:1']";

    #[test]
    fn a_valid_config_is_summed_up() {
        let expected = "adit.toml is valid: listens on 127.0.0.1:80; services: web\n";
        assert_eq!(checked(GOOD, CheckFormat::Text), (expected.to_owned(), 0));
        let json = ("{\"errors\":[],\"valid\":true}\n".to_owned(), 0);
        assert_eq!(checked(GOOD, CheckFormat::Json), json);
    }

    #[test]
    fn containers_are_said_to_be_served_too_and_not_to_be_checked() {
        let mut spec = Spec::front_door(([127, 0, 0, 1], 80).into(), Vec::new());
        spec.docker =
            Some(DockerSpec { endpoint: Some("tcp://127.0.0.1:2375".into()), ..DockerSpec::default() });
        let expected = "adit.toml is valid: listens on 127.0.0.1:80; services: default; containers of the docker engine \
                        (tcp://127.0.0.1:2375) are served too, and were not looked at";
        assert_eq!(praise(Path::new("adit.toml"), &spec), expected);
    }

    #[test]
    fn an_invalid_config_is_exit_code_three_with_every_error() {
        let text = format!("worker = 1\ndrain = 8\n{GOOD}");
        let (said, code) = checked(&text, CheckFormat::Text);
        assert_eq!(code, 3);
        assert!(said.contains("--> adit.toml:1:1") && said.contains("--> adit.toml:2:9"), "{said}");
        let (said, code) = checked(&text, CheckFormat::Json);
        let said: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
        assert_eq!((code, &said["valid"], &said["errors"][1]["line"]), (3, &json!(false), &json!(2)));
    }

    #[test]
    fn a_missing_file_is_exit_code_three_with_what_to_do() {
        let missing = Path::new("there/is/none.toml");
        let expected = "there/is/none.toml: there is no such file; name the config with `-c FILE`\n";
        assert_eq!(check(missing, CheckFormat::Text), (expected.to_owned(), 3));
        let (said, code) = check(missing, CheckFormat::Json);
        let said: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
        assert_eq!((code, &said["errors"][0]["message"]), (3, &json!("there is no such file")));
    }
}
