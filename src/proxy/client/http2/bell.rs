//! Who is to be polled next. What a connection's task does itself would wake it again: a bell that rings while somebody
//! is at it is heard at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Rung by all that a connection waits for. Wakers may be used on any thread; these hardly ever are.
#[derive(Default)]
pub(super) struct Bell {
    /// Somebody is polling, and asks afterwards whether it rang.
    attended: AtomicBool,
    /// There is something to do for the connection itself: to read, to write, to ask.
    called: AtomicBool,
    woken: Mutex<Woken>,
}

#[derive(Default)]
struct Woken {
    task: Option<Waker>,
    /// Places of streams that want to be polled.
    places: Vec<usize>,
}

/// Rings for one stream's place, whichever stream has it.
pub(super) struct PlaceBell {
    bell: Arc<Bell>,
    place: usize,
    queued: AtomicBool,
}

impl Bell {
    /// From now until [`Self::leave`] nobody needs to wake `task`.
    pub(super) fn attend(&self, task: &Waker) {
        self.attended.store(true, Ordering::SeqCst);
        let mut woken = self.lock();
        if !woken.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            woken.task = Some(task.clone());
        }
    }

    /// Whether the connection itself has something to do, as opposed to its streams. Asked once: it is done now.
    pub(super) fn take_call(&self) -> bool {
        self.called.swap(false, Ordering::SeqCst)
    }

    /// Whether anybody has something to do.
    pub(super) fn has_rung(&self) -> bool {
        self.called.load(Ordering::SeqCst) || !self.lock().places.is_empty()
    }

    /// Nobody looks any more: if there is something to look at, the task is to be polled again.
    pub(super) fn leave(&self) {
        self.attended.store(false, Ordering::SeqCst);
        if self.has_rung() {
            self.wake_task();
        }
    }

    /// Exchanges the places that rang for an empty list.
    pub(super) fn take_places(&self, places: &mut Vec<usize>) {
        std::mem::swap(&mut self.lock().places, places);
    }

    /// They have not been looked at after all.
    pub(super) fn put_back(&self, places: &[usize]) {
        self.lock().places.extend(places);
    }

    /// The connection itself is to be polled.
    pub(super) fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn ring(&self) {
        if !self.attended.load(Ordering::SeqCst) {
            self.wake_task();
        }
    }

    fn wake_task(&self) {
        if let Some(task) = &self.lock().task {
            task.wake_by_ref();
        }
    }

    /// Nothing is left half done by a panic.
    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.call();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.call();
    }
}

impl PlaceBell {
    pub(super) fn new(bell: &Arc<Bell>, place: usize) -> Arc<Self> {
        Arc::new(Self { bell: bell.clone(), place, queued: AtomicBool::new(false) })
    }

    /// It is about to be polled: from now on it can ring again.
    pub(super) fn heard(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }
}

impl Wake for PlaceBell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.bell.lock().places.push(self.place);
            self.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn attended() -> (Arc<Bell>, Arc<Woken>) {
        let (bell, woken) = (Arc::<Bell>::default(), Arc::<Woken>::default());
        bell.attend(&woken.clone().into());
        (bell, woken)
    }

    fn places(bell: &Bell) -> Vec<usize> {
        let mut places = Vec::new();
        bell.take_places(&mut places);
        places
    }

    #[test]
    fn whoever_attends_is_not_woken_and_hears_it() {
        let (bell, woken) = attended();
        PlaceBell::new(&bell, 7).wake();
        assert!(bell.has_rung());
        assert_eq!(places(&bell), [7]);
        bell.leave();
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn what_rings_at_the_last_moment_or_later_wakes() {
        let (bell, woken) = attended();
        let place = PlaceBell::new(&bell, 7);
        place.wake_by_ref();
        bell.leave();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(places(&bell), [7]);
        bell.clone().wake();
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_a_stream_has_to_do_is_not_the_connections_business() {
        let (bell, _woken) = attended();
        PlaceBell::new(&bell, 7).wake();
        assert!(!bell.take_call() && bell.has_rung());
        bell.clone().wake();
        assert!(bell.take_call() && !bell.take_call());
    }

    #[test]
    fn a_place_is_listed_once_until_it_was_heard() {
        let (bell, _woken) = attended();
        let place = PlaceBell::new(&bell, 7);
        place.wake_by_ref();
        place.wake_by_ref();
        assert_eq!(places(&bell), [7]);
        place.heard();
        place.wake_by_ref();
        assert_eq!(places(&bell), [7]);
    }
}
