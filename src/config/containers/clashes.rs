//! What holds over all services: a request can go to one of them only. The config goes before containers, and a service
//! that is there before one that comes.

use std::collections::{HashMap, HashSet};

use super::report::{Matters, Report};
use crate::config::routes::{self, RouteKey};
use crate::config::spec::{ServiceSpec, Spec};
use crate::domain::ServiceName;
use crate::domain::routing::{HostPattern, RouteMatch};

/// Routes and hosts that lead somewhere already.
#[derive(Default)]
pub(super) struct Taken {
    routes: HashMap<RouteKey, ServiceName>,
    named: HashSet<Box<str>>,
    previews: HashMap<Box<str>, ServiceName>,
}

impl Taken {
    /// What the config has.
    pub(super) fn by(file: &Spec) -> Self {
        let mut taken = Self::default();
        file.services.values().chain(file.waiting.values()).for_each(|service| taken.take(service));
        taken
    }

    /// Lets a service in that only containers name, without what leads elsewhere already. Whether it can be served.
    pub(super) fn admit(
        &mut self,
        service: &mut ServiceSpec,
        last: Option<&ServiceSpec>,
        report: &mut Report,
    ) -> Result<(), String> {
        if let Some((route, owner)) = self.clash(&service.routes) {
            let before = last.filter(|last| self.clash(&last.routes).is_none());
            let what =
                format!("{route} leads to service {owner} already: give it another adit.hosts or adit.path");
            let Some(before) = before else {
                let what = format!("{what}; the service is left out");
                report.of_service(&service.name, what.clone(), Matters::Wrong);
                return Err(what);
            };
            let what = format!("{what}; it keeps the routes that it had");
            report.of_service(&service.name, what, Matters::Wrong);
            service.routes.clone_from(&before.routes);
        }
        let own = |host: &str| {
            service
                .routes
                .iter()
                .any(|route| matches!(&route.host, HostPattern::Exact(own) if **own == *host))
        };
        let is_free =
            |host: &str| !self.named.contains(host) && !self.previews.contains_key(host) && !own(host);
        if let Some(host) = service.policy.preview_host.take_if(|host| !is_free(host)) {
            let what =
                format!("the preview's host {host} leads elsewhere already: there is no preview by host");
            report.of_service(&service.name, what, Matters::Wrong);
        }
        self.take(service);
        Ok(())
    }

    /// The first route that leads elsewhere, and where.
    fn clash(&self, routes: &[RouteMatch]) -> Option<(String, &ServiceName)> {
        routes.iter().find_map(|route| {
            let preview = match &route.host {
                HostPattern::Exact(host) => self.previews.get(host),
                HostPattern::Any | HostPattern::Under(_) => None,
            };
            let owner = preview.or_else(|| self.routes.get(&routes::key(route)))?;
            Some((shown(route), owner))
        })
    }

    fn take(&mut self, service: &ServiceSpec) {
        for route in &service.routes {
            self.routes.entry(routes::key(route)).or_insert_with(|| service.name.clone());
            if let HostPattern::Exact(host) = &route.host {
                self.named.insert(host.clone());
            }
        }
        if let Some(host) = &service.policy.preview_host {
            self.previews.insert(host.clone(), service.name.clone());
        }
    }
}

/// A route for people.
fn shown(route: &RouteMatch) -> String {
    let host = match &route.host {
        HostPattern::Any => "every host".to_owned(),
        HostPattern::Under(suffix) => format!("*.{suffix}"),
        HostPattern::Exact(host) => host.to_string(),
    };
    match route.path.as_str() {
        "" => host,
        path => format!("{host} under {path}"),
    }
}
