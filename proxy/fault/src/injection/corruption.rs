//! Damage to bytes.

use bytes::{Bytes, BytesMut};

use crate::roll::Roll;

/// Damages the bytes of one body. The length never changes.
#[derive(Debug, Clone)]
pub struct Corruption {
    how: How,
    /// Bytes before this one are spared.
    offset: u64,
    roll: Roll,
    /// Bytes seen so far.
    seen: u64,
    /// The next byte that is damaged.
    next: u64,
    json: Json,
    has_damaged: bool,
}

/// How bytes are damaged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    /// One bit of a byte is turned, with this chance for each byte.
    Flip(f64),
    /// A byte becomes another, with this chance for each byte.
    Random(f64),
    /// The first colon or comma at this depth of a JSON text becomes a semicolon.
    Json(u64),
}

/// Where in a JSON text the reader is.
#[derive(Debug, Clone, Default)]
struct Json {
    depth: u64,
    in_text: bool,
    escaped: bool,
    done: bool,
}

impl Corruption {
    pub(crate) fn new(how: How, offset: u64, roll: Roll) -> Self {
        let mut made = Self {
            how,
            offset,
            roll,
            seen: 0,
            next: offset,
            json: Json::default(),
            has_damaged: false,
        };
        // The first byte that may be damaged is drawn for like any other.
        made.next = offset.saturating_add(made.gap());
        made
    }

    /// Whether a body of this length has a byte that it damages, as far as that is known beforehand.
    pub(crate) fn reaches(&self, body_bytes: u64) -> bool {
        match self.how {
            How::Flip(_) | How::Random(_) => self.next < body_bytes,
            How::Json(_) => self.offset < body_bytes,
        }
    }

    /// Whether it has damaged a byte.
    #[must_use]
    pub fn has_damaged(&self) -> bool {
        self.has_damaged
    }

    /// The next bytes of the body, damaged.
    pub fn apply(&mut self, bytes: Bytes) -> Bytes {
        let begin = self.seen;
        self.seen += bytes.len() as u64;
        match self.how {
            How::Json(depth) => self.break_json(bytes, begin, depth),
            How::Flip(_) | How::Random(_) if self.next >= self.seen => bytes,
            How::Flip(_) | How::Random(_) => {
                self.has_damaged = true;
                let mut damaged = BytesMut::from(bytes);
                while self.next < self.seen {
                    let at = usize::try_from(self.next - begin).unwrap_or(usize::MAX);
                    damaged[at] ^= self.mask();
                    self.next = self.next.saturating_add(1).saturating_add(self.gap());
                }
                damaged.freeze()
            }
        }
    }

    /// What changes a byte: never nothing.
    fn mask(&mut self) -> u8 {
        match self.how {
            How::Flip(_) | How::Json(_) => 1 << self.roll.up_to(7),
            How::Random(_) => u8::try_from(1 + self.roll.up_to(254)).unwrap_or(1),
        }
    }

    /// How many bytes are spared before the next damaged one: geometric, so that sparing costs nothing.
    fn gap(&mut self) -> u64 {
        let (How::Flip(rate) | How::Random(rate)) = self.how else {
            return u64::MAX;
        };
        if rate >= 1.0 {
            return 0;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "53 random bits, and the cast saturates"
        )]
        let gap = {
            let unit = ((self.roll.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
            (unit.ln() / (1.0 - rate).ln()) as u64
        };
        gap
    }

    fn break_json(&mut self, bytes: Bytes, begin: u64, depth: u64) -> Bytes {
        let Some(at) = self
            .json
            .find(&bytes, depth, self.offset.saturating_sub(begin))
        else {
            return bytes;
        };
        self.has_damaged = true;
        let mut damaged = BytesMut::from(bytes);
        damaged[at] = b';';
        damaged.freeze()
    }
}

impl Json {
    /// The place of the first colon or comma at `depth`, from the byte `from` on.
    fn find(&mut self, bytes: &[u8], depth: u64, from: u64) -> Option<usize> {
        if self.done {
            return None;
        }
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b':' | b',' if self.depth >= depth && at as u64 >= from => {
                    self.done = true;
                    return Some(at);
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::roll::Dice;

    fn damaged(how: How, offset: u64, body: &[u8], piece: usize) -> Vec<u8> {
        let mut corruption = Corruption::new(how, offset, Dice::new(1, "corrupt-1").roll(0));
        let pieces = body.chunks(piece);
        pieces
            .flat_map(|piece| corruption.apply(Bytes::copy_from_slice(piece)))
            .collect()
    }

    #[test]
    fn as_many_bytes_are_damaged_as_the_rate_says() {
        let body = vec![0; 1_000_000];

        let after = damaged(How::Flip(0.01), 0, &body, 4_096);

        let hit = after.iter().filter(|byte| **byte != 0).count();
        assert!((9_500..10_500).contains(&hit), "{hit} of a million");
        assert!(after.iter().all(|byte| byte.count_ones() <= 1));
    }

    #[test]
    fn bytes_before_the_offset_are_spared() {
        let after = damaged(How::Random(1.0), 10, &[7; 20], 3);

        assert_eq!(after[..10], [7; 10]);
        assert!(after[10..].iter().all(|byte| *byte != 7));
    }

    #[test]
    fn json_breaks_at_its_depth_and_not_inside_of_texts() {
        let body = br#"{"a,b:\"":1,"c":{"d":[1,2]}}"#;

        let outer = damaged(How::Json(1), 0, body, 2);
        let inner = damaged(How::Json(2), 0, body, 5);

        assert_eq!(outer, br#"{"a,b:\"";1,"c":{"d":[1,2]}}"#);
        assert_eq!(inner, br#"{"a,b:\"":1,"c":{"d";[1,2]}}"#);
        assert!(serde_json::from_slice::<serde_json::Value>(&inner).is_err());
    }

    proptest! {
        #[test]
        fn the_damage_does_not_depend_on_how_the_body_is_cut(
            body in prop::collection::vec(any::<u8>(), 0..500),
            pieces in 1_usize..100,
            rate in 0.001_f64..1.0,
        ) {
            let whole = damaged(How::Flip(rate), 3, &body, body.len().max(1));
            prop_assert_eq!(damaged(How::Flip(rate), 3, &body, pieces), whole);
        }
    }
}
