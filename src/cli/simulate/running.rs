//! What users do: as told, or as a running Adit counts it.

use std::time::Duration;

use super::super::client::{Client, Failure};
use super::super::{tell, words};
use super::Args;
use crate::clock::Clock;
use crate::control::report::ServiceStatus;

/// Between two readings of a running Adit's counters.
const WATCHED: Duration = Duration::from_secs(5);

/// How many requests come, and how many of them stable fails.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Load {
    pub(super) per_second: f64,
    /// 0 to 1.
    pub(super) stable_errors: f64,
    /// Where these numbers come from, in words.
    pub(super) source: String,
}

impl Load {
    /// As told; what was not told, from the running Adit.
    pub(super) fn find(args: &Args, service: &str) -> Result<Self, Failure> {
        if let (Some(per_second), Some(stable_errors)) = (args.rate, args.stable_errors) {
            return Ok(Self { per_second, stable_errors, source: "as given".to_owned() });
        }
        let client = Client::new(&args.reach)?;
        let before = status(&client, service)?;
        let (per_second, rate_source) = match args.rate {
            Some(rate) => (rate, "rate as given".to_owned()),
            None => (measure(&client, &before)?, format!("rate of the last {} s", WATCHED.as_secs())),
        };
        let (stable_errors, errors_source) = match args.stable_errors {
            Some(share) => (share, "errors as given".to_owned()),
            None => failed(&before)?,
        };
        Ok(Self { per_second, stable_errors, source: format!("{rate_source}, {errors_source}") })
    }
}

fn status(client: &Client, service: &str) -> Result<ServiceStatus, Failure> {
    client.read(&client.get(&tell::service_path(service))?)
}

/// Requests per second, counted now.
fn measure(client: &Client, before: &ServiceStatus) -> Result<f64, Failure> {
    let clock = Clock::real();
    let began = clock.now();
    client.wait(WATCHED);
    let after = status(client, before.name.as_str())?;
    let passed = (clock.now() - began).as_secs_f64();
    let requests = |status: &ServiceStatus| status.versions.iter().map(|it| it.requests).sum::<u64>();
    match requests(&after).saturating_sub(requests(before)) {
        0 => Err(Failure::Usage(format!(
            "no request to {} has ended in {} s: say how many are to be expected, as --rate 100",
            before.name,
            WATCHED.as_secs()
        ))),
        more => Ok(float(more) / passed),
    }
}

/// The share of stable's requests that failed since that Adit started: a few seconds would be too few to tell.
fn failed(status: &ServiceStatus) -> Result<(f64, String), Failure> {
    let stable = status.versions.iter().find(|version| Some(&version.name) == status.stable.as_ref());
    match stable {
        Some(stable) if stable.requests > 0 => {
            let share = (float(stable.failures) / float(stable.requests)).min(1.0);
            let source = format!(
                "errors of {}'s {} requests since Adit started",
                stable.name,
                words::count(stable.requests)
            );
            Ok((share, source))
        }
        Some(_) | None => Err(Failure::Usage(format!(
            "{}'s stable version has answered no request yet: say how many it fails, as --stable-errors 0.1%",
            status.name
        ))),
    }
}

fn float(count: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
    let float = count as f64;
    float
}
