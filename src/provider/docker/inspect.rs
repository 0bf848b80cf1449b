//! A look at one container: what the engine says of it, of its image, and of the container whose network it shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bollard::models::ContainerInspectResponse;
use tracing::warn;

use super::client::{CallError, Client};
use super::container::{self, Seen};
use crate::domain::container::Image;

/// Images by id, so that each is asked for once.
#[derive(Clone, Default)]
pub(super) struct Images(Arc<Mutex<BTreeMap<String, Image>>>);

/// Looks. `None`: what the engine says is nothing to go by.
pub(super) async fn inspect(client: &Client, images: &Images, id: &str) -> Result<Option<Seen>, CallError> {
    let mut inspected = client.container(id).await?;
    if let Some(other) = container::shares_network_of(&inspected).map(str::to_owned) {
        let other = match client.container(&other).await {
            // Without the other one it has no address; that is for others to say.
            Err(CallError::NotFound) => ContainerInspectResponse::default(),
            other => other?,
        };
        let hosts_network = container::network_mode(&other) == "host";
        inspected.network_settings = other.network_settings;
        if let (true, Some(config)) = (hosts_network, &mut inspected.host_config) {
            config.network_mode = other.host_config.and_then(|config| config.network_mode);
        }
    }
    let image = match inspected.image.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => images.get(client, id).await?,
        None => Image::default(),
    };
    Ok(container::read(inspected, image))
}

impl Images {
    async fn get(&self, client: &Client, id: &str) -> Result<Image, CallError> {
        if let Some(image) = self.known(id) {
            return Ok(image);
        }
        let image = match client.image(id).await {
            Ok(inspected) => container::image(inspected),
            Err(error @ CallError::Lost(_)) => return Err(error),
            // An image may be gone while its container runs, and a proxy may keep images to itself. The container's own
            // labels have those of its image; only the digests and the time of its build stay unknown.
            Err(error) => {
                warn!(image = id, %error, "nothing is known of an image");
                Image::default()
            }
        };
        self.with(|images| images.insert(id.to_owned(), image.clone()));
        Ok(image)
    }

    fn known(&self, id: &str) -> Option<Image> {
        self.with(|images| images.get(id).cloned())
    }

    /// Forgets what is not used, and what may be known better by now: an image has digests once it was pushed.
    pub(super) fn refresh(&self, used: &BTreeSet<&str>) {
        self.with(|images| {
            images.retain(|id, image| used.contains(id.as_str()) && !image.digests.is_empty())
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Image>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
