//! What the container engine says, taken into what is wanted.

use super::control::Control;
use crate::domain::container::Sighting;

impl Control {
    /// Takes in how the engine's containers stand now.
    pub(crate) fn sighted(&mut self, sighting: Sighting) {
        self.note_engine(&sighting.engine);
        self.sighting = Some(sighting);
    }
}
