//! `adit completion`: what a shell needs to complete our verbs and flags.

use clap::CommandFactory;
use clap_complete::Shell;

use super::exit::Exit;
use super::{Cli, print};

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit completion bash > /etc/bash_completion.d/adit")]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "adit", &mut script);
    print::finish(Ok(String::from_utf8_lossy(&script).into_owned()))
}
