//! What is said about containers while they are looked at.

use std::collections::BTreeMap;

use super::Notice;
use super::reading::Reading;
use crate::domain::ServiceName;
use crate::domain::container::Container;

/// Notices about one container.
const OF_ONE: usize = 6;
/// Characters of a notice, and of a label's name.
const LONGEST: usize = 400;

/// Notices, and the containers that are left out.
#[derive(Debug, Default)]
pub(super) struct Report {
    notices: Vec<Notice>,
    left_out: BTreeMap<String, String>,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matters {
    /// Something is wrong.
    Wrong,
    /// It is good to know.
    Known,
}

impl Report {
    /// Something about a container that belongs to a service.
    pub(super) fn about(&mut self, reading: &Reading, label: Option<&str>, what: String, matters: Matters) {
        let (container, service) = (&reading.container, Some(&reading.service));
        self.notices.push(notice(Some(container), service, label, what, matters));
    }

    /// Something about a service as a whole.
    pub(super) fn of_service(&mut self, service: &ServiceName, what: String, matters: Matters) {
        self.notices.push(notice(None, Some(service), None, what, matters));
    }

    /// Something about a container of no service.
    pub(super) fn stray(&mut self, container: &Container, what: String) {
        self.notices.push(notice(Some(container), None, None, what, Matters::Known));
    }

    /// A container that asks to be served is not.
    pub(super) fn leave_out(
        &mut self,
        container: &Container,
        service: Option<&ServiceName>,
        label: Option<&str>,
        what: &str,
    ) {
        let why = short(&label.map_or_else(|| what.to_owned(), |label| format!("label {label}: {what}")));
        self.left_out.entry(container.id.clone()).or_insert(why);
        let what = format!("{what}; the container is left out");
        self.notices.push(notice(Some(container), service, label, what, Matters::Wrong));
    }

    /// A container of a service that can't be served; the notice is about the service.
    pub(super) fn goes_with_service(&mut self, reading: &Reading, why: &str) {
        self.left_out.entry(reading.container.id.clone()).or_insert_with(|| why.to_owned());
    }

    /// All that was said, in a fixed order, each once; of one container no more than people will read, so that none
    /// hides another.
    pub(super) fn finish(mut self) -> (Vec<Notice>, BTreeMap<String, String>) {
        self.notices.sort();
        self.notices.dedup();
        let mut said = Vec::new();
        for of_one in self.notices.chunk_by(|one, other| one.container == other.container) {
            let many = of_one[0].container.is_some() && of_one.len() > OF_ONE;
            let (shown, rest) = of_one.split_at(if many { OF_ONE - 1 } else { of_one.len() });
            said.extend_from_slice(shown);
            if let Some(first) = rest.first() {
                let what = format!("there are {} more notices about it", rest.len());
                let wrong = rest.iter().any(|notice| notice.wrong);
                said.push(Notice { label: None, what, wrong, ..first.clone() });
            }
        }
        (said, self.left_out)
    }
}

/// Text that somebody wrote into a label: no longer than people will read.
fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn notice(
    container: Option<&Container>,
    service: Option<&ServiceName>,
    label: Option<&str>,
    what: String,
    matters: Matters,
) -> Notice {
    Notice {
        container: container.map(|container| container.name.clone()),
        service: service.cloned(),
        label: label.map(short),
        what: short(&what),
        wrong: matters == Matters::Wrong,
    }
}
