//! Header fields as they stand in a head.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{BadHead, Bounds};
use crate::proxy::block::keep;

/// So many fields are added to most heads on their way, at the most.
const OURS: usize = 2;
/// So many fields find their place on the stack.
const USUAL: usize = 100;

/// A body that says it is longer means something else.
const LONGEST: u64 = u64::MAX - 2;

/// Room for the fields of a head while it is read.
pub(super) type Room<'head> = [MaybeUninit<httparse::Header<'head>>];

/// A head that is whole, and a copy of it that stays when the buffer goes on.
pub(super) struct Whole<'head> {
    read: &'head [u8],
    kept: Bytes,
}

/// What a head says of the connection and the body that follows.
#[derive(Default)]
pub(super) struct Said {
    pub(super) length: Option<Length>,
    pub(super) coding: Option<Coding>,
    pub(super) closes: bool,
    pub(super) keeps: bool,
}

/// What `Content-Length` says, all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Of(u64),
    /// No number, or two different ones.
    Bad,
}

/// What `Transfer-Encoding` ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Chunked,
    Other,
}

/// Reads a head with `read` once it may be whole, and takes as much off the buffer as that says. `None`: it is not whole yet.
/// `seen`: so much of the buffer was looked at before; a head that comes byte by byte is not read anew for each.
pub(super) fn take<T>(
    buffer: &mut BytesMut,
    seen: &mut usize,
    bounds: Bounds,
    read: impl for<'head> FnOnce(&'head [u8], &mut Room<'head>) -> Result<Option<(usize, T)>, BadHead>,
) -> Result<Option<T>, BadHead> {
    if *seen > 0 && !may_be_whole(buffer, *seen) {
        return wait(buffer, seen, bounds);
    }
    let found = if bounds.fields <= USUAL {
        let mut room = [const { MaybeUninit::uninit() }; USUAL];
        read(buffer, &mut room[..bounds.fields])?
    } else {
        let mut room = vec![MaybeUninit::uninit(); bounds.fields];
        read(buffer, &mut room)?
    };
    let Some((length, head)) = found else { return wait(buffer, seen, bounds) };
    *seen = 0;
    buffer.advance(length);
    Ok(Some(head))
}

fn wait<T>(buffer: &BytesMut, seen: &mut usize, bounds: Bounds) -> Result<Option<T>, BadHead> {
    *seen = buffer.len();
    if buffer.len() >= bounds.bytes { Err(BadHead::TooLarge) } else { Ok(None) }
}

/// Whether an empty line stands behind what was seen. Lines may end in LF alone (RFC 9112 section 2.2).
fn may_be_whole(buffer: &[u8], seen: usize) -> bool {
    let fresh = &buffer[seen.saturating_sub(3)..];
    fresh.windows(2).any(|two| two == b"\n\n") || fresh.windows(3).any(|three| three == b"\n\r\n")
}

impl<'head> Whole<'head> {
    /// The first `length` bytes of what was `read`.
    pub(super) fn keep(read: &'head [u8], length: usize, bounds: Bounds) -> Result<Self, BadHead> {
        if length > bounds.bytes {
            return Err(BadHead::TooLarge);
        }
        Ok(Self { read, kept: keep(&read[..length]) })
    }

    /// A part of what was read, to stay.
    pub(super) fn cut(&self, part: &[u8]) -> Bytes {
        let from = part.as_ptr().addr().wrapping_sub(self.read.as_ptr().addr());
        let to = from.saturating_add(part.len());
        // An empty value may be a slice of its own.
        if to <= self.kept.len() { self.kept.slice(from..to) } else { Bytes::new() }
    }

    /// Puts its fields into a map, but for what repeats a length or is overruled by a transfer coding (RFC 9112 section 6.3).
    pub(super) fn collect(&self, fields: &[httparse::Header<'_>]) -> Result<(HeaderMap, Said), BadHead> {
        let mut map = HeaderMap::with_capacity(fields.len() + OURS);
        let mut said = Said::default();
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadHead::Malformed)?;
            let mut value =
                HeaderValue::from_maybe_shared(self.cut(field.value)).map_err(|_| BadHead::Malformed)?;
            if name == CONTENT_LENGTH {
                if said.take_length(&value) == Repeated::Yes {
                    continue;
                }
                if let Some(Length::Of(length)) = said.length
                    && value.as_bytes().contains(&b',')
                {
                    // Not everybody takes a list for what it says.
                    value = HeaderValue::from(length);
                }
            } else if name == TRANSFER_ENCODING {
                said.coding = Some(coding(&value));
            } else if name == CONNECTION {
                said.closes |= names(&value, "close");
                said.keeps |= names(&value, "keep-alive");
            }
            map.append(name, value);
        }
        if said.coding.is_some() && said.length.is_some() {
            map.remove(CONTENT_LENGTH);
        }
        Ok((map, said))
    }
}

#[derive(PartialEq, Eq)]
enum Repeated {
    Yes,
    No,
}

impl Said {
    fn take_length(&mut self, value: &HeaderValue) -> Repeated {
        let length = Length::of(value.as_bytes());
        match self.length {
            None => {
                self.length = Some(length);
                Repeated::No
            }
            Some(before) => {
                if before != length {
                    self.length = Some(Length::Bad);
                }
                Repeated::Yes
            }
        }
    }

    /// Whether the connection is to be kept, if it was said in this version.
    pub(super) fn keeps_alive(&self, version: http::Version) -> bool {
        !self.closes && (version == http::Version::HTTP_11 || self.keeps)
    }
}

impl Length {
    /// Digits and nothing else (RFC 9110 section 8.6); a list of the same number is as good.
    fn of(value: &[u8]) -> Self {
        let mut numbers = value.split(|byte| *byte == b',').map(|part| digits(part.trim_ascii()));
        let first = numbers.next().flatten();
        match first {
            Some(number) if number <= LONGEST && numbers.all(|other| other == first) => Self::Of(number),
            Some(_) | None => Self::Bad,
        }
    }
}

/// Neither a sign nor nothing is a number here (CVE-2021-32715).
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Of several lines the last says how the message ends.
fn coding(value: &HeaderValue) -> Coding {
    let last = value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
    if last.trim_ascii().eq_ignore_ascii_case(b"chunked") { Coding::Chunked } else { Coding::Other }
}

/// Whether a list has this word.
pub(crate) fn names(value: &HeaderValue, word: &str) -> bool {
    let mut words = value.as_bytes().split(|byte| *byte == b',');
    words.any(|it| it.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}
