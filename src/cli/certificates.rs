//! How certificates look to people.

use super::grid::{Align, Cell, Grid, Tint};
use super::words::moment;
use crate::control::report::CertificateStatus;

/// With fewer days left, somebody should act.
const SOON: i64 = 14;

/// The certificates that are shown to clients; `None`: there is none.
pub(super) fn table(certificates: &[CertificateStatus]) -> Option<Grid> {
    let mut grid = Grid::new(&[
        ("CERTIFICATE", Align::Left),
        ("LISTENER", Align::Left),
        ("EXPIRES", Align::Left),
        ("DAYS LEFT", Align::Right),
        ("HOSTS", Align::Left),
    ]);
    for certificate in certificates {
        let tint = match certificate.days_left {
            ..0 => Tint::Bad,
            0..SOON => Tint::Warning,
            _ => Tint::Plain,
        };
        grid.push([
            Cell::plain(&certificate.certificate),
            Cell::plain(&certificate.listener),
            Cell::new(moment(&certificate.not_after), tint),
            Cell::new(certificate.days_left.to_string(), tint),
            Cell::plain(certificate.hosts.join(", ")),
        ]);
    }
    (!certificates.is_empty()).then_some(grid)
}
