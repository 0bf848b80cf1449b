//! Where Adit itself runs: in a container of the engine, or beside it.

use std::collections::BTreeSet;
use std::fs;

use bollard::models::ContainerInspectResponse;

use super::client::{CallError, Client};
use super::container::{network_mode, shares_network_of};
use crate::domain::container::Site;

/// Asks the engine. `None`: it could not say, and what was known stays.
pub(super) async fn find(client: &Client) -> Option<Site> {
    for id in candidates() {
        match client.container(&id).await {
            Ok(ours) => return Box::pin(in_container(client, ours)).await,
            Err(CallError::NotFound) => {}
            Err(_) => return None,
        }
    }
    Some(Site::Host)
}

async fn in_container(client: &Client, ours: ContainerInspectResponse) -> Option<Site> {
    if network_mode(&ours) == "host" {
        return Some(Site::Host);
    }
    let networks = match shares_network_of(&ours) {
        Some(other) => client.container(other).await.ok()?,
        None => ours.clone(),
    };
    if network_mode(&networks) == "host" {
        return Some(Site::Host);
    }
    let networks = networks.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    Some(Site::Container { id: ours.id?, networks: networks.into_keys().collect() })
}

/// What our own container's id may be; nothing on a machine without containers.
fn candidates() -> BTreeSet<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut found = in_mounts(&read("/proc/self/mountinfo"));
    found.extend(in_cgroups(&read("/proc/self/cgroup")));
    // The name that the engine gives to a container when nobody else does.
    let hostname = read("/proc/sys/kernel/hostname");
    found.extend(Some(hostname.trim()).filter(|name| is_id(name, 12)).map(str::to_owned));
    found
}

/// The engine mounts a file of its own over `/etc/hostname`: `…/containers/<id>/hostname`.
fn in_mounts(mountinfo: &str) -> BTreeSet<String> {
    let roots = mountinfo.lines().filter_map(|line| line.split(' ').nth(3));
    let ids = roots.filter_map(|root| {
        let folder = root.strip_suffix("/hostname")?;
        let (above, id) = folder.rsplit_once('/')?;
        Some(id).filter(|id| above.ends_with("containers") && is_id(id, 64))
    });
    ids.map(str::to_owned).collect()
}

/// `0::/docker/<id>`, `1:name=systemd:/system.slice/docker-<id>.scope`.
fn in_cgroups(cgroup: &str) -> BTreeSet<String> {
    let parts = cgroup.split(|c: char| !c.is_ascii_hexdigit());
    parts.filter(|part| is_id(part, 64)).map(str::to_owned).collect()
}

fn is_id(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

    fn set(id: &str) -> BTreeSet<String> {
        BTreeSet::from([id.to_owned()])
    }

    #[test]
    fn a_container_knows_itself_by_the_hostname_file_that_the_engine_mounts() {
        let mounts = format!(
            "612 611 0:55 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/x\n\
             623 612 254:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw\n\
             624 612 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
        );
        assert_eq!(in_mounts(&mounts), set(ID));
    }

    #[test]
    fn the_engines_host_is_none_of_the_containers_whose_mounts_it_sees() {
        let mounts = format!("700 29 0:60 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\n");
        assert_eq!(in_mounts(&mounts), BTreeSet::new());
        for odd in ["", "\n", "1 2 3", "1 2 3 /hostname", "1 2 3 /containers/short/hostname"] {
            assert_eq!(in_mounts(odd), BTreeSet::new(), "{odd}");
        }
    }

    #[test]
    fn a_container_knows_itself_by_its_cgroup() {
        for line in [format!("12:pids:/docker/{ID}"), format!("0::/system.slice/docker-{ID}.scope")] {
            assert_eq!(in_cgroups(&line), set(ID), "{line}");
        }
        assert_eq!(in_cgroups("0::/user.slice/user-1000.slice/session-2.scope"), BTreeSet::new());
    }
}
