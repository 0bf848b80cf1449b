//! Which version a request goes to: chosen by hand, by who the client is, or by a draw of its own.

use std::net::IpAddr;

use http::header::COOKIE;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue};

use crate::domain::Timestamp;
use crate::domain::routing::{Affinity, Point, Role, Service};

/// The cookie that keeps a client with one version. It names the client, not the version.
pub(crate) const COOKIE_NAME: &str = "adit_id";

/// What is known of who asks.
pub(crate) struct Asker<'a> {
    pub(crate) ip: IpAddr,
    pub(crate) headers: &'a HeaderMap,
    /// What the client's connection speaks.
    pub(crate) scheme: &'a Scheme,
    pub(crate) host: HostUse,
    pub(crate) now: Timestamp,
}

/// What the host that was asked for means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostUse {
    /// One of the service's.
    Public,
    /// The one at which its canary can be looked at.
    Preview,
}

/// A request's version, and how it came to it.
#[derive(Debug, PartialEq)]
pub(crate) struct Assignment {
    /// Index into the service's versions.
    pub(crate) version: usize,
    pub(crate) by: AssignedBy,
    /// The arm that the split gave it to; `None`: it was chosen by hand.
    pub(crate) role: Option<Role>,
    /// The arm it is evidence for; `None`: it is not counted.
    pub(crate) evidence: Option<Role>,
    /// A cookie that the client is to have from now on.
    pub(crate) cookie: Option<HeaderValue>,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AssignedBy {
    Override,
    Preview,
    Affinity,
    Weight,
}

impl AssignedBy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Preview => "preview",
            Self::Affinity => "affinity",
            Self::Weight => "weight",
        }
    }
}

/// Assigns a request; `None` when the service gives its traffic to nobody.
pub(crate) fn assign(service: &Service, asker: &Asker<'_>) -> Option<Assignment> {
    if let Some(version) = chosen_by_hand(service, asker) {
        return Some(Assignment::by_hand(version, AssignedBy::Override));
    }
    if asker.host == HostUse::Preview {
        let arm = [Role::Canary, Role::Stable].iter().find_map(|role| service.split.arm(*role))?;
        return Some(Assignment::by_hand(arm.version, AssignedBy::Preview));
    }
    let (client, cookie) = client(service, asker);
    let point = Point::from_bits(client.unwrap_or_else(|| fastrand::u64(..)));
    let arm = service.split.choose(point)?;
    let epoch = service.split.epoch.as_ref();
    let counted = epoch.is_some_and(|epoch| epoch.sampling.takes(client, asker.now));
    Some(Assignment {
        version: arm.version,
        by: if client.is_some() { AssignedBy::Affinity } else { AssignedBy::Weight },
        role: Some(arm.role),
        evidence: counted.then_some(arm.role),
        cookie,
    })
}

impl Assignment {
    /// Not judged: whoever chooses by hand is no sample of the users.
    fn by_hand(version: usize, by: AssignedBy) -> Self {
        Self { version, by, role: None, evidence: None, cookie: None }
    }
}

fn chosen_by_hand(service: &Service, asker: &Asker<'_>) -> Option<usize> {
    let rule = service.policy.version_override.as_ref()?;
    let name = asker.headers.get(&rule.header)?.to_str().ok()?;
    let may = rule.from.iter().any(|network| network.contains(&asker.ip));
    if may { service.version_named(name) } else { None }
}

/// The client's hash, if the service tells clients apart and this one can be told; and the cookie it gets.
fn client(service: &Service, asker: &Asker<'_>) -> (Option<u64>, Option<HeaderValue>) {
    let hash = |key: &[u8]| Some(service.split.salt.hash(key));
    match &service.policy.affinity {
        Affinity::None => (None, None),
        Affinity::Header(name) => (asker.headers.get(name).and_then(|value| hash(value.as_bytes())), None),
        Affinity::Ip => match asker.ip {
            IpAddr::V4(ip) => (hash(&ip.octets()), None),
            IpAddr::V6(ip) => (hash(&ip.octets()), None),
        },
        Affinity::Cookie => match cookie(asker.headers) {
            Some(id) => (hash(id), None),
            // Assigned by the id it is about to get: its next request goes the same way.
            None => {
                let id = format!("{:032x}", fastrand::u128(..));
                let secure = if *asker.scheme == Scheme::HTTPS { "; Secure" } else { "" };
                let cookie = format!("{COOKIE_NAME}={id}; Path=/; HttpOnly; SameSite=Lax{secure}");
                (hash(id.as_bytes()), HeaderValue::try_from(cookie).ok())
            }
        },
    }
}

/// The id in our cookie, if there is one that could be ours.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&[u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs
        .filter_map(|pair| pair.trim_ascii().strip_prefix(COOKIE_NAME.as_bytes())?.strip_prefix(b"="))
        .find(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::Weight;
    use crate::domain::routing::{Arm, Override, Policy, Salt, Split, Version};
    use crate::domain::stats::{Epoch, PerWorker, Sampling};

    fn service(policy: Policy, weight: f64, sampling: Sampling) -> Service {
        let weight = Weight::from_percent(weight).unwrap();
        let version = |name: &str| Version {
            name: name.into(),
            endpoints: Vec::new(),
            cells: Arc::new(PerWorker::new(1)),
        };
        let arms = vec![
            Arm { version: 0, weight: weight.rest(), role: Role::Stable },
            Arm { version: 1, weight, role: Role::Canary },
        ];
        Service {
            name: "web".into(),
            policy: Arc::new(policy),
            versions: vec![version("v1"), version("v2"), version("v3")],
            split: Split::new(arms, Salt(1, 2), Some(Arc::new(Epoch::new(1, weight, sampling, 1)))),
            rollout: Some(1),
            hold: None,
            limiter: None,
        }
    }

    fn ask(service: &Service, ip: &str, fields: &[(&'static str, &str)]) -> Assignment {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        assign(service, &asker(ip, &headers)).unwrap()
    }

    fn asker<'a>(ip: &str, headers: &'a HeaderMap) -> Asker<'a> {
        let now = Timestamp::from_micros(60_000_000);
        Asker { ip: ip.parse().unwrap(), headers, scheme: &Scheme::HTTP, host: HostUse::Public, now }
    }

    #[test]
    fn the_cookie_is_secure_exactly_when_the_connection_is() {
        let service =
            service(Policy { affinity: Affinity::Cookie, ..Policy::default() }, 50.0, Sampling::Every);
        let headers = HeaderMap::new();
        for (scheme, secure) in [(Scheme::HTTP, false), (Scheme::HTTPS, true)] {
            let assigned =
                assign(&service, &Asker { scheme: &scheme, ..asker("192.0.2.1", &headers) }).unwrap();
            let cookie = assigned.cookie.unwrap();
            assert_eq!(cookie.to_str().unwrap().ends_with("; SameSite=Lax; Secure"), secure, "{cookie:?}");
        }
    }

    #[test]
    fn the_preview_host_leads_to_the_canary_at_weight_0_and_is_not_judged() {
        let headers = HeaderMap::new();
        let preview = || Asker { host: HostUse::Preview, ..asker("192.0.2.1", &headers) };
        let mut service = service(Policy::default(), 0.0, Sampling::Every);
        let assigned = assign(&service, &preview()).unwrap();
        assert_eq!((assigned.version, assigned.by, assigned.evidence), (1, AssignedBy::Preview, None));
        service.split = Split::whole(0);
        let assigned = assign(&service, &preview()).unwrap();
        assert_eq!((assigned.version, assigned.by, assigned.evidence), (0, AssignedBy::Preview, None));
    }

    #[test]
    fn the_draw_follows_the_weight_over_100_000_requests() {
        let service = service(Policy::default(), 5.0, Sampling::Every);
        let canary = (0..100_000).filter(|_| ask(&service, "192.0.2.1", &[]).version == 1).count();
        // Four standard deviations: sqrt(100,000 · 0.05 · 0.95) = 68.9.
        assert!((4_724..=5_276).contains(&canary), "{canary} of 100,000 at 5 %");
    }

    #[test]
    fn weight_0_gets_nothing() {
        let service = service(Policy::default(), 0.0, Sampling::Every);
        assert!((0..100_000).all(|_| ask(&service, "192.0.2.1", &[]).version == 0));
    }

    #[test]
    fn a_cookie_never_leads_back_to_stable_while_the_weight_rises() {
        let policy = Policy { affinity: Affinity::Cookie, ..Policy::default() };
        for client in 0..500_u128 {
            let cookie = format!("a=b; adit_id={client:032x}");
            let versions = [1.0, 5.0, 25.0, 50.0, 100.0].map(|weight| {
                let service = service(policy.clone(), weight, Sampling::Every);
                ask(&service, "192.0.2.1", &[("cookie", &cookie)]).version
            });
            assert!(versions.is_sorted(), "{client}: {versions:?}");
        }
    }

    #[test]
    fn the_first_request_goes_where_its_new_cookie_leads() {
        let policy = Policy { affinity: Affinity::Cookie, ..Policy::default() };
        let service = service(policy, 50.0, Sampling::Every);
        for _ in 0..100 {
            let first = ask(&service, "192.0.2.1", &[]);
            let cookie = first.cookie.expect("a cookie for a client without one");
            let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
            let second = ask(&service, "192.0.2.1", &[("cookie", &pair)]);
            assert_eq!((second.version, second.cookie), (first.version, None));
        }
    }

    #[test]
    fn a_version_is_chosen_by_hand_only_from_where_it_is_allowed() {
        let policy = Policy {
            version_override: Some(Override {
                header: http::HeaderName::from_static("x-adit-version"),
                from: vec!["10.0.0.0/8".parse().unwrap()],
            }),
            ..Policy::default()
        };
        let service = service(policy, 0.0, Sampling::Every);
        let by_hand = ask(&service, "10.1.2.3", &[("x-adit-version", "v3")]);
        assert_eq!((by_hand.version, by_hand.by, by_hand.evidence), (2, AssignedBy::Override, None));
        for (ip, name) in [("192.0.2.1", "v3"), ("10.1.2.3", "v9")] {
            let drawn = ask(&service, ip, &[("x-adit-version", name)]);
            assert_eq!((drawn.version, drawn.by), (0, AssignedBy::Weight), "{ip} {name}");
        }
    }

    #[test]
    fn a_client_is_evidence_once_a_minute() {
        let policy = Policy { affinity: Affinity::Ip, ..Policy::default() };
        let service = service(policy, 50.0, Sampling::once_per_minute());
        assert!(ask(&service, "192.0.2.1", &[]).evidence.is_some());
        assert!(ask(&service, "192.0.2.1", &[]).evidence.is_none());
        assert!(ask(&service, "192.0.2.2", &[]).evidence.is_some());
    }

    #[test]
    fn a_foreign_cookie_value_is_not_taken_for_an_id() {
        let policy = Policy { affinity: Affinity::Cookie, ..Policy::default() };
        let service = service(policy, 50.0, Sampling::Every);
        assert!(ask(&service, "192.0.2.1", &[("cookie", "adit_id=v2")]).cookie.is_some());
    }
}
