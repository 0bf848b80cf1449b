//! `adit simulate`: a release before it happens, with the service's real plan.

mod numbers;
mod release;
mod running;
mod show;
mod stuck;

use std::path::PathBuf;
use std::sync::Arc;

use super::client::Failure;
use super::exit::Exit;
use super::grid::Look;
use super::{config_file, print, reach};
use crate::config::Style;
use crate::config::spec::{ServiceSpec, Traffic};
use crate::provider;
use numbers::Numbers;
use release::Release;
use running::Load;

/// Say before a release how long its steps take and how soon a bad version is aborted
///
/// Rehearses the service's real plan under simulated traffic: the machine and the judge of `adit run`, a virtual clock.
/// No running Adit is needed, unless the traffic is to be taken from one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: adit simulate web --rate 200 --stable-errors 0.1%
         adit simulate web --canary-errors 0.5%,2% --json    (traffic as in the running Adit)")]
pub(super) struct Args {
    /// The service's name; may be left out if there is only one
    service: Option<String>,
    /// Requests per second to the service [default: as the running Adit counts now]
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    rate: Option<f64>,
    /// How many of its requests stable fails [default: as the running Adit has counted]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    stable_errors: Option<f64>,
    /// How many of its requests a canary fails: one line of the table for each
    #[arg(long, value_name = "SHARES", value_parser = share, value_delimiter = ',', default_value = "0%,1%,5%,20%,100%")]
    canary_errors: Vec<f64>,
    /// Rollouts for each line
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Decides all chance: the same number, the same result
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: reach::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    let simulated = simulate(args);
    let unsaid = matches!(simulated, Err(Failure::Unreachable(..) | Failure::TimedOut(_)));
    let exit = print::finish(simulated);
    if unsaid {
        print::err("adit: or say what the traffic is: --rate 100 --stable-errors 0.1%");
    }
    exit
}

fn simulate(args: &Args) -> Result<String, Failure> {
    let service = service(args)?;
    let load = Load::find(args, service.name.as_str())?;
    let numbers = Numbers::of(&Release::new(&service, &load, args), &args.canary_errors);
    if args.json {
        let text = serde_json::to_string(&numbers)
            .map_err(|error| Failure::Other(format!("the numbers can't be written as JSON: {error}")))?;
        return Ok(text + "\n");
    }
    Ok(show::render(&numbers, Look::of_stdout()))
}

/// The service that is meant, as the config has it.
fn service(args: &Args) -> Result<Arc<ServiceSpec>, Failure> {
    let file: PathBuf = config_file::find(args.reach.config())
        .ok_or_else(|| Failure::Config(config_file::none_found("simulate")))?;
    let spec = provider::file::load(&file).map_err(|error| Failure::Config(error.render(Style::Plain)))?;
    let names: Vec<&str> = spec.services.keys().map(|name| name.as_str()).collect();
    let known = || format!("{} has: {}", file.display(), names.join(", "));
    let service = match (&args.service, names.as_slice()) {
        (Some(name), _) => spec.services.values().find(|service| service.name.as_str() == name),
        (None, [_only]) => spec.services.values().next(),
        (None, []) => return Err(Failure::Usage(format!("{} has no service", file.display()))),
        (None, [..]) => {
            return Err(Failure::Usage(format!("which service? {}; adit simulate SERVICE", known())));
        }
    };
    let service = service.ok_or_else(|| {
        Failure::Usage(format!(
            "there is no service `{}`: {}",
            args.service.as_deref().unwrap_or_default(),
            known()
        ))
    })?;
    match &service.traffic {
        Traffic::Release(_) => Ok(service.clone()),
        Traffic::Weights(_) => Err(Failure::Usage(format!(
            "service `{}` has fixed weights and no rollouts; use `release` in place of `weights`",
            service.name
        ))),
    }
}

/// Requests per second.
fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|rate| (0.001..=1e6).contains(rate));
    number.ok_or_else(|| "give requests per second, from 0.001 to 1000000".to_owned())
}

/// A share of the requests, as a fraction; only with `%`, because `0.5` could mean either.
fn share(text: &str) -> Result<f64, String> {
    let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "give a share with its percent sign, as 0.5%, from 0% to 100%".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_its_percent_sign() {
        assert_eq!(share("0.5%"), Ok(0.005));
        assert_eq!(share(" 100 %"), Ok(1.0));
        for wrong in ["0.5", "", "%", "-1%", "101%", "NaN%", "many%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_a_number_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "1e9", "NaN", "inf", "10/s", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
