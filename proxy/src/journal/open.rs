//! Connections that are open, each with its request in progress.

use std::sync::Arc;

use super::{
    attempt::PackedAttempt,
    connection::{ConnectionBytes, PackedConnection},
};

/// Open connections, however many, each at its place until it ends.
#[derive(Debug, Default)]
pub(super) struct OpenConnections {
    places: Vec<Option<Box<Open>>>,
    vacant: Vec<usize>,
}

/// An open connection. What its request changes is here too, in one piece: with hundreds of requests at a time it is cold
/// in the cache whenever one goes on.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: PackedConnection,
    pub(super) route: Arc<str>,
    /// What it has carried so far; none of a stream, which counts in its connection.
    pub(super) bytes: Option<Arc<ConnectionBytes>>,
    /// HTTP/1.1 has one at a time; a stream of HTTP/2, which has a place of its own, has one.
    pub(super) attempt: Option<InProgress>,
}

/// A request in progress, with its texts one behind the other.
#[derive(Debug)]
pub(super) struct InProgress {
    pub(super) packed: PackedAttempt,
    pub(super) texts: TextBuffer,
}

/// Texts one behind the other: in place as long as they are short, as most are.
#[derive(Debug)]
pub(super) struct TextBuffer {
    short: [u8; Self::SHORT],
    length: usize,
    /// All of them, once they are longer.
    long: Vec<u8>,
}

impl TextBuffer {
    const SHORT: usize = 80;

    pub(super) const fn new() -> Self {
        Self {
            short: [0; Self::SHORT],
            length: 0,
            long: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let behind = self.length + text.len();
        if let Some(room) = self.short.get_mut(self.length..behind) {
            room.copy_from_slice(text);
        } else {
            if self.long.is_empty() {
                self.long.extend_from_slice(&self.short[..self.length]);
            }
            self.long.extend_from_slice(text);
        }
        // Beyond the end of `short` no further text is written there.
        self.length = behind;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self.short.get(..self.length) {
            Some(short) => short,
            None => &self.long,
        }
    }
}

impl OpenConnections {
    /// Adds a connection. Gives its place.
    pub(super) fn add(&mut self, connection: PackedConnection, route: &Arc<str>) -> usize {
        let open = Box::new(Open {
            connection,
            route: Arc::clone(route),
            bytes: None,
            attempt: None,
        });
        if let Some(place) = self.vacant.pop() {
            self.places[place] = Some(open);
            place
        } else {
            self.places.push(Some(open));
            self.places.len() - 1
        }
    }

    /// The connection at this place.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Open> {
        self.places.get_mut(place)?.as_deref_mut()
    }

    /// Takes the connection at this place away.
    pub(super) fn remove(&mut self, place: usize) -> Option<Box<Open>> {
        let open = self.places.get_mut(place)?.take()?;
        self.vacant.push(place);
        Some(open)
    }

    /// Those among the first `count` places from `first` on, in no order; `None` behind the last place.
    pub(super) fn some(&self, first: usize, count: usize) -> Option<impl Iterator<Item = &Open>> {
        let places = self.places.get(first..).filter(|it| !it.is_empty())?;
        Some(places.iter().take(count).filter_map(Option::as_deref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(open: &OpenConnections) -> Vec<u64> {
        let all = open.some(0, usize::MAX).into_iter().flatten();
        all.map(|open| open.connection.number).collect()
    }

    #[test]
    fn texts_are_kept_in_order_however_long_they_are() {
        for lengths in [
            &[][..],
            &[80],
            &[81],
            &[79, 1, 1, 0, 5],
            &[3, 90, 2],
            &[40, 40, 0, 1],
        ] {
            let mut texts = TextBuffer::new();
            let mut expected = Vec::new();
            for (at, length) in lengths.iter().enumerate() {
                let text = vec![u8::try_from(at).unwrap(); *length];
                texts.push(&text);
                expected.extend(text);
                assert_eq!(texts.bytes(), expected);
            }
        }
    }

    #[test]
    fn a_connection_is_at_its_place_until_it_is_taken_away_once() {
        let connection = |number| PackedConnection::new(number, ([127, 0, 0, 1], 1).into(), 0);
        let mut open = OpenConnections::default();
        let first = open.add(connection(1), &Arc::from("web"));
        let second = open.add(connection(2), &Arc::from("web"));

        assert_eq!(open.remove(first).unwrap().connection.number, 1);
        assert!(open.remove(first).is_none() && open.at(first).is_none());
        let third = open.add(connection(3), &Arc::from("web"));

        assert_eq!(first, third, "its place is used again");
        assert_eq!(numbers(&open), [3, 2]);
        assert_eq!(&*open.at(second).unwrap().route, "web");
        assert!(open.some(2, 1).is_none());
    }
}
