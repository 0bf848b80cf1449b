//! What is to be said about containers: in status as long as it holds, in the log once.

use tracing::{info, warn};

use crate::config::containers::Notice;
use crate::control::control::Control;

/// Notices that are shown at most.
const SHOWN: usize = 200;

impl Control {
    /// Takes over what is to be said now, and logs what is new of it and what is no longer so.
    pub(super) fn tell_notices(&mut self, mut notices: Vec<Notice>) {
        if notices.len() > SHOWN {
            let more = notices.len() - SHOWN;
            // What is wrong comes before what is only good to know.
            notices.sort_by_key(|notice| !notice.wrong);
            notices.truncate(SHOWN);
            let what = format!("{more} more notices about containers are not shown");
            notices.push(Notice { container: None, service: None, label: None, what, wrong: true });
        }
        let before = &self.problems.containers;
        for notice in notices.iter().filter(|notice| !before.contains(notice)) {
            if notice.wrong {
                warn!("{notice}");
            } else {
                info!("{notice}");
            }
        }
        for notice in before.iter().filter(|notice| notice.wrong && !notices.contains(notice)) {
            info!("no longer so: {notice}");
        }
        self.problems.containers = notices;
    }
}
