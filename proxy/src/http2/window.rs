//! How much a stream may be sent before it is read: little at first, more while its reader keeps up (RFC 9113 §5.2).
//!
//! `h2` knows one window for all streams of a connection, which SETTINGS change. So it grows while a stream is read as fast as it
//! comes, and shrinks as there are more streams. What all of them may be sent together is the connection's window, which stays.

use std::{cell::Cell, rc::Rc};

use super::{CONNECTION_WINDOW, STREAM_WINDOW, STREAM_WINDOW_MAX, STREAM_WINDOW_MIN, io::Turns};

/// The window of the streams of one connection.
#[derive(Debug)]
pub(super) struct Windows {
    turns: Rc<Turns>,
    /// As the other side was told.
    told: Cell<u32>,
    /// As it should be.
    wanted: Cell<u32>,
    /// Streams that are open.
    streams: Cell<usize>,
}

/// What was read of one stream since its window was large enough for it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    bytes: usize,
}

impl Windows {
    pub(super) fn new(turns: &Rc<Turns>) -> Rc<Self> {
        Rc::new(Self {
            turns: Rc::clone(turns),
            told: Cell::new(STREAM_WINDOW),
            wanted: Cell::new(STREAM_WINDOW),
            streams: Cell::new(0),
        })
    }

    /// Those of the connection.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The window that the other side is to be told; `None` if it knows.
    pub(super) fn news(&self) -> Option<u32> {
        let wanted = self.wanted.get();
        (wanted != self.told.get()).then_some(wanted)
    }

    /// As it should be.
    pub(super) fn wanted(&self) -> u32 {
        self.wanted.get()
    }

    /// Notes that the other side is told this one.
    pub(super) fn tell(&self, window: u32) {
        self.told.set(window);
    }

    pub(super) fn opens_stream(&self) {
        self.streams.set(self.streams.get() + 1);
        let most = most(self.streams.get());
        if self.wanted.get() > most {
            self.set(most);
        }
    }

    pub(super) fn closes_stream(&self) {
        self.streams.set(self.streams.get() - 1);
        let least = STREAM_WINDOW.min(most(self.streams.get()));
        if self.wanted.get() < least {
            self.set(least);
        }
    }

    /// Notes that `bytes` of a stream were read. `keeps_up`: it has been sent nothing that was not read.
    pub(super) fn read(&self, reading: &mut Reading, bytes: usize, keeps_up: bool) {
        reading.bytes += bytes;
        let wanted = self.wanted.get();
        if !keeps_up || reading.bytes < wanted as usize {
            return;
        }
        // So much was read without a pause: there could have been more of it on its way.
        reading.bytes = 0;
        let larger = (2 * wanted).min(most(self.streams.get()));
        if larger > wanted && self.news().is_none() {
            self.set(larger);
        }
    }

    fn set(&self, window: u32) {
        self.wanted.set(window);
        self.turns.wake();
    }
}

/// The largest window of each of so many streams. Those that grew leave half of the connection's window to the others; with very
/// many streams there is less for each than at the beginning.
fn most(streams: usize) -> u32 {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX).max(1);
    let grown = below(CONNECTION_WINDOW / 2 / streams).min(STREAM_WINDOW_MAX);
    let shared = below(CONNECTION_WINDOW / streams).clamp(STREAM_WINDOW_MIN, STREAM_WINDOW);
    grown.max(shared)
}

/// The largest power of two up to this.
fn below(bytes: u32) -> u32 {
    match bytes {
        0 => 0,
        bytes => 1 << bytes.ilog2(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1024;

    fn windows() -> Rc<Windows> {
        Windows::new(&Rc::default())
    }

    #[test]
    fn a_reader_that_keeps_up_gets_more_up_to_a_bound() {
        let windows = windows();
        windows.opens_stream();
        let mut reading = Reading::default();
        let mut told = vec![STREAM_WINDOW];
        for _ in 0..10_000 {
            windows.read(&mut reading, 16 * 1024, true);
            if let Some(window) = windows.news() {
                windows.tell(window);
                told.push(window);
            }
        }

        let doubled: Vec<u32> = (0..7).map(|it| STREAM_WINDOW << it).collect();
        assert_eq!(told, doubled);
        assert_eq!(told.last(), Some(&STREAM_WINDOW_MAX));
    }

    #[test]
    fn one_that_does_not_keep_up_gets_no_more() {
        let windows = windows();
        windows.opens_stream();
        let mut reading = Reading::default();
        for _ in 0..1_000 {
            windows.read(&mut reading, 16 * 1024, false);
        }

        assert_eq!(windows.news(), None);
    }

    #[test]
    fn with_more_streams_there_is_less_for_each_and_never_more_than_the_connection_has() {
        for (streams, window) in [
            (1, 4 * KIB * KIB),
            (2, 4 * KIB * KIB),
            (3, 2 * KIB * KIB),
            (128, 64 * KIB),
            (256, 64 * KIB),
            (257, 32 * KIB),
            (1_000, 16 * KIB),
        ] {
            assert_eq!(most(streams), window, "{streams}");
            let all = u64::from(window) * streams as u64;
            assert!(all <= u64::from(CONNECTION_WINDOW), "{streams}");
        }
    }

    #[test]
    fn it_shrinks_as_streams_are_opened_and_is_the_first_again_behind_them() {
        let windows = windows();
        for _ in 0..1_000 {
            windows.opens_stream();
        }
        assert_eq!(windows.news(), Some(16 * KIB));
        windows.tell(16 * KIB);
        for _ in 0..1_000 {
            windows.closes_stream();
        }
        assert_eq!(windows.news(), Some(STREAM_WINDOW));
    }
}
