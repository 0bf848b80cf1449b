//! Polling what serves a connection, while its [`Life`] may be told something.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::life::{Ending, Life};

/// Polls a connection until it ends, and passes on what its [`Life`] is told. `None`: it was told to end now.
pub(super) async fn drive<C>(
    life: &Life,
    connection: &mut C,
    bid_farewell: impl Fn(Pin<&mut C>),
) -> Option<C::Output>
where
    C: Future + Unpin,
{
    // Whoever came while the worker was draining was told to close after its first request.
    let mut told = life.ending();
    while life.ending() != Ending::Now {
        let ended = or_told(life, told, Pin::new(&mut *connection)).await;
        if ended.is_some() {
            return ended;
        }
        told = life.ending();
        if told == Ending::Gently {
            bid_farewell(Pin::new(&mut *connection));
        }
    }
    None
}

/// Polls `future` until it ends, or until the connection is told something else than `told`. Then `None`; what had arrived by
/// that time has still been seen by `future`.
pub(super) async fn or_told<F: Future>(
    life: &Life,
    told: Ending,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let ended = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if life.ending() == told => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
    });
    match ended.await {
        Some(output) => Some(output),
        None => poll_again(future).await,
    }
}

/// Polls `future` until it ends, or until the connection is cut: then `None`. Being told to end gently is no reason to
/// break off.
pub(super) async fn unless_cut<F: Future>(life: &Life, mut future: Pin<&mut F>) -> Option<F::Output> {
    while life.ending() != Ending::Now {
        if let Some(output) = or_told(life, life.ending(), future.as_mut()).await {
            return Some(output);
        }
    }
    None
}

/// Polls `future` once, after the runtime has asked the system what has arrived.
pub(crate) async fn poll_again<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    tokio::task::yield_now().await;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
