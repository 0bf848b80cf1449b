//! What is to be said about containers: in status as long as it holds, in the log once.

use std::collections::BTreeSet;

use tracing::{info, warn};

use crate::config::containers::Notice;
use crate::control::control::Control;

impl Control {
    /// Takes over what is to be said now, and logs what is new of it and what is no longer so.
    pub(super) fn tell_notices(&mut self, notices: Vec<Notice>) {
        let before: BTreeSet<&Notice> = self.problems.containers.iter().collect();
        let now: BTreeSet<&Notice> = notices.iter().collect();
        for notice in now.difference(&before) {
            if notice.wrong {
                warn!("{notice}");
            } else {
                info!("{notice}");
            }
        }
        for notice in before.difference(&now).filter(|notice| notice.wrong) {
            info!("no longer so: {notice}");
        }
        self.problems.containers = notices;
    }
}
