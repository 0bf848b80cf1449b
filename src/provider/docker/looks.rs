//! Which containers are to be looked at, and in which order: those that something happened to come first. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::known::Cause;

/// How many are looked at at a time.
const AT_ONCE: usize = 8;

/// What is to be looked at, and what is being looked at.
#[derive(Debug, Default)]
pub(super) struct Looks {
    urgent: BTreeSet<String>,
    routine: BTreeSet<String>,
    under_way: BTreeMap<String, UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    cause: Cause,
    /// Whether a list is complete only with it.
    listed: bool,
    /// Something has happened since: what this look shows may be older.
    again: bool,
}

impl Looks {
    /// This one is to be looked at.
    pub(super) fn want(&mut self, id: String, cause: Cause) {
        match (self.under_way.get_mut(&id), cause) {
            (Some(look), Cause::Event) => look.again = true,
            // It is younger than the list, or as old.
            (Some(look), Cause::List) => look.listed = true,
            (None, Cause::Event) => _ = self.urgent.insert(id),
            (None, Cause::List) => _ = self.routine.insert(id),
        }
    }

    /// The one to look at now; it is then under way.
    pub(super) fn begin(&mut self) -> Option<String> {
        if self.under_way.len() >= AT_ONCE {
            return None;
        }
        let (id, cause) = match self.urgent.pop_first() {
            Some(id) => (id, Cause::Event),
            None => (self.routine.pop_first()?, Cause::List),
        };
        let listed = self.routine.remove(&id) || cause == Cause::List;
        self.under_way.insert(id.clone(), UnderWay { cause, listed, again: false });
        Some(id)
    }

    /// A look is over. `None`: what it showed is not to be believed, and it will be looked at again.
    pub(super) fn end(&mut self, id: &str) -> Option<Cause> {
        let look = self.under_way.remove(id)?;
        if !look.again {
            return Some(look.cause);
        }
        self.urgent.insert(id.to_owned());
        if look.listed {
            self.routine.insert(id.to_owned());
        }
        None
    }

    /// Whether everything that was listed has been looked at.
    pub(super) fn list_is_done(&self) -> bool {
        self.routine.is_empty() && !self.under_way.values().any(|look| look.listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanting(wanted: &[(&str, Cause)]) -> Looks {
        let mut looks = Looks::default();
        for (id, cause) in wanted {
            looks.want((*id).to_owned(), *cause);
        }
        looks
    }

    #[test]
    fn what_something_happened_to_is_looked_at_before_the_rest_of_the_list() {
        let mut looks = wanting(&[("a", Cause::List), ("b", Cause::List), ("z", Cause::Event)]);
        let order: Vec<_> = std::iter::from_fn(|| looks.begin()).collect();
        assert_eq!(order, ["z", "a", "b"]);
    }

    #[test]
    fn few_are_looked_at_at_a_time() {
        let mut looks = Looks::default();
        (0..100).for_each(|n| looks.want(n.to_string(), Cause::List));
        assert_eq!(std::iter::from_fn(|| looks.begin()).count(), AT_ONCE);
        assert_eq!(looks.end("0"), Some(Cause::List));
        assert!(looks.begin().is_some(), "one is over, the next may begin");
    }

    #[test]
    fn a_look_that_an_event_overtook_is_not_believed_and_repeated() {
        let mut looks = wanting(&[("a", Cause::List)]);
        assert_eq!(looks.begin().as_deref(), Some("a"));
        looks.want("a".to_owned(), Cause::Event);
        assert_eq!(looks.end("a"), None);
        assert!(!looks.list_is_done(), "the list still waits for it");
        assert_eq!(looks.begin().as_deref(), Some("a"));
        assert_eq!(looks.end("a"), Some(Cause::Event));
        assert!(looks.list_is_done());
        assert_eq!(looks.begin(), None);
    }

    #[test]
    fn a_list_does_not_wait_for_what_only_an_event_asks_for() {
        let mut looks = wanting(&[("a", Cause::Event)]);
        assert!(looks.list_is_done());
        looks.begin();
        assert!(looks.list_is_done());
    }
}
