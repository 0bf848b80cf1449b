//! What the tests of the whole program stand on: the real binary ([`Adit`]), scripted endpoints ([`Endpoint`]), clients
//! ([`Client`], [`Load`]). Blocking code over real sockets; whatever waits, waits for a fact with a time limit.

mod adit;
mod client;
mod endpoint;
mod http2;
mod load;
mod parts;
mod process;
mod prometheus;
mod script;
mod wait;
mod wire;

pub(crate) use adit::{Adit, directory, refused, version};
pub(crate) use client::Client;
pub(crate) use endpoint::Endpoint;
pub(crate) use http2::get_http2;
pub(crate) use load::{Load, Running};
pub(crate) use parts::{is_missing, python};
pub(crate) use process::{Ended, Turn, run_to_end};
pub(crate) use prometheus::Prometheus;
pub(crate) use script::Answer;
pub(crate) use wait::{LIMIT, now, until};

/// A rollout whose steps take a few hundred requests each: 85 canary requests without a failure prove "at most five points
/// worse". Times are not judged: on a machine that is busy with all tests they say nothing of a version.
pub(crate) const QUICK: &str = "\
[services.web.rollout]
steps = [{ weight = 5 }, { weight = 50 }, { weight = 100 }]
advance = { min_requests = 20, min_time = \"100ms\" }
[services.web.rollout.analysis]
promote_margin = { absolute = \"5%\" }
latency = { quantiles = [] }
";

/// A rollout that stays at its first step, of this weight in percent, until it fails or an operator moves it.
pub(crate) fn staying_at(percent: f64) -> String {
    format!(
        "[services.web.rollout]\nsteps = [{{ weight = {percent} }}, {{ weight = 100 }}]\n\
         advance = {{ min_time = \"1h\", max_time = \"2h\" }}\n"
    )
}

/// A service named `web` whose `release` is `v1`, with endpoints that are checked every 100 ms.
pub(crate) fn web(versions: &[(&str, &[&Endpoint])]) -> String {
    let mut text = String::from(
        "[services.web]\nrelease = \"v1\"\n\
         [services.web.health]\npath = \"/healthz\"\ninterval = \"100ms\"\n",
    );
    for (version, endpoints) in versions {
        let addresses: Vec<String> = endpoints.iter().map(|e| format!("\"{}\"", e.address())).collect();
        text.push_str(&format!(
            "[services.web.versions.{version}]\nendpoints = [{}]\n",
            addresses.join(", ")
        ));
    }
    text
}

mod tests {
    use super::{Answer, Endpoint, Load};

    #[test]
    fn a_load_sees_what_the_script_says() {
        let endpoint = Endpoint::start("v1");
        endpoint.script(|script| script.fail_every = Some(10));
        let tally = Load::on(endpoint.address()).requests(1000).run();
        assert_eq!(
            (tally.statuses.get(&200), tally.statuses.get(&503)),
            (Some(&900), Some(&100)),
            "{tally:?}"
        );
        assert_eq!((endpoint.requests(), endpoint.failures().len()), (1000, 100), "{endpoint:?}");
    }

    #[test]
    fn a_stopped_endpoint_refuses_and_comes_back_on_its_port() {
        let mut endpoint = Endpoint::start("v1");
        endpoint.stop();
        assert_eq!(Load::on(endpoint.address()).requests(10).run().broken, 10);
        endpoint.resume();
        Load::on(endpoint.address()).requests(10).run().assert_all_good();
    }

    #[test]
    fn a_cut_body_is_no_answer() {
        let endpoint = Endpoint::start("v1");
        endpoint.script(|script| script.answer = Answer::Cut);
        assert_eq!(Load::on(endpoint.address()).requests(10).run().broken, 10);
    }
}
