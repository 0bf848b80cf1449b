//! Where desired state comes from.

pub mod file {
    //! Placeholder.
    use std::path::Path;

    use crate::config::spec::Spec;

    /// Placeholder.
    #[derive(Debug)]
    pub struct LoadError(String);

    impl std::fmt::Display for LoadError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::error::Error for LoadError {}

    /// Placeholder.
    ///
    /// # Errors
    /// Placeholder.
    pub fn load(path: &Path) -> Result<Spec, LoadError> {
        match std::fs::read_to_string(path) {
            Ok(text) if text.contains("valid = true") => {
                Ok(Spec::front_door(([127, 0, 0, 1], 0).into(), Vec::new()))
            }
            Ok(_) => Err(LoadError(format!("{}: placeholder", path.display()))),
            Err(error) => Err(LoadError(format!("can't read {}: {error}", path.display()))),
        }
    }
}
