//! One session with an engine: it begins with listening, then a list; it ends when the engine ends it, or is not heard any
//! more.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, warn};

use super::client::{CallError, Client, Events};
use super::container::{Seen, asks_to_be_served};
use super::event::Event;
use super::inspect::inspect;
use super::known::{Cause, Moment};
use super::looks::Looks;
use super::site;
use super::watch::Watch;
use crate::domain::Timestamp;
use crate::domain::container::Site;

/// How much later than a list an event may tell what the list showed already.
const LATE: Duration = Duration::from_secs(2);

/// Why a session ended.
pub(super) enum End {
    /// The events ended, or don't come any more; the engine may be well.
    Quiet(String),
    /// The engine did not do what it was asked.
    Failed(CallError),
}

/// What the engine answered.
enum Answer {
    Listed { list: Result<List, CallError>, site: Option<Site> },
    Inspected { id: String, seen: Result<Option<Box<Seen>>, CallError> },
}

/// Which containers there were, as of when it was asked.
struct List {
    asked: Moment,
    ids: BTreeSet<String>,
}

struct Session<'w> {
    watch: &'w mut Watch,
    client: Client,
    version: String,
    tasks: JoinSet<Answer>,
    looks: Looks,
    listing: bool,
    /// The list that is being worked off.
    list: Option<List>,
    next_list: Timestamp,
    /// Whether the first list, and all that was on it, is known.
    complete: bool,
    /// What a list showed and no event told yet.
    untold: BTreeSet<String>,
    /// When the events are taken to be silent, if something is untold then.
    patience: Timestamp,
    /// Containers of which there is no telling, said once.
    unreadable: BTreeSet<String>,
}

/// Speaks with the engine until that ends.
pub(super) async fn hold(watch: &mut Watch) -> End {
    let opened = async {
        let (client, version) = Client::connect(&watch.address, &watch.clock).await?;
        // Listening first: whatever happens while the list is made is heard.
        let events = client.events().await?;
        Ok((client, version, events))
    };
    let (client, version, events) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return End::Failed(error),
    };
    let now = watch.clock.now();
    let session = Session {
        watch,
        client,
        version,
        tasks: JoinSet::new(),
        looks: Looks::default(),
        listing: false,
        list: None,
        next_list: now,
        complete: false,
        untold: BTreeSet::new(),
        patience: now,
        unreadable: BTreeSet::new(),
    };
    session.run(events).await
}

impl Session<'_> {
    async fn run(mut self, mut events: Events) -> End {
        let clock = self.watch.clock.clone();
        self.list();
        loop {
            let deadline = self.next_list.min(self.untold_until().unwrap_or(self.next_list));
            let end = tokio::select! {
                event = events.next() => match event {
                    Some(Ok(message)) => { self.hear(Event::read(message)); None }
                    Some(Err(error)) => Some(End::Quiet(error.to_string())),
                    None => Some(End::Quiet(CallError::ended().to_string())),
                },
                Some(answer) = self.tasks.join_next() => self.answered(answer),
                () = clock.sleep_until(deadline) => self.wake(),
            };
            if let Some(end) = end {
                return end;
            }
            self.look_around();
        }
    }

    fn hear(&mut self, event: Option<Event>) {
        let Some(event) = event else { return };
        self.watch.events.fetch_add(1, Ordering::Relaxed);
        let now = self.watch.clock.now();
        debug!(container = event.container, what = ?event.what, "event");
        self.untold.remove(&event.container);
        if self.is_ourselves(&event.container) {
            self.next_list = now;
        }
        let learned = self.watch.known.hear(&event, now);
        if learned.look {
            self.looks.want(event.container, Cause::Event);
        }
        // Bad news waits for no list, unless nothing was told before at all.
        if learned.changed && self.watch.is_known() {
            self.watch.tell();
        }
    }

    /// Whether this is the container we run in: its networks may have changed.
    fn is_ourselves(&self, container: &str) -> bool {
        matches!(&self.watch.site, Site::Container { id, .. } if id == container)
    }

    fn wake(&mut self) -> Option<End> {
        let now = self.watch.clock.now();
        if self.untold_until().is_some_and(|until| now >= until) {
            return Some(End::Quiet(format!(
                "no event told what happened to {} containers",
                self.untold.len()
            )));
        }
        if now >= self.next_list {
            self.list();
        }
        None
    }

    fn untold_until(&self) -> Option<Timestamp> {
        (!self.untold.is_empty()).then_some(self.patience)
    }

    /// Asks for a full list, unless one is still being made.
    fn list(&mut self) {
        self.next_list = self.watch.clock.now() + self.watch.relist;
        if self.listing || self.list.is_some() {
            return;
        }
        self.listing = true;
        self.watch.images.refresh(&self.watch.known.images());
        let (client, asked) = (self.client.clone(), self.watch.known.moment());
        self.tasks.spawn(async move {
            let list = client.list().await.map(|listed| {
                let asking =
                    listed.into_iter().filter(|one| one.labels.as_ref().is_some_and(asks_to_be_served));
                List { asked, ids: asking.filter_map(|one| one.id).collect() }
            });
            let site = Box::pin(site::find(&client)).await;
            Answer::Listed { list, site }
        });
    }

    fn look_around(&mut self) {
        while let Some(id) = self.looks.begin() {
            let (client, images) = (self.client.clone(), self.watch.images.clone());
            self.tasks.spawn(async move {
                let seen = Box::pin(inspect(&client, &images, &id)).await.map(|seen| seen.map(Box::new));
                Answer::Inspected { id, seen }
            });
        }
    }

    fn answered(&mut self, answer: Result<Answer, JoinError>) -> Option<End> {
        match answer {
            Ok(Answer::Listed { list: Ok(list), site }) => self.listed(list, site),
            Ok(Answer::Listed { list: Err(error), .. }) => return Some(End::Failed(error)),
            Ok(Answer::Inspected { id, seen }) => match seen {
                Err(error @ CallError::Lost(_)) => return Some(End::Failed(error)),
                seen => self.inspected(&id, seen),
            },
            Err(failure) => return Some(End::Quiet(format!("a question broke down: {failure}"))),
        }
        if self.looks.list_is_done()
            && let Some(list) = self.list.take()
        {
            self.list_done(&list);
        }
        None
    }

    fn listed(&mut self, list: List, site: Option<Site>) {
        self.listing = false;
        if let Some(site) = site {
            let moved = self.watch.site != site;
            self.watch.site = site;
            self.tell_if(moved);
        }
        for id in &list.ids {
            self.looks.want(id.clone(), Cause::List);
        }
        self.list = Some(list);
    }

    /// All that is on the list was looked at. What is not on it goes only now: those that came in its place are known.
    fn list_done(&mut self, list: &List) {
        let gone = self.watch.known.keep_only(&list.ids, list.asked);
        if !self.complete {
            self.complete = true;
            self.watch.connected(&self.version);
            return;
        }
        if !gone.is_empty() {
            self.watch.tell();
            self.untold.extend(gone);
            self.patience = self.watch.clock.now() + LATE;
        }
    }

    fn inspected(&mut self, id: &str, seen: Result<Option<Box<Seen>>, CallError>) {
        let Some(cause) = self.looks.end(id) else { return };
        let now = self.watch.clock.now();
        let changed = match seen {
            Ok(Some(seen)) => {
                self.unreadable.remove(id);
                let looked = self.watch.known.look(*seen, cause, now);
                if self.complete && looked.unannounced && cause == Cause::List {
                    self.untold.insert(id.to_owned());
                    self.patience = now + LATE;
                }
                looked.changed
            }
            Err(CallError::NotFound) => self.watch.known.forget(id),
            Ok(None) => self.unreadable(id, "the engine does not say which container it is"),
            Err(error) => self.unreadable(id, &error.to_string()),
        };
        self.tell_if(changed);
    }

    /// It stays as it was seen last; the next list looks again.
    fn unreadable(&mut self, id: &str, why: &str) -> bool {
        if self.unreadable.insert(id.to_owned()) {
            warn!(container = id, why, "a container can't be looked at; it stays as it was seen last");
        }
        false
    }

    /// Good news waits until the first list is complete: or it would look as if the others were gone.
    fn tell_if(&self, changed: bool) {
        if changed && self.complete {
            self.watch.tell();
        }
    }
}
