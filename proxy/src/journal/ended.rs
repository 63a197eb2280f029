//! The last records that ended, in the order of their ends.

use std::{collections::VecDeque, ops::Range};

use super::packed::Packed;

/// Up to `capacity` records: the oldest makes room.
///
/// They are written once, one behind the other, and a record that makes room is not touched: a request costs a few lines of
/// memory, next to those of the request before. Memory is taken by segments, and used again.
#[derive(Debug)]
pub(super) struct Ended<P> {
    capacity: usize,
    /// All but the last are full.
    segments: VecDeque<Segment<P>>,
    /// So many of the first segment have made room.
    gone: usize,
    len: usize,
    spare: Option<Segment<P>>,
}

#[derive(Debug)]
struct Segment<P> {
    records: Vec<Kept<P>>,
    /// Those of its records, in their order.
    texts: Vec<u8>,
}

#[derive(Debug)]
struct Kept<P> {
    packed: P,
    texts: Range<u32>,
}

impl<P: Packed> Ended<P> {
    /// Records in a segment.
    pub(super) const SEGMENT: usize = 256;

    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            segments: VecDeque::new(),
            gone: 0,
            len: 0,
            spare: None,
        }
    }

    /// Adds a record, whose number is higher than those before it.
    pub(super) fn push(&mut self, packed: &P, texts: &[u8]) {
        if self.len == self.capacity {
            self.make_room();
        }
        let is_full = |segment: &Segment<P>| segment.records.len() == Self::SEGMENT;
        if self.segments.back().is_none_or(is_full) {
            let segment = self.spare.take().unwrap_or_else(|| Segment {
                records: Vec::with_capacity(Self::SEGMENT),
                texts: Vec::new(),
            });
            self.segments.push_back(segment);
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.push(packed, texts);
            self.len += 1;
        }
    }

    fn make_room(&mut self) {
        self.gone += 1;
        self.len -= 1;
        if self.gone == Self::SEGMENT {
            self.gone = 0;
            self.spare = self.segments.pop_front().map(Segment::emptied);
        }
    }

    /// The record at this place, 0 for the oldest.
    fn at(&self, index: usize) -> (&P, &[u8]) {
        let index = self.gone + index;
        let segment = &self.segments[index / Self::SEGMENT];
        let Kept { packed, texts } = &segment.records[index % Self::SEGMENT];
        (
            packed,
            &segment.texts[texts.start as usize..texts.end as usize],
        )
    }

    /// Where the first record is whose number is not below `seq`.
    fn place_of(&self, seq: u64) -> usize {
        let mut places = 0..self.len;
        while !places.is_empty() {
            let middle = places.start + places.len() / 2;
            if self.at(middle).0.seq() < seq {
                places.start = middle + 1;
            } else {
                places.end = middle;
            }
        }
        places.start
    }

    fn places(&self, from: u64, to: u64) -> Range<usize> {
        let first = self.place_of(from);
        first..self.place_of(to).max(first)
    }

    /// Those with a number from `from` to before `to`, in order, each with its texts.
    pub(super) fn range(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = (&P, &[u8])> {
        self.places(from, to).map(|place| self.at(place))
    }

    /// How many have a number from `from` to before `to`.
    pub(super) fn count(&self, from: u64, to: u64) -> usize {
        self.places(from, to).len()
    }
}

impl<P: Copy> Segment<P> {
    fn push(&mut self, packed: &P, texts: &[u8]) {
        // Texts of a record are less than 2^17 bytes: a segment's have room in 2^32.
        let offset = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let start = offset(self.texts.len());
        self.texts.extend_from_slice(texts);
        self.records.push(Kept {
            packed: *packed,
            texts: start..offset(self.texts.len()),
        });
    }

    fn emptied(mut self) -> Self {
        self.records.clear();
        self.texts.clear();
        self
    }
}

#[cfg(test)]
impl<P> Ended<P> {
    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        let of = |segment: &Segment<P>| {
            segment.records.capacity() * size_of::<Kept<P>>() + segment.texts.capacity()
        };
        self.segments.iter().chain(&self.spare).map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::JournalQuery;

    #[derive(Debug, Clone, Copy)]
    struct Number(u64);

    impl Packed for Number {
        type Record = u64;

        fn seq(&self) -> u64 {
            self.0
        }

        fn is_asked_for(&self, _: &[u8], _: &JournalQuery) -> bool {
            true
        }

        fn unpack(&self, _: &[u8]) -> u64 {
            self.0
        }
    }

    fn numbers(ended: &Ended<Number>, from: u64, to: u64) -> Vec<u64> {
        ended.range(from, to).map(|(number, _)| number.0).collect()
    }

    #[test]
    fn the_oldest_makes_room_and_each_keeps_its_texts() {
        for capacity in [1, 2, 255, 256, 257, 600] {
            let mut ended = Ended::new(capacity);
            for seq in 1..=2_000_u64 {
                ended.push(&Number(seq), seq.to_string().as_bytes());

                let oldest = (seq + 1).saturating_sub(capacity as u64).max(1);
                assert_eq!(ended.count(0, u64::MAX) as u64, seq + 1 - oldest);
                let (first, texts) = ended.at(0);
                assert_eq!((first.0, texts), (oldest, oldest.to_string().as_bytes()));
            }
            assert_eq!(ended.range(0, 3_000).next_back().unwrap().0.0, 2_000);
        }
    }

    #[test]
    fn records_are_found_by_number_where_some_are_missing() {
        let mut ended = Ended::new(4);
        for seq in [2, 3, 5, 8, 13] {
            ended.push(&Number(seq), b"");
        }

        assert_eq!(numbers(&ended, 0, u64::MAX), [3, 5, 8, 13]);
        assert_eq!(numbers(&ended, 4, 13), [5, 8]);
        assert_eq!(numbers(&ended, 5, 5), [0; 0]);
        assert_eq!((ended.count(13, 14), ended.count(14, 13)), (1, 0));
    }

    #[test]
    fn memory_is_that_of_the_capacity_and_two_segments() {
        let mut ended = Ended::new(1_000);
        for seq in 1..=10_000 {
            ended.push(&Number(seq), &[b'x'; 100]);
        }

        // Texts grow by doubling.
        let most = (1_000 + 2 * Ended::<Number>::SEGMENT) * (size_of::<Kept<Number>>() + 200);
        assert!(ended.memory() <= most, "{} > {most}", ended.memory());
    }
}
