//! Finding the edge between what holds and what does not.

use super::Range;

/// One value that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its place in the range.
    pub place: u32,
    /// The value.
    pub value: f64,
    /// Whether everything held.
    pub holds: bool,
    /// What was observed, in words.
    pub observed: String,
}

/// What a sweep has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edge {
    /// It holds up to the first value, and not at the second, the next in the range.
    Above(f64, f64),
    /// It holds from the second value on, and not at the first.
    Below(f64, f64),
    /// It holds at both ends.
    Holds,
    /// It holds at neither.
    Fails,
}

/// Tries both ends, then the middle of what is not known, until one part of the range is left.
#[derive(Debug)]
pub struct Bisection {
    range: Range,
    points: Vec<Point>,
}

impl Bisection {
    /// Nothing is known of this range yet.
    #[must_use]
    pub fn of(range: Range) -> Self {
        Self {
            range,
            points: Vec::new(),
        }
    }

    /// The place to try next; none when the edge is known.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        for end in [0, Range::PARTS] {
            if !self.points.iter().any(|it| it.place == end) {
                return Some(end);
            }
        }
        let (low, high) = self.around()?;
        let middle = low.place.midpoint(high.place);
        // Values that are written alike are one.
        let is_new = |place: u32| {
            let value = self.range.at(place);
            value > low.value && value < high.value
        };
        (middle > low.place && is_new(middle)).then_some(middle)
    }

    /// The value at a place.
    #[must_use]
    pub fn value(&self, place: u32) -> f64 {
        self.range.at(place)
    }

    /// Keeps what was found at a place.
    pub fn tell(&mut self, place: u32, holds: bool, observed: String) {
        self.points.push(Point {
            place,
            value: self.range.at(place),
            holds,
            observed,
        });
        self.points.sort_by_key(|it| it.place);
    }

    /// What was tried, in the order of the values.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// What has been found; of both ends at least something must be known.
    #[must_use]
    pub fn edge(&self) -> Edge {
        match self.around() {
            Some((low, high)) if low.holds => Edge::Above(low.value, high.value),
            Some((low, high)) => Edge::Below(low.value, high.value),
            None if self.points.iter().all(|it| it.holds) => Edge::Holds,
            None => Edge::Fails,
        }
    }

    /// The first two neighbours of which one holds and the other does not.
    fn around(&self) -> Option<(&Point, &Point)> {
        let pairs = self.points.windows(2);
        let mut pairs = pairs.map(|pair| (&pair[0], &pair[1]));
        pairs.find(|(low, high)| low.holds != high.holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, holds: impl Fn(f64) -> bool) -> (Edge, usize) {
        let mut sweep = Bisection::of(Range::parse(text).unwrap());
        while let Some(place) = sweep.next() {
            let value = sweep.value(place);
            sweep.tell(place, holds(value), String::new());
        }
        (sweep.edge(), sweep.points().len())
    }

    #[test]
    fn the_edge_is_found_in_few_tries() {
        let (edge, tries) = find("50ms..2s", |value| value < 0.64);

        let Edge::Above(safe, breaks) = edge else {
            panic!("{edge:?}")
        };
        assert!(
            safe < 0.64 && breaks >= 0.64 && breaks / safe < 1.07,
            "{edge:?}"
        );
        assert_eq!(tries, 8);
    }

    #[test]
    fn it_may_be_the_lower_values_that_fail() {
        let (edge, _) = find("1..100", |value| value >= 37.0);

        assert!(
            matches!(edge, Edge::Below(low, high) if low < 37.0 && high >= 37.0),
            "{edge:?}"
        );
    }

    #[test]
    fn without_an_edge_only_the_ends_are_tried() {
        assert_eq!(find("1..100", |_| true), (Edge::Holds, 2));
        assert_eq!(find("1..100", |_| false), (Edge::Fails, 2));
    }
}
