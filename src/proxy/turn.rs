//! The turns of a worker's event loop: what became ready is run, then it is asked what is ready now.

use std::future::poll_fn;
use std::task::Poll;

/// Lets all that is ready in this turn run first. Whoever has read something to pass on waits here: so messages are read one after
/// the other, then passed on one after the other, and a reader on another core that was asleep is woken once for many of them, not
/// for each. Waking is the most of what sending a small message costs.
///
/// Not [`tokio::task::yield_now`], which also waits until it was asked anew what is ready.
pub(super) async fn after_the_others() {
    let mut waited = false;
    poll_fn(|cx| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;

    use super::*;

    #[test]
    fn all_that_is_ready_is_read_before_anything_is_sent() {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).expect("a runtime");
        let done = Rc::new(RefCell::new(Vec::new()));
        runtime.block_on(async {
            let tasks: Vec<_> = (0..3)
                .map(|number| {
                    let done = done.clone();
                    spawn_local(async move {
                        done.borrow_mut().push(("read", number));
                        after_the_others().await;
                        done.borrow_mut().push(("sent", number));
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("ends");
            }
        });
        let order = [("read", 0), ("read", 1), ("read", 2), ("sent", 0), ("sent", 1), ("sent", 2)];
        assert_eq!(*done.borrow(), order);
    }
}
