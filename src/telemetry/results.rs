//! How often something went well, and how often not.

use super::families::number;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Results {
    successes: u64,
    failures: u64,
}

impl Results {
    pub(super) fn count(&mut self, ok: bool) {
        if ok {
            self.successes += 1;
        } else {
            self.failures += 1;
        }
    }

    pub(super) fn each(self) -> [(&'static str, f64); 2] {
        [("success", number(self.successes)), ("failure", number(self.failures))]
    }
}
