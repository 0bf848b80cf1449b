//! The routes that contenders get, and requests for them.

/// What leads to the service.
#[derive(Clone, PartialEq, Debug)]
pub enum Route {
    Any,
    Host(String),
    /// A prefix under [`SHOP`].
    Path(String),
}

/// The host that all routes by path are under.
pub const SHOP: &str = "shop.example";

/// So many routes: one is for every request; of more, half go by host and half by path, and nothing else is served.
pub fn routes(count: usize) -> Vec<Route> {
    if count == 1 {
        return vec![Route::Any];
    }
    (0..count)
        .map(|number| if number % 2 == 0 { Route::Host(host(number)) } else { Route::Path(path(number)) })
        .collect()
}

/// Host and path of 64 requests at the most, each for another route, from the first to the last of them.
pub fn requests(count: usize) -> Vec<(String, String)> {
    let asked = count.min(64);
    let numbers = (0..asked).map(|index| index * (count - 1) / (asked - 1).max(1));
    let request = |number| match number % 2 {
        _ if count == 1 => ("localhost".to_owned(), "/small".to_owned()),
        0 => (host(number), "/small".to_owned()),
        _ => (SHOP.to_owned(), format!("{}/7", path(number))),
    };
    numbers.map(request).collect()
}

fn host(number: usize) -> String {
    format!("s{number}.{SHOP}")
}

fn path(number: usize) -> String {
    format!("/api/v{number}/items")
}

#[cfg(test)]
mod tests {
    use super::{Route, requests, routes};

    #[test]
    fn every_request_is_for_a_route_that_there_is() {
        for count in [1, 10, 10_000] {
            let routes = routes(count);
            assert_eq!(routes.len(), count);
            for (host, path) in requests(count) {
                let found = routes.iter().any(|route| match route {
                    Route::Any => true,
                    Route::Host(wanted) => host == *wanted,
                    Route::Path(prefix) => path.starts_with(&format!("{prefix}/")),
                });
                assert!(found, "{count} routes: none for {host}{path}");
            }
        }
    }
}
