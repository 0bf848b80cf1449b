//! `adit check`: is the config valid?

use std::path::PathBuf;

use super::check::{CheckFormat, check};
use super::client::Failure;
use super::exit::Exit;
use super::{config_file, print};

/// Say whether a config is valid, and all that is wrong with it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit check -c adit.toml && adit reload")]
pub(super) struct Args {
    /// The config file [default: ./adit.toml, else /etc/adit/adit.toml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For people or for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Exits with what the check says; 3 when there is no file at all.
pub(super) fn run(args: &Args) -> u8 {
    let Some(file) = config_file::find(args.config.as_deref()) else {
        return print::finish(Err(Failure::Config(config_file::none_found("check")))).code();
    };
    let format = match args.format {
        Format::Text => CheckFormat::Text,
        Format::Json => CheckFormat::Json,
    };
    let (text, code) = check(&file, format);
    match print::finish(Ok(text)) {
        Exit::Ok => code,
        exit => exit.code(),
    }
}
