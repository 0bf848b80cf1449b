//! Where WebSocket's frames begin and end (RFC 6455 section 5.2): only their headers are looked at, nothing is unmasked
//! or copied. Between two frames, and nowhere else, a frame of our own can be put in.

/// Follows the frames of one direction.
#[derive(Debug)]
pub(super) struct Frames {
    at: At,
    closing: bool,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The first of a frame.
    Start,
    /// The second: whether the frame is masked, and how long it is.
    Second,
    /// So many more of a longer length; what they were so far.
    Length { more: u8, so_far: u64, key: u64 },
    /// So many more of masking key and payload.
    Payload(u64),
}

/// The opcode of a frame that says goodbye.
const CLOSE: u8 = 8;
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

/// Where in a piece of the stream to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upto {
    /// At its end.
    End,
    /// At the first end of a frame.
    Boundary,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { at: At::Start, closing: false }
    }

    /// Whether the last frame is whole.
    pub(super) fn at_boundary(&self) -> bool {
        self.at == At::Start
    }

    /// Whether a goodbye went this way, or is under way.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Follows these bytes and says how many of them it followed: all, unless told to stop before.
    pub(super) fn follow(&mut self, bytes: &[u8], upto: Upto) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            at += self.step(&bytes[at..]);
            if upto == Upto::Boundary && self.at_boundary() {
                return at;
            }
        }
        at
    }

    /// How far one step goes; at least one byte.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        match self.at {
            At::Start => {
                self.closing |= byte & 0x0F == CLOSE;
                self.at = At::Second;
            }
            At::Second => {
                let key = if byte & 0x80 == 0 { 0 } else { 4 };
                self.at = match byte & 0x7F {
                    126 => At::Length { more: 2, so_far: 0, key },
                    127 => At::Length { more: 8, so_far: 0, key },
                    short => Self::payload(u64::from(short), key),
                };
            }
            At::Length { more, so_far, key } => {
                let so_far = so_far << 8 | u64::from(byte);
                self.at = match more {
                    1 => Self::payload(so_far, key),
                    more => At::Length { more: more - 1, so_far, key },
                };
            }
            At::Payload(left) => {
                let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
                self.at = Self::payload(left - here, 0);
                return usize::try_from(here).unwrap_or(bytes.len());
            }
        }
        1
    }

    fn payload(length: u64, key: u64) -> At {
        match length.saturating_add(key) {
            0 => At::Start,
            left => At::Payload(left),
        }
    }
}

/// A server's goodbye.
pub(super) fn to_client() -> Vec<u8> {
    vec![0x80 | CLOSE, 2, GOING_AWAY[0], GOING_AWAY[1]]
}

/// A client's goodbye: masked, as all that clients send (section 5.3).
pub(super) fn to_endpoint(mask: [u8; 4]) -> Vec<u8> {
    let masked = [GOING_AWAY[0] ^ mask[0], GOING_AWAY[1] ^ mask[1]];
    [&[0x80 | CLOSE, 0x80 | 2][..], &mask, &masked].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// A frame with this opcode and so many bytes of payload.
    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let bit = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short), _) if short < 126 => frame.push(bit | short),
            (_, Ok(medium)) => {
                frame.push(bit | 126);
                frame.extend(medium.to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend(vec![0xFF; length + if masked { 4 } else { 0 }]);
        frame
    }

    proptest! {
        #[test]
        fn the_end_of_a_frame_is_found_however_the_stream_is_cut(
            length in 0_usize..70_000, masked in any::<bool>(), cut in 0_usize..80_000, opcode in 0_u8..16,
        ) {
            let bytes = frame(opcode, length, masked);
            let cut = cut % bytes.len();
            let mut frames = Frames::new();
            prop_assert_eq!(frames.follow(&bytes[..cut], Upto::End), cut);
            prop_assert_eq!(frames.at_boundary(), cut == 0);
            let rest = [&bytes[cut..], b"\x81"].concat();
            prop_assert_eq!(frames.follow(&rest, Upto::Boundary), bytes.len() - cut);
            prop_assert!(frames.at_boundary());
            prop_assert_eq!(frames.is_closing(), opcode == CLOSE);
        }

        #[test]
        fn no_bytes_are_too_strange_to_follow(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut frames = Frames::new();
            prop_assert_eq!(frames.follow(&bytes, Upto::End), bytes.len());
        }
    }

    #[test]
    fn a_length_beyond_all_measure_ends_nowhere() {
        let mut frames = Frames::new();
        frames.follow(&[&[0x82, 0xFF][..], &[0xFF; 8], &[0; 100]].concat(), Upto::End);
        assert!(!frames.at_boundary());
    }

    #[test]
    fn our_goodbyes_are_whole_frames_that_say_1001() {
        let mask = [1, 2, 3, 4];
        for bytes in [to_client(), to_endpoint(mask)] {
            let mut frames = Frames::new();
            assert_eq!(frames.follow(&bytes, Upto::Boundary), bytes.len());
            assert!(frames.is_closing());
        }
        assert_eq!(to_client(), [0x88, 2, 0x03, 0xE9]);
        assert_eq!(to_endpoint(mask), [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xE9 ^ 2]);
    }
}
