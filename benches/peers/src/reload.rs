//! A reload while requests flow: how long until the new config serves, and what those see who ask meanwhile.

use std::time::{Duration, Instant};

use crate::ask;
use crate::figures::{Figures, Metric};
use crate::load::{self, Pace, Tally};
use crate::measure::{Measured, SMALL, Terms, plan};
use crate::peers::Peer;

/// How finely the time is measured.
const STEP: Duration = Duration::from_millis(4);
const PATIENCE: Duration = Duration::from_secs(20);

/// In the first window nothing happens; the second begins with the reload, which adds a host.
pub fn measure(peer: &mut Peer, round: usize, rate: f64, terms: &Terms) -> Result<Measured, String> {
    let mut plan = plan(peer, &SMALL, Pace::Open(rate), terms.window);
    plan.windows = 2;
    let host = format!("added-{round}.shop.example");
    let port = peer.site.ports.plain;
    if ask::status(port, &host, "/small") == Some(200) {
        return Err(format!("{host} was served before the reload"));
    }
    let start = Instant::now();
    let (tallies, took) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load::run(&plan, &mut || {}));
        std::thread::sleep((plan.warmup + plan.window).saturating_sub(start.elapsed()));
        let took = reload(peer, &host, port);
        let tallies =
            load.join().map_err(|_| "the generator panicked")?.map_err(|error| error.to_string())?;
        Ok::<_, String>((tallies, took?))
    })?;
    let [before, during] = tallies.as_slice() else { return Err("two windows were planned".to_owned()) };
    let figures = Figures::from([
        (Metric::Reload, took.as_secs_f64() * 1e3),
        (Metric::P99, before.quantile(0.99)),
        (Metric::P99During, during.quantile(0.99)),
        (Metric::P99Rise, during.quantile(0.99) / before.quantile(0.99).max(1.0)),
        (Metric::Failed, during.failed() as f64),
    ]);
    let problem = |tally: &Tally| format!("failed requests before the reload: {:?}", tally.errors);
    Ok((figures, (before.failed() > 0).then(|| problem(before)).into_iter().collect()))
}

/// Until a client is served by the new config.
fn reload(peer: &mut Peer, host: &str, port: u16) -> Result<Duration, String> {
    let told = Instant::now();
    peer.reload(host)?;
    while ask::status(port, host, "/small") != Some(200) {
        if told.elapsed() > PATIENCE {
            return Err(format!("the reload is not done after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(STEP);
    }
    Ok(told.elapsed())
}
