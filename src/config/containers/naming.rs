//! What a container's version is called, and which build it is.

use std::collections::BTreeMap;

use super::reading::Reading;
use crate::config::build;
use crate::config::reader::not_a_name;
use crate::config::spec::Build;
use crate::domain::VersionName;
use crate::domain::container::{Container, Image};

/// Behind it there is room for a digest, so that a moved tag has a name too.
const LONGEST: usize = 100;
/// What people see of a digest.
const SHORT: usize = 12;
const OCI: &str = "org.opencontainers.image.";

/// A version's name as its container says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) name: VersionName,
    /// As it was written, when a name can't be written so.
    pub(super) instead_of: Option<String>,
}

/// Which builds a service's version names stand for.
pub(super) struct Names(BTreeMap<VersionName, Build>);

/// A name that is taken by another build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) from: VersionName,
    pub(super) before: String,
}

/// What a container's version is called: as `said`, else as its image's labels have it, else by its tag or digest.
pub(super) fn call(container: &Container, said: Option<&str>) -> Option<Called> {
    let digest = short_id(&container.image);
    let written = said.or_else(|| oci(container, "version")).or_else(|| tag(&container.image.reference));
    let Some(written) = written.filter(|written| !written.is_empty()) else {
        return Some(Called { name: VersionName::from(digest?.as_str()), instead_of: None });
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let levelled: String = written.chars().map(|c| if fits(c) { c } else { '-' }).take(LONGEST).collect();
    let name = levelled.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = if name.is_empty() { digest? } else { name.to_owned() };
    let instead_of = (name != written).then(|| written.to_owned());
    Some(Called { name: VersionName::from(name.as_str()), instead_of })
}

/// Which build a container is, and what of that is no good.
pub(super) fn identify(container: &Container) -> (Build, Vec<String>) {
    let mut wrong = Vec::new();
    let mut checked = |label: &str, text: Option<&str>, check: fn(&str) -> Result<String, String>| {
        let read = text.filter(|text| !text.is_empty()).map(check)?;
        read.map_err(|why| wrong.push(format!("{label} does not count: {why}"))).ok()
    };
    let image = &container.image;
    let reference = pinned(image);
    let created = oci(container, "created").filter(|text| build::created(text).is_ok());
    let build = Build {
        image: checked("its image", Some(&reference), build::image),
        revision: checked("its revision", oci(container, "revision"), build::revision),
        created: checked("when it was built", created.or(image.created.as_deref()), build::created),
        source: checked("its source", oci(container, "source"), build::source),
        image_id: Some(image.id.clone()).filter(|id| !id.is_empty()),
    };
    if let Some(Err(why)) = oci(container, "created").map(build::created) {
        wrong.push(format!("label {OCI}created does not count: {why}"));
    }
    (build, wrong)
}

/// The first digits of an image's id.
pub(super) fn short_id(image: &Image) -> Option<String> {
    let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
    let digits: String = id.chars().filter(char::is_ascii_alphanumeric).take(SHORT).collect();
    Some(digits).filter(|digits| !digits.is_empty())
}

/// A label of the Open Container Initiative; the container's own goes before its image's.
fn oci<'c>(container: &'c Container, key: &str) -> Option<&'c str> {
    let key = format!("{OCI}{key}");
    let text = container.labels.get(&key).or_else(|| container.image.labels.get(&key))?;
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// The reference with the digest that its registry knows it by.
fn pinned(image: &Image) -> String {
    let reference = image.reference.as_str();
    let digest = image.digests.iter().find_map(|known| {
        let (name, digest) = known.split_once('@')?;
        (name == repository(reference)).then_some(digest)
    });
    match digest {
        Some(digest) if !reference.contains('@') => format!("{reference}@{digest}"),
        Some(_) | None => reference.to_owned(),
    }
}

/// `registry.example:5000/web` of `registry.example:5000/web:1.4.0`.
fn repository(reference: &str) -> &str {
    let reference = reference.split('@').next().unwrap_or(reference);
    match tag_of(reference) {
        Some(tag) => &reference[..reference.len() - tag.len() - 1],
        None => reference,
    }
}

/// The tag, when it says anything.
fn tag(reference: &str) -> Option<&str> {
    if reference.starts_with("sha256:") {
        return None;
    }
    tag_of(reference.split('@').next().unwrap_or(reference)).filter(|tag| *tag != "latest")
}

fn tag_of(reference: &str) -> Option<&str> {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    last.split_once(':').map(|(_, tag)| tag).filter(|tag| !tag.is_empty())
}

impl Names {
    /// `known`: by what was said and seen before.
    pub(super) fn new(known: impl Iterator<Item = (VersionName, Build)>) -> Self {
        let mut builds = BTreeMap::new();
        for (name, build) in known {
            builds.entry(name).or_insert(build);
        }
        Self(builds)
    }

    /// The version that a container is of. A name that stands for another build is taken: then the digest is part of it.
    pub(super) fn of(&self, reading: &Reading) -> Result<(VersionName, Option<Moved>), String> {
        let called = &reading.called.name;
        let Some(known) = self.0.get(called).filter(|known| !is_build_of(known, reading)) else {
            return Ok((called.clone(), None));
        };
        let image = &reading.container.image;
        let own = VersionName::from(format!("{called}-{}", short_id(image).unwrap_or_default()).as_str());
        let is_taken = self.0.get(&own).is_some_and(|known| !is_build_of(known, reading));
        if is_taken || not_a_name(own.as_str()).is_some() {
            return Err(format!(
                "version names {called} and {own} stand for other images: give it one of its own"
            ));
        }
        let before = Image { id: known.image_id.clone().unwrap_or_default(), ..Image::default() };
        let before = short_id(&before).or_else(|| known.digest().map(str::to_owned)).unwrap_or_default();
        Ok((own, Some(Moved { from: called.clone(), before })))
    }

    /// From now on the name stands for this container's build.
    pub(super) fn take(&mut self, version: &VersionName, reading: &Reading) {
        let known = self.0.entry(version.clone()).or_default();
        if known.image_id.is_none() {
            known.image_id.clone_from(&reading.build.image_id);
        }
    }
}

/// Whether what is known of a build may be the container's. Ids prove it either way; of what was never pulled no digest
/// is known.
fn is_build_of(known: &Build, reading: &Reading) -> bool {
    let image = &reading.container.image;
    match (&known.image_id, known.digest()) {
        (Some(id), _) => *id == image.id,
        (None, Some(digest)) => {
            let mut digests = image.digests.iter().filter_map(|known| build::digest(known)).peekable();
            digests.peek().is_none() || digests.any(|known| known == digest)
        }
        (None, None) => true,
    }
}
