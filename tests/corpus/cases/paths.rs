//! Paths that read differently once levelled. `/admin` has a service of its own; what slips past it to the public one is
//! found by the harness after every case.

use super::target;
use crate::case::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    [admins(), publics()].into_iter().flatten().collect()
}

/// It reaches the admin's service, or nobody.
fn guarded(name: &'static str, path: &str, seen: &'static [&'static str]) -> Case {
    case(name, target(path)).may("200, open", seen).refused()
}

fn admins() -> Vec<Case> {
    vec![
        guarded("RFC 3986 6.2: plain", "/admin", &["admin: GET /admin"]),
        guarded("RFC 3986 6.2: below", "/admin/x?y", &["admin: GET /admin/x?y"]),
        guarded("CVE-2021-29492: a dot segment", "/x/../admin", &["admin: GET /x/../admin"]),
        guarded(
            "CVE-2021-29492: a dot segment in escapes",
            "/x/%2e%2e/admin",
            &["admin: GET /x/%2e%2e/admin"],
        ),
        guarded(
            "CVE-2021-29492: a dot segment half in escapes",
            "/x/.%2E/admin",
            &["admin: GET /x/.%2E/admin"],
        ),
        guarded("RFC 3986 5.2.4: a single dot", "/./admin", &["admin: GET /./admin"]),
        guarded("RFC 3986 5.2.4: a single dot in an escape", "/%2e/admin", &["admin: GET /%2e/admin"]),
        guarded("RFC 3986 5.2.4: above the root", "/../../admin", &["admin: GET /../../admin"]),
        guarded("RFC 3986 6.2.2: an escaped letter", "/%61dmin", &["admin: GET /%61dmin"]),
        guarded("RFC 3986 6.2.2: all letters escaped", "/%61%64%6d%69%6e", &["admin: GET /%61%64%6d%69%6e"]),
        guarded("CVE-2025-66490: two slashes", "//admin", &["admin: GET //admin"]),
        guarded("CVE-2025-66490: many slashes", "/////admin/x", &["admin: GET /////admin/x"]),
        guarded("CVE-2025-66490: slashes and dots", "/x//..//admin", &["admin: GET /x//..//admin"]),
        guarded(
            "RFC 3986 5.2.4: through something that isn't there",
            "/a/b/../../admin",
            &["admin: GET /a/b/../../admin"],
        ),
        guarded("RFC 3986 3.4: with a query at once", "/admin?x", &["admin: GET /admin?x"]),
        guarded("RFC 3986 6.2: a slash at the end", "/admin/", &["admin: GET /admin/"]),
        guarded("RFC 3986 3.3: in the absolute form", "http://a/x/../admin", &["admin: GET /x/../admin"]),
        guarded(
            "RFC 3986 3.3: in the absolute form with two slashes",
            "http://a//admin",
            &["admin: GET //admin"],
        ),
    ]
}

fn publics() -> Vec<Case> {
    vec![
        case("RFC 3986 5.2.4: out of the admin's again", target("/admin/../x"))
            .passed(&["GET /admin/../x"])
            .refused(),
        case("RFC 3986 6.2: a longer name", target("/administrator")).passed(&["GET /administrator"]),
        case("RFC 3986 6.2: paths have a case", target("/ADMIN")).passed(&["GET /ADMIN"]),
        case("RFC 3986 2.2: an escaped slash divides nothing", target("/x%2f..%2fadmin"))
            .passed(&["GET /x%2f..%2fadmin"])
            .refused(),
        case("RFC 3986 2.2: an escaped slash in front", target("/%2fadmin"))
            .passed(&["GET /%2fadmin"])
            .refused(),
        case("RFC 3986 2.4: escaped twice is not decoded twice", target("/x/%252e%252e/admin"))
            .passed(&["GET /x/%252e%252e/admin"]),
        case("RFC 3986 3.3: a parameter of a segment", target("/x;/../admin"))
            .may("200, open", &["admin: GET /x;/../admin"])
            .refused(),
        case("RFC 3986 3.3: dots with a parameter, as Tomcat reads them", target("/x/..;/admin"))
            .passed(&["GET /x/..;/admin"])
            .refused(),
        case("RFC 3986 3.3: a backslash for a slash", target("/x\\..\\admin")).refused(),
        case("RFC 3986 3.3: an escaped backslash", target("/x%5c..%5cadmin"))
            .passed(&["GET /x%5c..%5cadmin"])
            .refused(),
        case("RFC 3986 3.4: dots in a query are text", target("/x?/../admin")).passed(&["GET /x?/../admin"]),
        case("RFC 3986 3.3: an escaped question mark is no query", target("/x%3f/../admin"))
            .may("200, open", &["admin: GET /x%3f/../admin"])
            .refused(),
        case("RFC 3986 3.3: three dots are a name", target("/.../x")).passed(&["GET /.../x"]),
        case("RFC 3986 3.3: an escaped fragment is no fragment", target("/x%23/../admin"))
            .may("200, open", &["admin: GET /x%23/../admin"])
            .refused(),
        case("RFC 3986 2.4: an escaped tab and line break in segments", target("/x/.%09./admin"))
            .passed(&["GET /x/.%09./admin"])
            .refused(),
    ]
}
