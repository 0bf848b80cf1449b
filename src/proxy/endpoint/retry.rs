//! Within a version: what an endpoint answered badly, or not at all, is sent again if its service says so. (What no
//! endpoint saw, and what met a connection that was closing, `forward` sends elsewhere in any case.)

use http::StatusCode;

use super::forward::{Destination, forward};
use super::outbound::Outbound;
use super::second::{Answer, First};
use super::tries::Tries;
use crate::domain::Timestamp;
use crate::domain::routing::Retry;
use crate::proxy::fault::AttemptError;
use crate::proxy::observe::Exchange;

/// Asks a version, and asks it again while that may give its user a better answer.
pub(super) async fn ask(exchange: &mut Exchange, to: &Destination, outbound: &mut Outbound) -> Answer {
    let rule = &to.service.policy.retry;
    if !rule.is_wanted() || !outbound.may_repeat() {
        return forward(exchange, to, outbound, &mut Tries::default()).await;
    }
    // Boxed: few services want it, and all requests carry this function's state.
    Box::pin(ask_repeatedly(exchange, to, outbound)).await
}

async fn ask_repeatedly(exchange: &mut Exchange, to: &Destination, outbound: &mut Outbound) -> Answer {
    let rule = &to.service.policy.retry;
    let mut tries = Tries::default();
    let left = outbound.left.for_another_attempt();
    // When nothing may be sent again, a slow answer is better than none.
    tries.per_try = rule.per_try.filter(|_| to.may_spend(exchange));
    let mut answer = forward(exchange, to, outbound, &mut tries).await;
    for nth in 0.. {
        let Some(until) =
            wants_another(exchange, &answer, rule, &tries).then(|| pause(exchange, to, nth)).flatten()
        else {
            break;
        };
        if !tries.may_go_on(rule) || !outbound.is_small() || !to.spend(exchange) {
            break;
        }
        // Whatever comes of the next one, and even if the client does not wait for it.
        exchange.is_judged_now();
        exchange.worker.clock.sleep_until(until).await;
        if !outbound.is_small() || !to.is_there(exchange, &mut tries) {
            break;
        }
        let aside = exchange.asks_again();
        let first = First::set_aside(exchange, answer, aside);
        outbound.left = left;
        let second = forward(exchange, to, outbound, &mut tries).await;
        (answer, _) = first.or_better(exchange, second, |status: StatusCode| !rule.retries(status));
    }
    answer
}

fn wants_another(exchange: &Exchange, answer: &Answer, rule: &Retry, tries: &Tries) -> bool {
    match answer {
        Ok(response) => rule.retries(exchange.rated(response)),
        Err(AttemptError::Terminated | AttemptError::Reset | AttemptError::Incomplete) => rule.on.reset,
        Err(AttemptError::ResponseTimeout | AttemptError::Frozen) => tries.per_try.is_some(),
        Err(
            AttemptError::NoEndpoint
            | AttemptError::NoSocket
            | AttemptError::Refused
            | AttemptError::ConnectTimeout
            | AttemptError::TlsCertificate
            | AttemptError::TlsProtocol
            | AttemptError::Busy
            | AttemptError::Lost
            | AttemptError::Scolded
            | AttemptError::Malformed
            | AttemptError::UpgradeFailed
            | AttemptError::Stalled
            | AttemptError::Codeless
            | AttemptError::Client(_),
        ) => false,
    }
}

/// Until when to wait; `None`: the time for the whole exchange is over by then.
fn pause(exchange: &Exchange, to: &Destination, nth: u32) -> Option<Timestamp> {
    let until = exchange.worker.clock.now() + Retry::pause(nth, fastrand::f64());
    to.whole.is_none_or(|whole| until < whole).then_some(until)
}
