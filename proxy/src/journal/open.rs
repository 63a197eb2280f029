//! Connections that are open, each with its request in progress.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{attempt::PackedAttempt, connection::PackedConnection};

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
    /// HTTP/1.1 has one at a time.
    pub(super) attempt: Option<InProgress>,
}

/// A request in progress, with its texts one behind the other.
#[derive(Debug)]
pub(super) struct InProgress {
    pub(super) packed: PackedAttempt,
    /// Few are longer.
    pub(super) texts: SmallVec<[u8; 72]>,
}

impl OpenConnections {
    /// Adds a connection. Gives its place.
    pub(super) fn add(&mut self, connection: PackedConnection, route: &Arc<str>) -> usize {
        let open = Box::new(Open {
            connection,
            route: Arc::clone(route),
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
