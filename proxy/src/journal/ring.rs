//! Records in progress, and the last of those that ended.

use std::collections::VecDeque;

/// What a ring keeps.
pub(super) trait Entry: Default {
    /// The number of its end; ended records of a ring are in this order. 0 while it is in progress.
    fn seq(&self) -> u64;

    /// The number of its start.
    fn number(&self) -> u64;

    fn route(&self) -> &str;

    /// The ids of the faults that struck it.
    fn faults(&self) -> &[String] {
        &[]
    }
}

/// Records in progress, however many, and up to `capacity` that ended: the oldest makes room.
///
/// In progress are at most as many as the process has connections. The memory of a record is used again.
#[derive(Debug)]
pub(super) struct Ring<E> {
    capacity: usize,
    /// In progress, each at its place until it ends.
    open: Vec<Option<Box<E>>>,
    vacant: Vec<usize>,
    ended: VecDeque<Box<E>>,
    /// To be used again.
    spare: Vec<Box<E>>,
}

impl<E: Entry> Ring<E> {
    const SPARE_MAX: usize = 16;

    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            open: Vec::new(),
            vacant: Vec::new(),
            ended: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Begins a record that `fill` writes over what an older one left. Gives its place.
    pub(super) fn begin(&mut self, fill: impl FnOnce(&mut E)) -> usize {
        let mut entry = self.spare.pop().unwrap_or_default();
        fill(&mut entry);
        if let Some(at) = self.vacant.pop() {
            self.open[at] = Some(entry);
            at
        } else {
            self.open.push(Some(entry));
            self.open.len() - 1
        }
    }

    /// The record in progress at this place.
    pub(super) fn open_at(&mut self, at: usize) -> Option<&mut E> {
        self.open.get_mut(at)?.as_deref_mut()
    }

    /// Ends the record at this place, as `finish` says, which gives it its number.
    pub(super) fn end(&mut self, at: usize, finish: impl FnOnce(&mut E)) {
        let Some(mut entry) = self.open.get_mut(at).and_then(Option::take) else {
            return;
        };
        self.vacant.push(at);
        finish(&mut entry);
        if self.ended.len() >= self.capacity
            && let Some(oldest) = self.ended.pop_front()
            && self.spare.len() < Self::SPARE_MAX
        {
            self.spare.push(oldest);
        }
        self.ended.push_back(entry);
    }

    /// Those in progress, in no order.
    pub(super) fn open(&self) -> impl Iterator<Item = &E> {
        self.open.iter().filter_map(Option::as_deref)
    }

    /// Those that ended with a number from `from` to before `to`, in order.
    pub(super) fn ended(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = &E> {
        let first = self.ended.partition_point(|entry| entry.seq() < from);
        let behind = self.ended.partition_point(|entry| entry.seq() < to);
        self.ended
            .range(first..behind.max(first))
            .map(|entry| &**entry)
    }

    /// How many ended with a number from `from` to before `to`.
    pub(super) fn count(&self, from: u64, to: u64) -> usize {
        let first = self.ended.partition_point(|entry| entry.seq() < from);
        let behind = self.ended.partition_point(|entry| entry.seq() < to);
        behind.saturating_sub(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Number(u64);

    impl Entry for Number {
        fn seq(&self) -> u64 {
            self.0
        }

        fn number(&self) -> u64 {
            0
        }

        fn route(&self) -> &str {
            ""
        }
    }

    fn numbers(ring: &Ring<Number>) -> Vec<u64> {
        ring.ended(0, u64::MAX).map(|number| number.0).collect()
    }

    #[test]
    fn the_oldest_that_ended_makes_room_and_none_in_progress_does() {
        let mut ring = Ring::new(2);
        let held = ring.begin(|number: &mut Number| number.0 = 0);
        for seq in 1..=5 {
            let at = ring.begin(|number| number.0 = 0);
            ring.end(at, |number| number.0 = seq);
        }
        assert_eq!(numbers(&ring), [4, 5]);
        assert_eq!(ring.open().count(), 1);

        ring.end(held, |number| number.0 = 6);

        assert_eq!(numbers(&ring), [5, 6]);
        assert_eq!(ring.open().count(), 0);
        assert_eq!((ring.count(6, 7), ring.count(7, 6)), (1, 0));
    }

    #[test]
    fn a_place_that_is_not_in_progress_ends_nothing() {
        let mut ring = Ring::<Number>::new(2);
        let at = ring.begin(|_| {});
        ring.end(at, |number| number.0 = 1);

        ring.end(at, |number| number.0 = 2);

        assert_eq!(numbers(&ring), [1]);
        assert!(ring.open_at(at).is_none());
    }
}
