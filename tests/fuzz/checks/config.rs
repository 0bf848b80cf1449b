//! A config's text: read without a crash; what is wrong with it is shown within it; what is accepted can be served.

use adit::config::{Style, parse};
use adit::domain::routing::{Matcher, RequestParts};
use http::{HeaderMap, Method};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let env = |name: &str| (name == "PORT").then(|| "8080".to_owned());
    let spec = match parse(text, &env) {
        Ok(spec) => spec,
        Err(errors) => {
            assert!(!errors.list().is_empty());
            assert!(errors.list().iter().all(|error| error.line <= text.lines().count() + 1), "{errors}");
            assert!(!errors.render("x", Style::Plain).is_empty());
            assert!(errors.to_json("x").is_object());
            return;
        }
    };
    assert!(!spec.listeners.is_empty() && spec == parse(text, &env).expect("it was accepted"));
    for service in spec.services.values() {
        let steps = &service.rollout.steps;
        assert!(!service.routes.is_empty() && !service.versions.is_empty() && !steps.is_empty());
        assert!(steps.is_sorted_by(|one, next| one.weight < next.weight), "{steps:?}");
        let retry = &service.policy.retry;
        assert!((1..=10).contains(&retry.attempts) && (0.0..=1.0).contains(&retry.budget), "{retry:?}");
        assert!(retry.per_try.is_none_or(|limit| limit < service.policy.timeouts.response), "{retry:?}");
    }
    let routes = (0..).zip(spec.services.values());
    let routes = routes.flat_map(|(index, service)| service.routes.iter().map(move |it| (it.clone(), index)));
    let (matcher, headers) = (Matcher::new(routes), HeaderMap::new());
    for (host, path) in [("", "/"), ("shop.example", "/api/x"), ("a.b.shop.example", "/admin/")] {
        let matched = matcher.resolve(&RequestParts { host, path, method: &Method::GET, headers: &headers });
        assert!(
            matched
                .is_none_or(|matched| matched.service < spec.services.len() && matched.strip <= path.len())
        );
    }
}
