//! Short texts that live about as long as a request, cut off blocks: one allocation serves several of them.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// A text that is kept keeps its whole block.
const BLOCK: usize = 2 * 1024;
/// What is longer has an allocation of its own.
const SHORT: usize = BLOCK / 4;

thread_local! {
    /// What is left of the block that is cut now.
    static REST: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A copy, to be shared in parts.
pub(crate) fn keep(text: &[u8]) -> Bytes {
    if text.len() > SHORT {
        return Bytes::copy_from_slice(text);
    }
    REST.with_borrow_mut(|rest| {
        if rest.capacity() < text.len() {
            *rest = BytesMut::with_capacity(BLOCK);
        }
        rest.extend_from_slice(text);
        rest.split().freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_as_they_were_however_many_follow() {
        let text = |number: usize| vec![b'a' + (number % 26) as u8; number * 7 % (SHORT + 9)];
        let kept: Vec<Bytes> = (0..200).map(|number| keep(&text(number))).collect();
        for (number, kept) in kept.iter().enumerate() {
            assert!(*kept == text(number), "{number}: {kept:?}");
        }
    }
}
