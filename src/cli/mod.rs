//! The command line: one verb, one file. A verb reads what was typed, does its one thing, and says by its exit code
//! how it ended.
#![allow(clippy::print_stdout, reason = "this is the room that talks to the terminal")]

mod abort;
mod certificates;
mod check;
mod check_args;
mod client;
mod completion;
mod config_file;
mod demo;
mod deploy;
mod drain;
mod exit;
mod explain;
mod grid;
mod healthcheck;
mod history;
mod hold;
mod images;
mod logging;
mod pause;
mod print;
mod promote;
mod reach;
mod release;
mod reload;
mod resume;
mod retry;
mod run;
mod set_weight;
mod simulate;
mod status;
mod story;
mod tell;
mod undo;
mod view;
mod words;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use exit::Exit;

const EXAMPLES: &str = "\
Start:    adit run --to 127.0.0.1:9001 127.0.0.1:9002
Release:  change `release` in adit.toml, then watch: adit status -w
Go back:  adit abort web --why 'prices are wrong'; after a promotion: adit undo web
Look back: adit explain web
Which image: adit images web

Exit codes: 0 ok, 1 failure, 2 usage, 3 invalid config, 4 rollout aborted, 5 timed out, 6 conflict, 7 admin API unreachable";

/// The front door of containerised services: balances their load and releases their new versions by itself.
#[derive(Debug, Parser)]
#[command(name = "adit", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Check(check_args::Args),
    Demo(demo::DemoArgs),
    Status(status::Args),
    Images(images::Args),
    Deploy(deploy::Args),
    Promote(promote::Args),
    Abort(abort::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    SetWeight(set_weight::Args),
    Retry(retry::Args),
    Undo(undo::Args),
    Hold(hold::Args),
    Release(release::Args),
    Drain(drain::Args),
    Reload(reload::Args),
    History(history::Args),
    Explain(explain::Args),
    Simulate(simulate::Args),
    Healthcheck(healthcheck::Args),
    Completion(completion::Args),
}

/// Does what the command line says; returns the exit code.
pub fn run() -> u8 {
    match Cli::try_parse() {
        Ok(cli) => cli.verb.run(),
        Err(error) => explain(&error).code(),
    }
}

impl Verb {
    fn run(self) -> u8 {
        let exit = match self {
            Self::Run(args) => run::run(args),
            Self::Check(args) => return check_args::run(&args),
            Self::Demo(args) => return demo::demo(args),
            Self::Status(args) => status::run(&args),
            Self::Images(args) => images::run(&args),
            Self::Deploy(args) => deploy::run(&args),
            Self::Promote(args) => promote::run(&args),
            Self::Abort(args) => abort::run(&args),
            Self::Pause(args) => pause::run(&args),
            Self::Resume(args) => resume::run(&args),
            Self::SetWeight(args) => set_weight::run(&args),
            Self::Retry(args) => retry::run(&args),
            Self::Undo(args) => undo::run(&args),
            Self::Hold(args) => hold::run(&args),
            Self::Release(args) => release::run(&args),
            Self::Drain(args) => drain::run(&args),
            Self::Reload(args) => reload::run(&args),
            Self::History(args) => history::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Simulate(args) => simulate::run(&args),
            Self::Healthcheck(args) => healthcheck::run(&args),
            Self::Completion(args) => completion::run(&args),
        };
        exit.code()
    }
}

/// Help and version are answers; everything else that clap stops at is a mistake in what was typed.
fn explain(error: &clap::Error) -> Exit {
    let answered = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    match error.print() {
        Ok(()) if answered => Exit::Ok,
        Err(problem) if answered => print::unheard(&problem),
        Ok(()) | Err(_) => Exit::Usage,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example_in_its_help() {
        for verb in Cli::command().get_subcommands_mut() {
            let name = verb.get_name().to_owned();
            let help = verb.render_help().to_string();
            assert!(help.contains(&format!("adit {name}")) && help.contains("Example"), "{help}");
            assert!(verb.get_about().is_some(), "{name}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        for line in [
            "adit run --to 127.0.0.1:9001 -c adit.toml",
            "adit run --listen 127.0.0.1:8080",
            "adit run --to",
            "adit deploy web --endpoint a:1",
            "adit deploy web --version v2 --timeout soon --wait",
            "adit deploy web --version v2 --timeout 1m",
            "adit set-weight web",
            "adit set-weight web 120",
            "adit set-weight web -1",
            "adit promote",
            "adit drain",
            "adit drain a:1 --cancel --wait",
            "adit drain a:1 --wait --timeout soon",
            "adit simulate --rate 0",
            "adit simulate --stable-errors 0.1",
            "adit simulate --runs 0",
            "adit",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_verbs_read_as_documented() {
        for line in [
            "adit run",
            "adit run -c adit.toml",
            "adit run --to 127.0.0.1:9001 127.0.0.1:9002 --listen 127.0.0.1:0",
            "adit run --to 127.0.0.1:9001 --to 127.0.0.1:9002",
            "adit check --format json",
            "adit status -w",
            "adit status web --json --admin unix:/run/adit.sock",
            "adit images",
            "adit images web --json --admin unix:/run/adit.sock",
            "adit deploy web --version v2 --endpoint a:1 --endpoint b:1 --image r/web:2 --wait --timeout 1h30m",
            "adit deploy web --version v2 --endpoint a:1 b:1 --revision 4f2a --created 2026-11-01T12:00:00Z --json",
            "adit promote web --full --why done",
            "adit set-weight web 0.5",
            "adit set-weight web 25%",
            "adit retry web --version v2",
            "adit undo web --to v1 --why wrong",
            "adit hold web --max-wait 20s --max-waiting 50 --why now",
            "adit release web",
            "adit drain 127.0.0.1:9001 --wait --timeout 1m --force",
            "adit drain 127.0.0.1:9001 --cancel",
            "adit drain shop-web-1 --wait",
            "adit reload --wait -c adit.toml",
            "adit history",
            "adit history web --limit 5 --json",
            "adit explain web",
            "adit explain web 3 --json",
            "adit simulate --rate 100 --stable-errors 0.1%",
            "adit simulate web -c adit.toml --canary-errors 0.5%,2% --runs 50 --seed 7 --json",
            "adit healthcheck",
            "adit healthcheck --live --timeout 1s",
            "adit completion bash",
        ] {
            if let Err(error) = parse(line) {
                panic!("{line}: {error}");
            }
        }
    }
}
