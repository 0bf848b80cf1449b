//! Which build a version's name stands for, once a container had it. What is known is kept in memory too: an event of
//! the engine is no reason to ask the disk.

use std::sync::Arc;

use crate::config::containers::{Desired, Notice};
use crate::config::spec::{Build, EndpointAddress, ServiceSpec};
use crate::control::control::Control;
use crate::control::refuse::conflict_of_builds;
use crate::control::store::{Identity, compare};
use crate::domain::{ServiceName, VersionName};

impl Control {
    /// Remembers the builds that containers brought. A version that still is another build than its name stands for is
    /// left without its containers.
    pub(super) fn settle_builds(&mut self, desired: &mut Desired) {
        let mut refused = Vec::new();
        let mut news = Vec::new();
        for (name, service) in &desired.spec.services {
            let known = self.containers.standings.get(name).map(|standing| &standing.builds);
            for (version, spec) in &service.versions {
                if spec.build.image_id.is_none() {
                    continue;
                }
                match known.and_then(|known| known.get(version)).map(|known| compare(known, &spec.build)) {
                    Some(Identity::Known) => {}
                    Some(Identity::Conflict { now, known }) => {
                        refused.push((
                            name.clone(),
                            version.clone(),
                            conflict_of_builds(version, &now, &known),
                        ));
                    }
                    Some(Identity::New) | None => {
                        news.push((name.clone(), version.clone(), spec.build.clone()));
                    }
                }
            }
        }
        for (name, version, build) in news {
            self.learn_build(&name, &version, build);
        }
        for (name, version, what) in refused {
            if let Some(service) = desired.spec.services.get_mut(&name) {
                leave_out(service, &version);
            }
            desired.notices.push(Notice {
                container: None,
                service: Some(name),
                label: None,
                what: format!("version {version} is left out: {what}"),
                wrong: true,
            });
        }
    }

    fn learn_build(&mut self, name: &ServiceName, version: &VersionName, build: Build) {
        let now = self.around.clock.now();
        // What can't be kept now is compared, and tried to be kept, again with the next event after the next start.
        if let Err(error) = self.store.identify(now, name, version, &build) {
            let error = error.to_string();
            tracing::warn!(service = %name, %version, error, "which build a version is could not be kept");
            self.problems.store = Some(error);
        }
        let known = self.containers.standings.entry(name.clone()).or_default();
        let known = known.builds.entry(version.clone()).or_default();
        known.image = build.image.or(known.image.take());
        known.revision = known.revision.take().or(build.revision);
        known.created = known.created.take().or(build.created);
        known.source = known.source.take().or(build.source);
        known.image_id = known.image_id.take().or(build.image_id);
    }
}

fn leave_out(service: &mut Arc<ServiceSpec>, version: &VersionName) {
    let mut changed = ServiceSpec::clone(service);
    if let Some(version) = changed.versions.get_mut(version) {
        let containers = std::mem::take(&mut version.containers);
        version.endpoints.retain(|endpoint| match endpoint {
            EndpointAddress::Ip(address) => !containers.contains_key(address),
            EndpointAddress::Dns { .. } => true,
        });
    }
    *service = Arc::new(changed);
}
