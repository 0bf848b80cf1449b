//! What control has to know before a promotion is taken back.

use super::handle::CommandError;
use super::service::ServiceState;
use crate::domain::VersionName;

impl ServiceState {
    /// Whether the version that an undo goes back to (`to`, else the one that was stable before) has a ready endpoint.
    /// Without any such version the machine refuses.
    ///
    /// # Errors
    /// When the config does not have that version.
    pub(super) fn warm_for_undo(&self, to: Option<&VersionName>) -> Result<bool, CommandError> {
        let Some(machine) = self.release.as_ref().map(|release| &release.machine) else { return Ok(false) };
        if machine.rollout().is_some() && to.is_none() {
            return Ok(false);
        }
        let Some(target) = to.or(machine.previous()) else { return Ok(false) };
        if self.versions.contains_key(target) {
            return Ok(self.ready(target));
        }
        let name = &self.spec.name;
        let known = self.versions.keys().map(VersionName::as_str).collect::<Vec<_>>().join(", ");
        Err(CommandError::UnknownVersion(match to {
            Some(_) => format!("service `{name}` has no version {target}; its versions are {known}"),
            None => format!(
                "{target} was stable before, but is not configured any more; its versions are {known}: name one with \
                 `adit undo {name} --to V`, or add `versions.{target}` back"
            ),
        }))
    }
}
