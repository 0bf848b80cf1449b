//! Says when the content of a file changed, however it was saved: written in place, renamed over, or behind a symlink
//! that was swapped (as Kubernetes does with ConfigMaps).

use std::collections::BTreeSet;
use std::fs;
use std::hash::Hasher;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use siphasher::sip::SipHasher13;
use tokio::sync::Notify;

use super::{LARGEST, LoadError, Problem};
use crate::clock::Clock;
use crate::config::spec::Spec;
use crate::domain::Timestamp;

/// A save is over when nothing happened for so long.
const QUIET: Duration = Duration::from_millis(250);
/// A folder in which something happens all the time is looked at nevertheless.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The net below: some file systems (NFS, FUSE) tell nobody about changes.
const POLL: Duration = Duration::from_secs(5);
/// As many symlinks as Linux follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Watches a file. Make it before the file is first loaded, so that no change is missed.
#[derive(Debug)]
pub struct Watcher {
    /// As it was given.
    named: PathBuf,
    path: PathBuf,
    clock: Clock,
    content: Content,
    /// Something happened in one of the folders; many happenings wake once.
    stirred: Arc<Notify>,
    /// `None` when the system offers no watching (or no more of it): the poll remains.
    system: Option<RecommendedWatcher>,
    /// Something happened, and the content was not looked at since.
    unseen: bool,
}

/// What a file holds, as far as change is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Hash(u64),
    Unreadable(io::ErrorKind),
}

impl Watcher {
    /// Watches `path`, which need not exist. What it holds now is not a change.
    pub fn new(path: &Path, clock: Clock) -> Self {
        let named = path.to_owned();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let stirred = Arc::new(Notify::new());
        let system = system_watcher(stirred.clone());
        let content = Content::of(&path);
        let mut watcher = Self { named, path, clock, content, stirred, system, unseen: false };
        watcher.watch_folders();
        // What was written while the watches were set up has told nobody.
        watcher.unseen = true;
        watcher
    }

    /// Returns when the content changed: also when the file vanished, came back, or became readable. Look at the file
    /// then; whatever happens after that makes the next call return. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            self.stirred().await;
            if self.settled().await {
                return;
            }
        }
    }

    /// Reads the config as it is now. What the file holds then is no change any more: a command to reload it that comes with
    /// a save must not have it read a second time. Meanwhile other tasks of this thread go on.
    ///
    /// # Errors
    /// As [`load`](super::load).
    pub async fn load(&mut self) -> Result<Spec, LoadError> {
        let path = self.named.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let bytes = super::read(&path);
            let content = bytes.as_deref().ok().map(Content::hash);
            (content, super::meaning(&path, bytes))
        });
        match loading.await {
            Ok((content, meaning)) => {
                self.content = content.unwrap_or(self.content);
                meaning
            }
            Err(broken) => {
                let problem = Problem::Unreadable(io::Error::other(broken));
                Err(LoadError { path: self.named.clone(), problem })
            }
        }
    }

    /// Returns when something may have happened.
    async fn stirred(&mut self) {
        if self.unseen {
            return;
        }
        let poll = self.clock.now() + POLL;
        tokio::select! {
            () = self.stirred.notified() => {}
            () = self.clock.sleep_until(poll) => {}
        }
        self.unseen = true;
    }

    /// Waits until nothing more happens; returns whether the content is another one.
    async fn settled(&mut self) -> bool {
        let no_longer = self.clock.now() + LONGEST_WAIT;
        while self.stirs_before(no_longer.min(self.clock.now() + QUIET)).await {}
        // Before the content is read: a folder that is new by now must not change unwatched after that.
        self.watch_folders();
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Content::of(&path)).await;
        self.unseen = false;
        let content = read.unwrap_or(Content::Unreadable(io::ErrorKind::Other));
        std::mem::replace(&mut self.content, content) != content
    }

    /// Whether something happens before `at`.
    async fn stirs_before(&self, at: Timestamp) -> bool {
        tokio::select! {
            biased;
            () = self.clock.sleep_until(at) => false,
            () = self.stirred.notified() => true,
        }
    }

    /// Watches the folders in which a change could show. Those of earlier calls stay watched; a folder that was replaced
    /// by another of its name is watched anew.
    fn watch_folders(&mut self) {
        let Some(system) = &mut self.system else {
            return;
        };
        for folder in folders(&self.path) {
            // A folder that is not there (or not for us) is found again by the poll.
            if let Err(error) = system.watch(&folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), %error, "not watched, only polled");
            }
        }
    }
}

/// Wakes `stirred` for all that may be a change.
fn system_watcher(stirred: Arc<Notify>) -> Option<RecommendedWatcher> {
    let told = move |event: notify::Result<Event>| {
        // An error may have cost events.
        if event.map_or(true, |event| may_be_a_change(event.kind)) {
            stirred.notify_one();
        }
    };
    notify::recommended_watcher(told)
        .inspect_err(
            |error| tracing::warn!(%error, "no file watching here: the config is looked at every 5 s"),
        )
        .ok()
}

/// Reading is no change: else our own look at the file would wake us.
fn may_be_a_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// The folder of the file, and those of all symlinks on the way to it.
fn folders(path: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut reached = PathBuf::new();
    let mut ahead: Vec<PathBuf> = parts(path);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        let step = if part.as_os_str() == ".." {
            reached.parent().unwrap_or(&reached).to_owned()
        } else {
            reached.join(&part)
        };
        match fs::read_link(&step) {
            Ok(target) if links < MOST_LINKS => {
                links += 1;
                folders.insert(reached.clone());
                ahead.extend(parts(&target));
            }
            _ => reached = step,
        }
    }
    folders.extend(reached.parent().map(Path::to_owned));
    folders.into_iter().filter(|folder| folder.is_dir()).collect()
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let here = |part: &Component<'_>| *part != Component::CurDir;
    path.components().rev().filter(here).map(|part| PathBuf::from(part.as_os_str())).collect()
}

impl Content {
    fn of(path: &Path) -> Self {
        Self::read(path).unwrap_or_else(|error| Self::Unreadable(error.kind()))
    }

    fn read(path: &Path) -> io::Result<Self> {
        // Opening a named pipe would wait for a writer.
        if !fs::metadata(path)?.is_file() {
            return Ok(Self::Unreadable(io::ErrorKind::InvalidInput));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(Self::hash(&bytes))
    }

    fn hash(bytes: &[u8]) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(bytes);
        Self::Hash(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;
    use crate::clock::Manual;

    /// Long enough for any machine: a test that waits so long has failed.
    const FAILED: Duration = Duration::from_secs(60);

    /// A watched file `adit.toml`, on a clock that stands still: the poll never comes by itself, so what is noticed
    /// was told by the system.
    struct Watched {
        folder: TempDir,
        watcher: Watcher,
        clock: Arc<Manual>,
    }

    impl Watched {
        /// `prepare` puts `adit.toml` into the folder.
        async fn with(prepare: impl FnOnce(&Path)) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            prepare(folder.path());
            let (clock, manual) = Clock::manual(Timestamp::default());
            let watcher = Watcher::new(&folder.path().join("adit.toml"), clock);
            let mut watched = Self { folder, watcher, clock: manual };
            assert!(!watched.settled().await, "what the file held from the start is no change");
            watched
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Waits until the system tells of something.
        async fn noticed(&mut self) {
            timeout(FAILED, self.watcher.stirred()).await.expect("the system tells of a change");
        }

        /// Lets the debounce pass; whether the content changed.
        async fn settled(&mut self) -> bool {
            let clock = self.clock.clone();
            let (changed, ()) = tokio::join!(self.watcher.settled(), async { clock.advance(LONGEST_WAIT) });
            changed
        }
    }

    fn write(path: &Path, text: &str) {
        fs::write(path, text).expect("the file is written");
    }

    fn plain(folder: &Path) {
        write(&folder.join("adit.toml"), "1");
    }

    /// As the kubelet lays out a ConfigMap.
    fn config_map(folder: &Path) {
        fs::create_dir(folder.join("..1")).expect("a folder");
        write(&folder.join("..1/adit.toml"), "1");
        symlink("..1", folder.join("..data")).expect("a link");
        symlink("..data/adit.toml", folder.join("adit.toml")).expect("a link");
    }

    #[tokio::test]
    async fn a_file_renamed_over_is_a_change() {
        let mut watched = Watched::with(plain).await;
        write(&watched.path("new"), "2");
        fs::rename(watched.path("new"), watched.path("adit.toml")).expect("renamed");
        watched.noticed().await;
        assert!(watched.settled().await);
    }

    #[tokio::test]
    async fn a_write_in_place_is_a_change() {
        let mut watched = Watched::with(plain).await;
        write(&watched.path("adit.toml"), "2");
        watched.noticed().await;
        assert!(watched.settled().await);
    }

    #[tokio::test]
    async fn the_same_content_again_is_no_change() {
        let mut watched = Watched::with(plain).await;
        write(&watched.path("adit.toml"), "1");
        watched.noticed().await;
        assert!(!watched.settled().await);
    }

    #[tokio::test]
    async fn what_was_loaded_meanwhile_is_no_change() {
        let mut watched = Watched::with(plain).await;
        write(&watched.path("adit.toml"), "2");
        watched.watcher.load().await.expect_err("that is no config");
        watched.noticed().await;
        assert!(!watched.settled().await, "it would be read a second time");
        write(&watched.path("adit.toml"), "3");
        watched.noticed().await;
        assert!(watched.settled().await);
    }

    #[tokio::test]
    async fn a_config_map_that_is_swapped_is_a_change_every_time() {
        let mut watched = Watched::with(config_map).await;
        for (old, new) in [("..1", "..2"), ("..2", "..3"), ("..3", "..4")] {
            fs::create_dir(watched.path(new)).expect("a folder");
            write(&watched.path(new).join("adit.toml"), new);
            symlink(new, watched.path("..data_tmp")).expect("a link");
            fs::rename(watched.path("..data_tmp"), watched.path("..data")).expect("renamed");
            fs::remove_dir_all(watched.path(old)).expect("removed");
            watched.noticed().await;
            assert!(watched.settled().await, "{new}");
        }
    }

    #[tokio::test]
    async fn a_change_behind_a_symlink_to_another_folder_is_seen() {
        let elsewhere = tempfile::tempdir().expect("a folder");
        let file = elsewhere.path().join("file");
        write(&file, "1");
        let mut watched =
            Watched::with(|folder| symlink(&file, folder.join("adit.toml")).expect("a link")).await;
        write(&file, "2");
        watched.noticed().await;
        assert!(watched.settled().await);
    }

    #[tokio::test]
    async fn a_file_that_vanishes_and_comes_back_changes_twice() {
        let mut watched = Watched::with(plain).await;
        fs::remove_file(watched.path("adit.toml")).expect("removed");
        watched.noticed().await;
        assert!(watched.settled().await);
        write(&watched.path("adit.toml"), "1");
        watched.noticed().await;
        assert!(watched.settled().await);
    }

    #[test]
    fn our_own_look_at_the_file_is_not_taken_for_a_change() {
        let access = |mode| EventKind::Access(mode);
        assert!(!may_be_a_change(access(AccessKind::Open(AccessMode::Any))));
        assert!(!may_be_a_change(access(AccessKind::Close(AccessMode::Read))));
        assert!(may_be_a_change(access(AccessKind::Close(AccessMode::Write))));
        assert!(may_be_a_change(EventKind::Create(notify::event::CreateKind::File)));
    }

    #[tokio::test]
    async fn where_the_system_tells_nothing_the_poll_finds_the_change() {
        let mut watched = Watched::with(plain).await;
        watched.watcher.system = None;
        write(&watched.path("adit.toml"), "2");
        let clock = watched.clock.clone();
        let ((), ()) = tokio::join!(watched.watcher.stirred(), async { clock.advance(POLL) });
        assert!(watched.settled().await);
    }

    #[tokio::test]
    async fn a_change_survives_that_the_wait_for_it_is_given_up() {
        let mut watched = Watched::with(plain).await;
        write(&watched.path("adit.toml"), "2");
        watched.noticed().await;
        tokio::select! {
            biased;
            () = watched.watcher.changed() => panic!("the clock stands still"),
            () = std::future::ready(()) => {}
        }
        watched.noticed().await;
        assert!(watched.settled().await);
    }

    #[tokio::test]
    async fn a_folder_replaced_by_another_is_watched_again() {
        let mut watched = Watched::with(|folder| {
            fs::create_dir(folder.join("inner")).expect("a folder");
            write(&folder.join("inner/adit.toml"), "1");
            symlink("inner/adit.toml", folder.join("adit.toml")).expect("a link");
        })
        .await;
        fs::remove_dir_all(watched.path("inner")).expect("removed");
        fs::create_dir(watched.path("inner")).expect("a folder");
        write(&watched.path("inner/adit.toml"), "2");
        watched.noticed().await;
        assert!(watched.settled().await);
        // More often than what happened above can still wake the watcher.
        for round in 0..50 {
            write(&watched.path("inner/adit.toml"), &format!("round {round}"));
            watched.noticed().await;
            assert!(watched.settled().await, "round {round}");
        }
    }

    #[tokio::test]
    async fn on_a_real_clock_a_save_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adit.toml");
        write(&path, "1");
        let mut watcher = Watcher::new(&path, Clock::real());
        write(&folder.path().join("new"), "2");
        fs::rename(folder.path().join("new"), &path).expect("renamed");
        timeout(FAILED, watcher.changed()).await.expect("the change is told");
        assert_eq!(watcher.content, Content::of(&path));
    }

    #[test]
    fn the_folder_of_every_symlink_on_the_way_is_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("the folder is there");
        for name in ["a", "b", "b/c", "d"] {
            fs::create_dir(root.join(name)).expect("a folder");
        }
        write(&root.join("b/c/file"), "1");
        symlink("../b/link", root.join("a/adit.toml")).expect("a link");
        symlink(root.join("d/c/./file"), root.join("b/link")).expect("a link");
        symlink("../b/c", root.join("d/c")).expect("a link");
        let expected = ["a", "b", "b/c", "d"].map(|name| root.join(name));
        assert_eq!(folders(&root.join("a/adit.toml")), BTreeSet::from(expected));
    }

    #[test]
    fn a_symlink_to_itself_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adit.toml");
        symlink("adit.toml", &path).expect("a link");
        assert!(folders(&path).contains(folder.path()));
        assert!(matches!(Content::of(&path), Content::Unreadable(_)));
    }
}
