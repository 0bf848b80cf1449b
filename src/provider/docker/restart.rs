//! The one order that is given to an engine: to restart a container. One at a time, each with a limit in time.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::info;

use super::Restart;
use super::address::Address;
use super::client::{CallError, Client};
use super::container::stop_timeout;
use crate::clock::Clock;

/// How much longer than a container may take to end its restart may take.
const GRACE: Duration = Duration::from_secs(30);

/// Restarts what it is told to until nobody can tell any more.
pub(super) async fn serve(address: Address, clock: Clock, mut orders: mpsc::Receiver<Restart>) {
    while let Some(Restart { container, reply }) = orders.recv().await {
        let outcome = Box::pin(restart(&address, &clock, &container)).await;
        info!(container, ?outcome, "restart of a container");
        // Whoever asked may have gone; it was done all the same.
        let _gone = reply.send(outcome);
    }
}

async fn restart(address: &Address, clock: &Clock, id: &str) -> Result<(), String> {
    let said = |error: CallError| match error {
        CallError::NotFound => "the engine does not know this container any more".to_owned(),
        CallError::Refused { status: 403, why } => {
            format!("the engine, or the proxy before it, allows no restart (status 403: {why})")
        }
        error => error.to_string(),
    };
    let (client, _version) = Client::connect(address, clock).await.map_err(said)?;
    let inspected = client.container(id).await.map_err(said)?;
    let limit = stop_timeout(inspected.config.and_then(|config| config.stop_timeout)) + GRACE;
    client.restart(id, limit).await.map_err(said)
}
