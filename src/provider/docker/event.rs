//! What the engine tells of its containers, in our words. Pure.

use std::collections::HashMap;

use bollard::models::{EventMessage, EventMessageTypeEnum};

use super::container::asks_to_be_served;

/// The events that are listened to; `health_status` matches each of its outcomes.
pub(super) const ACTIONS: [&str; 15] = [
    "create",
    "start",
    "restart",
    "die",
    "oom",
    "kill",
    "stop",
    "pause",
    "unpause",
    "destroy",
    "rename",
    "update",
    "health_status",
    "connect",
    "disconnect",
];

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The container's id.
    pub(super) container: String,
    /// Whether the event itself shows that the container asks to be served.
    pub(super) asks: bool,
    /// What.
    pub(super) what: What,
}

/// What happened. Bad news is complete; everything else is a reason to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It was sent a signal.
    Signalled(Signal),
    /// Its process has ended.
    Died { code: i64 },
    /// The kernel ended one of its processes for want of memory.
    OutOfMemory,
    /// It is frozen.
    Paused,
    /// Its health check failed too often.
    Unhealthy,
    /// It was started (again).
    Started,
    /// It is gone for good.
    Destroyed,
    /// Something that only a look at it tells.
    Changed,
}

/// A signal, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal(u8);

impl Event {
    /// `None`: it is about something else, or tells nothing.
    pub(super) fn read(message: EventMessage) -> Option<Self> {
        let actor = message.actor?;
        let about = actor.attributes.unwrap_or_default();
        let action = message.action?;
        match message.typ? {
            EventMessageTypeEnum::CONTAINER => Some(Self {
                container: actor.id.filter(|id| !id.is_empty())?,
                asks: asks_to_be_served(&about),
                what: What::read(&action, &about)?,
            }),
            EventMessageTypeEnum::NETWORK if matches!(action.as_str(), "connect" | "disconnect") => {
                let container = about.get("container").filter(|id| !id.is_empty())?.clone();
                Some(Self { container, asks: false, what: What::Changed })
            }
            _ => None,
        }
    }
}

impl What {
    fn read(action: &str, about: &HashMap<String, String>) -> Option<Self> {
        // `health_status: healthy`, and `exec_start: command`, which is none of ours.
        let (action, outcome) = action.split_once(':').unwrap_or((action, ""));
        let outcome = outcome.trim();
        Some(match action {
            "kill" => match about.get("signal").and_then(|text| Signal::read(text)) {
                Some(signal) => Self::Signalled(signal),
                None => Self::Changed,
            },
            "die" => Self::Died {
                code: about.get("exitCode").and_then(|code| code.parse().ok()).unwrap_or_default(),
            },
            "oom" => Self::OutOfMemory,
            "pause" => Self::Paused,
            "start" => Self::Started,
            "destroy" => Self::Destroyed,
            "health_status" if outcome == "unhealthy" => Self::Unhealthy,
            action if ACTIONS.contains(&action) => Self::Changed,
            _ => return None,
        })
    }
}

impl Signal {
    pub(super) const TERM: Self = Self(15);

    /// `15`, `SIGTERM` or `TERM`.
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Some(Self(number));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let named = [
            ("HUP", 1),
            ("INT", 2),
            ("QUIT", 3),
            ("ABRT", 6),
            ("KILL", 9),
            ("USR1", 10),
            ("USR2", 12),
            ("TERM", 15),
            ("WINCH", 28),
            ("PWR", 30),
            ("RTMIN+3", 37),
        ];
        named.iter().find(|(known, _)| *known == name).map(|(_, number)| Self(*number))
    }

    /// Whether a container that ends by `stop` is being ended by this.
    pub(super) fn ends(self, stop: Self) -> bool {
        const INT: u8 = 2;
        const KILL: u8 = 9;
        // Not QUIT: a JVM writes down its threads at that, and goes on.
        self == stop || self == Self::TERM || matches!(self.0, INT | KILL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Event> {
        Event::read(serde_json::from_str(json).expect("an event"))
    }

    fn told(action: &str, about: &str) -> Option<What> {
        let json = format!(
            r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"0a1b","Attributes":{about}}}}}"#
        );
        read(&json).map(|event| event.what)
    }

    #[test]
    fn bad_news_is_complete_in_the_event_and_the_rest_is_a_reason_to_look() {
        let cases = [
            ("kill", r#"{"signal":"15"}"#, What::Signalled(Signal::TERM)),
            ("kill", r#"{"signal":"SIGTERM"}"#, What::Signalled(Signal::TERM)),
            ("kill", "{}", What::Changed),
            ("kill", r#"{"signal":"many"}"#, What::Changed),
            ("die", r#"{"exitCode":"137"}"#, What::Died { code: 137 }),
            ("die", "{}", What::Died { code: 0 }),
            ("oom", "{}", What::OutOfMemory),
            ("pause", "{}", What::Paused),
            ("health_status: unhealthy", "{}", What::Unhealthy),
            ("health_status: healthy", "{}", What::Changed),
            ("health_status", "{}", What::Changed),
            ("start", "{}", What::Started),
            ("destroy", "{}", What::Destroyed),
            ("create", "{}", What::Changed),
            ("unpause", "{}", What::Changed),
            ("rename", "{}", What::Changed),
            ("update", "{}", What::Changed),
        ];
        for (action, about, what) in cases {
            assert_eq!(told(action, about), Some(what), "{action} {about}");
        }
    }

    #[test]
    fn what_says_nothing_of_a_container_is_passed_over() {
        let cases = [
            "{}",
            r#"{"Type":"container"}"#,
            r#"{"Type":"container","Action":"start"}"#,
            r#"{"Type":"container","Action":"start","Actor":{}}"#,
            r#"{"Type":"container","Action":"start","Actor":{"ID":""}}"#,
            r#"{"Type":"container","Action":"exec_start: /bin/check","Actor":{"ID":"0a1b"}}"#,
            r#"{"Type":"network","Action":"connect","Actor":{"ID":"0a1b"}}"#,
            r#"{"Type":"network","Action":"create","Actor":{"ID":"0a1b","Attributes":{"container":"1b"}}}"#,
            r#"{"Type":"volume","Action":"mount","Actor":{"ID":"0a1b","Attributes":{"container":"1b"}}}"#,
        ];
        for json in cases {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn a_change_of_networks_is_about_the_container_not_the_network() {
        let json = r#"{"Type":"network","Action":"connect","Actor":{"ID":"net","Attributes":{"container":"1b","name":"x"}}}"#;
        assert_eq!(read(json), Some(Event { container: "1b".to_owned(), asks: false, what: What::Changed }));
    }

    #[test]
    fn a_container_is_ended_by_its_own_signal_and_by_those_that_end_everything() {
        let ends = |signal: &str, stop: &str| {
            let [signal, stop] = [signal, stop].map(|name| Signal::read(name).expect(name));
            signal.ends(stop)
        };
        for signal in ["15", "9", "2", "SIGKILL"] {
            assert!(ends(signal, "SIGTERM"), "{signal}");
        }
        for signal in ["HUP", "SIGUSR1", "12", "WINCH", "3"] {
            assert!(!ends(signal, "SIGTERM"), "{signal}");
        }
        assert!(ends("28", "SIGWINCH"), "Apache's way to end");
        assert!(ends("15", "SIGQUIT"));
    }
}
