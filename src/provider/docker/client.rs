//! The calls that we make, each with a limit in time, and what can become of them.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::iter::successors;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bollard::API_DEFAULT_VERSION;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerSummary, EventMessage, ImageInspect};
use bollard::query_parameters::{
    EventsOptions, InspectContainerOptions, ListContainersOptions, RestartContainerOptions,
};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::Notify;

use super::address::Address;
use super::event::ACTIONS;
use super::transport::Transport;
use crate::clock::Clock;

/// How long the engine may take to answer. (Events have no end.)
const LIMIT: Duration = Duration::from_secs(10);
/// Bollard's own limit, which is not by our clock: longer than any of ours.
const NEVER: u64 = 366 * 24 * 3600;

/// An engine that can be asked. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    docker: bollard::Docker,
    address: Address,
    listening: Arc<Notify>,
    clock: Clock,
}

/// What happens, as it happens.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<EventMessage, CallError>> + Send>>;

/// Why a question has no answer. `Display` says it to people.
#[derive(Debug)]
pub(super) enum CallError {
    /// What was asked for does not exist (any more).
    NotFound,
    /// The engine, or a proxy before it, says no.
    Refused { status: u16, why: String },
    /// It answered what is no answer.
    Garbled(String),
    /// It did not answer in time.
    Silent(Duration),
    /// It can't be reached, or broke off.
    Lost(String),
}

impl Client {
    /// Finds out which engine it is, and agrees with it on a version of the API.
    pub(super) async fn connect(address: &Address, clock: &Clock) -> Result<(Self, String), CallError> {
        let plain = Self::speaking(address, None, clock)?;
        match plain.call(LIMIT, plain.docker.version()).await {
            Ok(engine) => {
                let api = engine.api_version.as_deref().and_then(agreed);
                Ok((Self::speaking(address, api, clock)?, engine.version.unwrap_or_else(unknown)))
            }
            // A socket proxy need not let everyone know; the engine's own version of the API will do.
            Err(CallError::Refused { .. } | CallError::NotFound) => Ok((plain, unknown())),
            Err(error) => Err(error),
        }
    }

    fn speaking(address: &Address, api: Option<String>, clock: &Clock) -> Result<Self, CallError> {
        let listening = Arc::new(Notify::new());
        let transport = Transport { address: address.clone(), api, listening: listening.clone() };
        let ask = move |request| transport.clone().ask(request);
        let docker = bollard::Docker::connect_with_custom_transport(
            ask,
            Some("http://docker"),
            NEVER,
            API_DEFAULT_VERSION,
        )
        .map_err(|error| CallError::of(error, address))?;
        Ok(Self { docker, address: address.clone(), listening, clock: clock.clone() })
    }

    /// What happens to containers from now on: when this returns, the engine is telling already.
    pub(super) async fn events(&self) -> Result<Events, CallError> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned(), "network".to_owned()]),
            ("event".to_owned(), ACTIONS.map(str::to_owned).to_vec()),
        ]);
        let options = EventsOptions { filters: Some(filters), ..EventsOptions::default() };
        let address = self.address.clone();
        let events = self.docker.events(Some(options));
        let mut events =
            Box::pin(events.map(move |event| event.map_err(|error| CallError::of(error, &address))));
        // The question is only asked when an event is waited for.
        let early = tokio::select! {
            early = events.next() => Some(early.unwrap_or_else(|| Err(CallError::ended()))?),
            () = self.listening.notified() => None,
            () = self.clock.sleep_until(self.clock.now() + LIMIT) => return Err(CallError::Silent(LIMIT)),
        };
        Ok(Box::pin(stream::iter(early.map(Ok)).chain(events)))
    }

    /// All containers, those that have ended too.
    pub(super) async fn list(&self) -> Result<Vec<ContainerSummary>, CallError> {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        self.call(LIMIT, self.docker.list_containers(Some(options))).await
    }

    /// All about one container.
    pub(super) async fn container(&self, id: &str) -> Result<ContainerInspectResponse, CallError> {
        self.call(LIMIT, self.docker.inspect_container(id, None::<InspectContainerOptions>)).await
    }

    /// All about one image.
    pub(super) async fn image(&self, id: &str) -> Result<ImageInspect, CallError> {
        self.call(LIMIT, self.docker.inspect_image(id)).await
    }

    /// Stops a container, as gently as its own settings say, and starts it again.
    pub(super) async fn restart(&self, id: &str, limit: Duration) -> Result<(), CallError> {
        self.call(limit, self.docker.restart_container(id, None::<RestartContainerOptions>)).await
    }

    async fn call<T>(
        &self,
        limit: Duration,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, CallError> {
        let asked = pin!(asked);
        tokio::select! {
            answer = asked => answer.map_err(|error| CallError::of(error, &self.address)),
            () = self.clock.sleep_until(self.clock.now() + limit) => Err(CallError::Silent(limit)),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The engine's version of the API, or the newest that we know if that is older.
fn agreed(engine: &str) -> Option<String> {
    let (major, minor) = engine.split_once('.')?;
    let engine = (major.parse::<usize>().ok()?, minor.parse::<usize>().ok()?);
    let ours = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    let (major, minor) = engine.min(ours);
    Some(format!("{major}.{minor}"))
}

impl CallError {
    /// The engine closed what has no end.
    pub(super) fn ended() -> Self {
        Self::Lost("it ended the stream of events".to_owned())
    }

    fn of(error: Error, address: &Address) -> Self {
        match error {
            Error::DockerResponseServerError { status_code: 404, .. } => Self::NotFound,
            Error::DockerResponseServerError { status_code: status, message } => {
                Self::Refused { status, why: message.trim().chars().take(200).collect() }
            }
            Error::JsonDataError { message, .. } => Self::Garbled(message),
            Error::JsonSerdeError { err } => Self::Garbled(err.to_string()),
            error => Self::lost(&error, address),
        }
    }

    fn lost(error: &Error, address: &Address) -> Self {
        let kind = match error {
            Error::IOError { err } => Some(err.kind()),
            _ => None,
        };
        let what_to_do = match (kind, address) {
            (Some(io::ErrorKind::PermissionDenied), Address::Unix(_)) => {
                "; run Adit as a user or group that may use the socket"
            }
            (Some(io::ErrorKind::NotFound), Address::Unix(_)) => {
                "; is the engine running, and its socket mounted here?"
            }
            (Some(io::ErrorKind::ConnectionRefused), Address::Unix(_)) => {
                "; the engine is not running, or was restarted after its socket had been mounted here by itself"
            }
            _ => "",
        };
        let causes = successors(error.source(), |&cause| cause.source());
        let why = causes.fold(error.to_string(), |text, cause| {
            let cause = cause.to_string();
            if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
        });
        Self::Lost(format!("{address}: {why}{what_to_do}"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such thing"),
            Self::Refused { status, why } => write!(f, "refused with status {status}: {why}"),
            Self::Garbled(why) => write!(f, "its answer can't be read: {why}"),
            Self::Silent(limit) => write!(f, "no answer within {limit:?}"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_of_both_versions_of_the_api_is_spoken() {
        let newest = format!("{}.{}", API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
        let cases = [
            ("1.41", Some("1.41")),
            ("1.24", Some("1.24")),
            ("1.999", Some(newest.as_str())),
            ("2.0", Some(newest.as_str())),
            ("", None),
            ("latest", None),
            ("1.x", None),
        ];
        for (engine, spoken) in cases {
            assert_eq!(agreed(engine).as_deref(), spoken, "{engine}");
        }
    }
}
