//! The README's way from a compose.yaml to a first canary: its very files and commands.

use std::path::Path;

use crate::engine::{Engine, said};
use crate::harness::{directory, is_missing};
use crate::image::Image;
use crate::own_image::build_adit;

const README: &str = include_str!("../../README.md");
const SECTION: &str = "## With Docker Compose";

/// The section's blocks, in their order.
#[derive(Default)]
struct Blocks {
    /// What is fenced as YAML.
    yaml: Vec<String>,
    /// What is indented: commands.
    commands: Vec<String>,
}

fn blocks() -> Blocks {
    let section = README.split_once(SECTION).expect("the section is there").1;
    let mut blocks = Blocks::default();
    let (mut fenced, mut indented) = (false, false);
    for line in section.lines().take_while(|line| !line.starts_with("## ")) {
        let command = line.strip_prefix("    ").filter(|_| !fenced);
        match (line, command) {
            ("```yaml", _) => blocks.yaml.push(String::new()),
            (_, Some(_)) if !indented => blocks.commands.push(String::new()),
            _ => {}
        }
        match command {
            Some(command) => *blocks.commands.last_mut().unwrap() += &format!("{command}\n"),
            None if fenced && line != "```" => *blocks.yaml.last_mut().unwrap() += &format!("{line}\n"),
            None => {}
        }
        indented = command.is_some();
        fenced = line == "```yaml" || (fenced && line != "```");
    }
    blocks
}

/// What a reader waits for between two blocks.
fn until(said: &str) -> String {
    format!(
        "until docker compose exec adit /adit status | tee /dev/stderr | grep -q '{said}'; do sleep 0.5; done\n"
    )
}

#[test]
fn the_commands_of_the_readme_release_a_canary() {
    let Some(engine) = Engine::apart().filter(|_| !is_missing("compose") && !is_missing("curl")) else {
        return;
    };
    build_adit(&engine);
    for version in ["1.4.0", "1.5.0"] {
        Image::new(&format!("registry.example/shop:{version}"), version).build(&engine);
    }
    let (blocks, dir) = (blocks(), directory());
    let [before, after] = &blocks.yaml[..] else { panic!("two files in the section: {:#?}", blocks.yaml) };
    let [build, start, release, promote] = &blocks.commands[..] else { panic!("{:#?}", blocks.commands) };
    // Done above, with the program that is tested in the place of one for production.
    assert!(build.contains("docker build -t adit -f config/Dockerfile ."), "{build}");
    run(&engine, dir.path(), before, "docker compose up -d");
    let commands = [start, release, &until("shop · stepping"), promote, &until("shop · idle")];
    let told = run(&engine, dir.path(), after, &commands.map(String::as_str).concat());
    assert!(told.starts_with("1.4.0 answers /"), "{told}");
    let versions = run(
        &engine,
        dir.path(),
        after,
        "curl -sS localhost:8080/; docker compose exec adit /adit images shop",
    );
    assert!(
        versions.starts_with("1.5.0 answers /") && versions.contains("registry.example/shop:1.5.0"),
        "{versions}"
    );
}

/// Runs commands as a reader's shell would, in a folder with this compose.yaml. The engine's socket is elsewhere here.
fn run(engine: &Engine, dir: &Path, yaml: &str, commands: &str) -> String {
    let socket = engine.socket();
    let yaml = yaml.replace("- /var/run/docker.sock:", &format!("- {socket}:"));
    std::fs::write(dir.join("compose.yaml"), yaml).unwrap();
    let mut shell = engine.command("timeout");
    shell.args(["120", "bash", "-e", "-x", "-c", &commands.replace("/var/run/docker.sock", socket)]);
    shell.env("COMPOSE_PROJECT_NAME", "reader");
    said(commands, shell.current_dir(dir).output().unwrap())
}
