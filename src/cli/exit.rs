//! How a verb ended. Contracts: scripts rely on these numbers.

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Ok,
    /// It did not work.
    Failure,
    /// What was typed makes no sense.
    Usage,
    /// The config is not valid.
    InvalidConfig,
    /// The rollout that was waited for was given up.
    Aborted,
    /// No answer in time.
    TimedOut,
    /// The state does not allow it.
    Conflict,
    /// Nobody answers at the admin address.
    Unreachable,
}

impl Exit {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::InvalidConfig => 3,
            Self::Aborted => 4,
            Self::TimedOut => 5,
            Self::Conflict => 6,
            Self::Unreachable => 7,
        }
    }
}
