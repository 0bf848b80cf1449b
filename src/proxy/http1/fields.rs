//! Header fields as they stand in a head.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{BadHead, Bounds};

/// So many fields are added to a head on its way.
const OURS: usize = 8;
/// So many fields find their place on the stack.
const USUAL: usize = 100;

/// A body that says it is longer means something else.
const LONGEST: u64 = u64::MAX - 2;

/// Room for the fields of a head while it is read.
pub(super) type Room<'head> = [MaybeUninit<httparse::Header<'head>>];

/// What is known of a head that is whole.
pub(super) struct Whole<T> {
    /// Its bytes, no longer in the buffer.
    pub(super) bytes: Bytes,
    pub(super) line: T,
    pub(super) fields: Fields,
}

/// Where names and values stand in the head.
pub(super) struct Fields {
    few: [Spot; USUAL],
    /// Where there may be more than usual, all of them.
    many: Vec<Spot>,
    count: usize,
}

/// A name and a value, by where they begin and end.
#[derive(Clone, Copy, Default)]
struct Spot {
    name: (u32, u32),
    value: (u32, u32),
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

/// Reads a head with `read` once it may be whole, and takes it off the buffer. `None`: it is not whole yet. `seen`: so much of
/// the buffer was looked at before; a head that comes byte by byte is not read anew for each.
pub(super) fn take<T>(
    buffer: &mut BytesMut,
    seen: &mut usize,
    bounds: Bounds,
    read: impl for<'head> Fn(&'head [u8], &mut Room<'head>, &mut Fields) -> Result<Option<(usize, T)>, BadHead>,
) -> Result<Option<Whole<T>>, BadHead> {
    if *seen > 0 && !may_be_whole(buffer, *seen) {
        return wait(buffer, seen, bounds);
    }
    let mut fields = Fields::new(bounds.fields);
    let found = if bounds.fields <= USUAL {
        let mut room = [const { MaybeUninit::uninit() }; USUAL];
        read(buffer, &mut room[..bounds.fields], &mut fields)?
    } else {
        let mut room = vec![MaybeUninit::uninit(); bounds.fields];
        read(buffer, &mut room, &mut fields)?
    };
    match found {
        None => wait(buffer, seen, bounds),
        Some((length, _)) if length > bounds.bytes => Err(BadHead::TooLarge),
        Some((length, line)) => {
            *seen = 0;
            Ok(Some(Whole { bytes: buffer.split_to(length).freeze(), line, fields }))
        }
    }
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

impl Fields {
    fn new(most: usize) -> Self {
        let many = if most > USUAL { Vec::with_capacity(USUAL) } else { Vec::new() };
        Self { few: [Spot::default(); USUAL], many, count: 0 }
    }

    /// Notes where these stand in `head`, from which they were read.
    pub(super) fn note(&mut self, head: &[u8], read: &[httparse::Header<'_>]) -> Result<(), BadHead> {
        self.count = read.len();
        for (number, field) in read.iter().enumerate() {
            let spot = Spot { name: span(head, field.name.as_bytes())?, value: span(head, field.value)? };
            match self.few.get_mut(number) {
                Some(place) if self.many.capacity() == 0 => *place = spot,
                Some(_) | None => self.many.push(spot),
            }
        }
        Ok(())
    }

    fn spots(&self) -> &[Spot] {
        if self.many.capacity() == 0 { &self.few[..self.count] } else { &self.many }
    }

    /// Puts them into a map, but for what repeats a length or is overruled by a transfer coding (RFC 9112 section 6.3).
    pub(super) fn collect(&self, head: &Bytes) -> Result<(HeaderMap, Said), BadHead> {
        let mut map = HeaderMap::with_capacity(self.count + OURS);
        let mut said = Said::default();
        for spot in self.spots() {
            let name = HeaderName::from_bytes(slice(head, spot.name)).map_err(|_| BadHead::Malformed)?;
            let (from, to) = (index(spot.value.0), index(spot.value.1));
            let mut value =
                HeaderValue::from_maybe_shared(head.slice(from..to)).map_err(|_| BadHead::Malformed)?;
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

/// Where `part` stands in `head`.
pub(super) fn span(head: &[u8], part: &[u8]) -> Result<(u32, u32), BadHead> {
    let from = (part.as_ptr().addr()).wrapping_sub(head.as_ptr().addr());
    let inside = from.checked_add(part.len()).is_some_and(|to| to <= head.len());
    // An empty value may be a slice of its own.
    let (from, to) = if inside { (from, from + part.len()) } else { (0, 0) };
    let narrow = |at: usize| u32::try_from(at).map_err(|_| BadHead::TooLarge);
    Ok((narrow(from)?, narrow(to)?))
}

pub(super) fn slice(head: &Bytes, (from, to): (u32, u32)) -> &[u8] {
    &head[index(from)..index(to)]
}

pub(super) fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
