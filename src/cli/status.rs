//! `adit status`: how things stand.

use std::io;
use std::time::Duration;

use super::client::{Client, Failure};
use super::exit::Exit;
use super::grid::Look;
use super::{print, reach, tell, view};

/// Between two looks.
const REDRAW: Duration = Duration::from_secs(1);
/// Back to the top left, and nothing left of what was there (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Show who is stable, who is canary, the verdict so far, and every endpoint
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit status web -w")]
pub(super) struct Args {
    /// Only this service
    service: Option<String>,
    /// Look again every second
    #[arg(short, long)]
    watch: bool,
    /// As JSON, one document per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: reach::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    let look = Look::of_stdout();
    let client = match Client::new(&args.reach) {
        Ok(client) => client,
        Err(failure) => return print::finish(Err(failure)),
    };
    let first = glance(&client, args, look);
    match first {
        Ok(shown) if args.watch => watch(&client, args, look, shown),
        first => print::finish(first),
    }
}

/// Goes on until it is interrupted. Whoever watches a screen also wants to see Adit come back; a script wants to know.
fn watch(client: &Client, args: &Args, look: Look, mut shown: String) -> Exit {
    let mut trouble = None;
    loop {
        if let Err(error) = draw(look, &shown, trouble.as_ref()) {
            return print::unheard(&error);
        }
        client.wait(REDRAW);
        trouble = match glance(client, args, look) {
            Ok(now) => {
                shown = now;
                None
            }
            Err(failure) if look.terminal => Some(failure),
            Err(failure) => return print::finish(Err(failure)),
        };
    }
}

fn draw(look: Look, shown: &str, trouble: Option<&Failure>) -> io::Result<()> {
    let clear = if look.terminal { CLEAR } else { "" };
    match trouble {
        Some(trouble) => print::out(&format!("{clear}{shown}\n{trouble}\n")),
        None => print::out(&format!("{clear}{shown}")),
    }
}

fn glance(client: &Client, args: &Args, look: Look) -> Result<String, Failure> {
    let body = match &args.service {
        Some(service) => client.get(&tell::service_path(service))?,
        None => client.get("/v1/status")?,
    };
    if args.json {
        return Ok(print::document(&body));
    }
    Ok(match &args.service {
        Some(_) => view::render_service(&client.read(&body)?, look),
        None => view::render(&client.read(&body)?, look),
    })
}
