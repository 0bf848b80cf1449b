//! Entries that wait to be written: with the next decision, or by themselves when nothing is decided.

use std::collections::VecDeque;

use super::entry::{Entry, Fact};

/// Entries that wait at most; while the disk takes nothing, the oldest are given up beyond that, and counted.
const ROOM: usize = 1_000;

/// What is to be written next.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Entry>,
    lost: u64,
}

impl Outbox {
    /// Puts an entry behind the others.
    pub(crate) fn put(&mut self, entry: Entry) {
        if self.waiting.len() >= ROOM {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.waiting.push_back(entry);
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All that waits, oldest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.waiting.iter().cloned().collect()
    }

    /// The last command, as long as it was not written: what came of it is known only afterwards.
    pub(crate) fn last_command(&mut self) -> Option<&mut Fact> {
        let facts = self.waiting.iter_mut().rev().map(|entry| &mut entry.fact);
        facts.into_iter().find(|fact| matches!(fact, Fact::Command { .. }))
    }

    /// All that waited was written; returns how many entries had to be given up before.
    pub(crate) fn written(&mut self) -> u64 {
        self.waiting.clear();
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn entry(number: u64) -> Entry {
        let fact = Fact::Config { generation: Some(number), detail: None };
        Entry { at: Timestamp::from_micros(number), service: None, rollout: None, fact, by: None }
    }

    #[test]
    fn while_nothing_can_be_written_the_oldest_are_given_up_and_counted() {
        let mut outbox = Outbox::default();
        for number in 0..1_010 {
            outbox.put(entry(number));
        }
        let waiting = outbox.entries();
        assert_eq!((waiting.len(), waiting[0].at), (1_000, Timestamp::from_micros(10)));
        assert_eq!((outbox.written(), outbox.written(), outbox.is_empty()), (10, 0, true));
    }
}
