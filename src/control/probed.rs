//! What checks of endpoints found.

use tracing::info;

use super::control::{Control, REPORTS, Scope};
use super::service::Probed;
use crate::health::Report;

impl Control {
    /// Takes in this check and all that have ended by now. A thousand endpoints that are as they were are no reason to look
    /// at any service.
    pub(crate) fn probed_all(&mut self, first: Report) -> Option<Scope> {
        self.probed(first);
        for _ in 1..REPORTS {
            let Ok(report) = self.reports.try_recv() else { break };
            self.probed(report);
        }
        let matters = self.first_round.is_some() || self.services.values().any(|service| service.dirty);
        matters.then_some(Scope::Changed)
    }

    pub(crate) fn probed(&mut self, report: Report) {
        let ok = report.state.last.as_ref().is_some_and(|last| last.result.passed());
        let is_engine_heard = self.is_engine_heard();
        for (name, service) in &mut self.services {
            let Some(probed) = service.probed(&report, is_engine_heard) else { continue };
            let Probed { version, endpoint, changed } = probed;
            self.around.metrics.health_check(name, &version, ok);
            if changed {
                let condition = report.state.condition;
                info!(service = %name, %version, %endpoint, ?condition, "health changed");
            }
            return;
        }
    }

    /// Has the endpoints checked soon whose containers have become good.
    pub(crate) fn check_awaited(&mut self) {
        let versions = self.services.values_mut().flat_map(|service| service.versions.values_mut());
        for endpoint in versions.flat_map(|version| &mut version.endpoints) {
            if std::mem::take(&mut endpoint.awaited) {
                self.probes.hurry(endpoint.id);
            }
        }
    }
}
