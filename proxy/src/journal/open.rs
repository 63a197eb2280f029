//! Records in progress.

/// Records in progress, however many, each at its place until it ends.
///
/// They are at most as many as the process has connections. The memory of one that ended is used for the next that begins, so
/// it is in the core's cache.
#[derive(Debug)]
pub(super) struct OpenRecords<P> {
    places: Vec<Option<Box<Open<P>>>>,
    vacant: Vec<usize>,
    /// To be used again, up to [`SPARE_MAX`](Self::SPARE_MAX).
    spare: Vec<Box<Open<P>>>,
}

/// A record in progress with its texts, one behind the other.
#[derive(Debug)]
pub(super) struct Open<P> {
    pub(super) packed: P,
    pub(super) texts: Vec<u8>,
}

impl<P: Copy> OpenRecords<P> {
    const SPARE_MAX: usize = 64;
    /// So much room for texts is kept with a spare record.
    const SPARE_TEXTS_MAX: usize = 256;

    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            vacant: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Begins a record, whose texts `write` adds. Gives its place.
    pub(super) fn begin(&mut self, packed: P, write: impl FnOnce(&mut Open<P>)) -> usize {
        let mut open = match self.spare.pop() {
            Some(mut open) => {
                open.packed = packed;
                open
            }
            None => Box::new(Open {
                packed,
                texts: Vec::new(),
            }),
        };
        write(&mut open);
        if let Some(place) = self.vacant.pop() {
            self.places[place] = Some(open);
            place
        } else {
            self.places.push(Some(open));
            self.places.len() - 1
        }
    }

    /// The record at this place.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Open<P>> {
        self.places.get_mut(place)?.as_deref_mut()
    }

    /// Ends the record at this place: `end` takes it over.
    pub(super) fn end(&mut self, place: usize, end: impl FnOnce(&mut Open<P>)) {
        let Some(mut open) = self.places.get_mut(place).and_then(Option::take) else {
            return;
        };
        self.vacant.push(place);
        end(&mut open);
        if self.spare.len() < Self::SPARE_MAX {
            if open.texts.capacity() > Self::SPARE_TEXTS_MAX {
                open.texts = Vec::new();
            }
            open.texts.clear();
            self.spare.push(open);
        }
    }

    /// Those among the first `count` places from `first` on, in no order; `None` behind the last place.
    pub(super) fn some(
        &self,
        first: usize,
        count: usize,
    ) -> Option<impl Iterator<Item = &Open<P>>> {
        let places = self
            .places
            .get(first..)
            .filter(|places| !places.is_empty())?;
        Some(places.iter().take(count).filter_map(Option::as_deref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(records: &OpenRecords<u64>) -> Vec<u64> {
        let open = records.some(0, usize::MAX).into_iter().flatten();
        open.map(|open| open.packed).collect()
    }

    #[test]
    fn a_record_is_at_its_place_until_it_ends_once() {
        let mut records = OpenRecords::new();
        let first = records.begin(1, |_| {});
        let second = records.begin(2, |open| open.texts.push(b'x'));
        let mut ended = Vec::new();
        for _ in 0..2 {
            records.end(first, |open| ended.push(open.packed));
        }

        let third = records.begin(3, |open| assert!(open.texts.is_empty()));

        assert_eq!(ended, [1]);
        assert_eq!(first, third, "its place is used again");
        assert_eq!(all(&records), [3, 2]);
        assert_eq!(records.at(second).unwrap().texts, b"x");
        assert!(records.some(2, 1).is_none());
    }
}
