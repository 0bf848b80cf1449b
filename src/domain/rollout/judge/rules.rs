//! What a judgement goes by.

use super::super::Analysis;
use super::super::decision::guard_limit;
use crate::domain::stats::{Coefficients, GUARD_ALTERNATIVES, Margin, guard_coefficients};

/// What was decided before the first request and must not change with what is seen.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) harm_bound: f64,
    pub(super) promote_bound: f64,
    pub(super) tolerated: Margin,
    pub(super) guard_bets: [Coefficients; GUARD_ALTERNATIVES],
    pub(super) guard: GuardUse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuardUse {
    Always,
    WithoutStable,
}

impl Rules {
    pub(super) fn new(analysis: &Analysis) -> Self {
        let tolerated = &analysis.tolerated_rise;
        Self {
            harm_bound: -analysis.alpha.ln(),
            promote_bound: -analysis.promote_margin.alpha.ln(),
            tolerated: Margin { relative: tolerated.relative, absolute: tolerated.absolute },
            guard_bets: guard_coefficients(guard_limit(analysis)),
            guard: if analysis.max_error_rate.is_some() { GuardUse::Always } else { GuardUse::WithoutStable },
        }
    }
}
