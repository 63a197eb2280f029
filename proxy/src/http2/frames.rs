//! What goes out on a connection, frame by frame: frames that `h2` would never send go between its own, and some of its own
//! are changed or left out. Nothing is looked at but the frames' heads.

use std::{
    cell::{Cell, RefCell},
    io,
    task::{Context, Poll, ready},
};

use super::io::Sink;

/// Bytes of a frame's head (RFC 9113 §4.1).
const HEAD: usize = 9;
const ACK: u8 = 1;

/// Kinds of frames (RFC 9113 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Data = 0,
    Settings = 4,
    Ping = 6,
    GoAway = 7,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Frames {
    out: RefCell<Out>,
    /// PINGs of the other side are not answered.
    drops_pongs: Cell<bool>,
    /// Goes behind the values of the next SETTINGS frame.
    settings: RefCell<Vec<u8>>,
}

/// Where in a frame the connection is, and what goes out behind it.
#[derive(Debug, Default)]
struct Out {
    /// Bytes of the present frame's head that went out. 0 when its head is whole.
    head: Vec<u8>,
    /// Bytes of the present frame, behind its head, that are still to go out.
    left: usize,
    /// Frames of ours that go out at the end of the present one.
    ours: Vec<u8>,
    /// So many bytes of them have gone out.
    ours_sent: usize,
}

/// A frame.
pub(super) fn frame(kind: Kind, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = Vec::with_capacity(HEAD + payload.len());
    frame.extend_from_slice(&length[1..]);
    frame.extend_from_slice(&[kind as u8, 0]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

impl Frames {
    /// Sends a frame between those of `h2`. The connection's task is to be woken.
    pub(super) fn send(&self, frame: &[u8]) {
        self.out.borrow_mut().ours.extend_from_slice(frame);
    }

    /// Whether PINGs of the other side are left without an answer from now on.
    pub(super) fn drop_pongs(&self, drops: bool) {
        self.drops_pongs.set(drops);
    }

    /// Adds values to the next SETTINGS frame.
    pub(super) fn add_settings(&self, values: &[(u16, u32)]) {
        let mut settings = self.settings.borrow_mut();
        settings.clear();
        for (id, value) in values {
            settings.extend_from_slice(&id.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
    }

    /// Sends frames of ours, if none of `h2`'s is half sent. Ready when none is left that can go out now.
    pub(super) fn poll_ours(&self, sink: &Sink<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.out.borrow_mut();
        if !out.is_between_frames() {
            return Poll::Ready(Ok(()));
        }
        while out.ours_sent < out.ours.len() {
            let sent = ready!(sink.poll_write_both(cx, &out.ours[out.ours_sent..], &[]))?;
            out.ours_sent += sent;
        }
        out.ours.clear();
        out.ours_sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes bytes of `h2`, or takes them over. `second` follows `first`.
    pub(super) fn poll_write(
        &self,
        sink: &Sink<'_>,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ours(sink, cx))?;
        let (first, second) = match self.looks_at_frames() {
            false => (first, second),
            true => {
                if let Some(taken) = self.take_over(first) {
                    return Poll::Ready(Ok(taken));
                }
                let most = self.out.borrow().rest_of_frame(first, second);
                let first = &first[..first.len().min(most)];
                (first, &second[..second.len().min(most - first.len())])
            }
        };
        let written = ready!(sink.poll_write_both(cx, first, second))?;
        let of_first = written.min(first.len());
        let mut out = self.out.borrow_mut();
        out.follow(&first[..of_first]);
        out.follow(&second[..written - of_first]);
        Poll::Ready(Ok(written))
    }

    /// Whether one frame after the other is to be looked at before it goes out.
    fn looks_at_frames(&self) -> bool {
        self.drops_pongs.get()
            || !self.settings.borrow().is_empty()
            || !self.out.borrow().ours.is_empty()
    }

    /// Takes a frame that does not go out as it is; it is all in `bytes`, as `h2` writes small frames in one piece.
    fn take_over(&self, bytes: &[u8]) -> Option<usize> {
        let mut out = self.out.borrow_mut();
        let head = bytes.get(..HEAD).filter(|_| out.is_between_frames())?;
        let end = HEAD + length(head);
        let (kind, flags) = (head[3], head[4]);
        let payload = bytes.get(HEAD..end)?;
        if kind == Kind::Ping as u8 && flags & ACK != 0 && self.drops_pongs.get() {
            return Some(end);
        }
        let mut settings = self.settings.borrow_mut();
        if kind == Kind::Settings as u8 && flags & ACK == 0 && !settings.is_empty() {
            let values = [payload, settings.as_slice()].concat();
            out.ours
                .extend_from_slice(&frame(Kind::Settings, 0, &values));
            settings.clear();
            return Some(end);
        }
        None
    }
}

impl Out {
    fn is_between_frames(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }

    /// Bytes to the end of the present frame, or as far as that can be seen: at least one if there are any.
    fn rest_of_frame(&self, first: &[u8], second: &[u8]) -> usize {
        if self.left > 0 {
            return self.left;
        }
        let mut head = self.head.clone();
        let missing = HEAD - head.len();
        head.extend(first.iter().chain(second).take(missing));
        match head.len() {
            HEAD => missing + length(&head),
            _ => missing,
        }
    }

    /// Bytes that went out.
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let of_frame = self.left.min(bytes.len());
                self.left -= of_frame;
                bytes = &bytes[of_frame..];
                continue;
            }
            let of_head = (HEAD - self.head.len()).min(bytes.len());
            if of_head == HEAD {
                self.left = length(bytes);
            } else {
                self.head.extend_from_slice(&bytes[..of_head]);
                if self.head.len() == HEAD {
                    self.left = length(&self.head);
                    self.head.clear();
                }
            }
            bytes = &bytes[of_head..];
        }
    }
}

/// Bytes of a frame behind its head.
fn length(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_frame_is_found_however_the_bytes_are_cut() {
        let mut bytes = frame(Kind::Data, 1, b"content");
        bytes.extend(frame(Kind::Settings, 0, b""));
        bytes.extend(frame(Kind::Ping, 0, b"12345678"));
        let ends = [16, 25, 42];
        for size in 1..bytes.len() {
            let mut out = Out::default();
            let mut at = 0;
            for piece in bytes.chunks(size) {
                let follows = out.rest_of_frame(&bytes[at..], &[]);
                let end = ends.iter().find(|end| **end > at).unwrap();
                assert!(follows > 0 && at + follows <= *end, "{size}");
                out.follow(piece);
                at += piece.len();
                assert_eq!(out.is_between_frames(), ends.contains(&at), "{size}");
            }
        }
    }

    #[test]
    fn a_frame_may_be_cut_between_two_slices() {
        let bytes = frame(Kind::Data, 1, b"content");
        let out = Out::default();
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(out.rest_of_frame(first, second), bytes.len());
        }
    }
}
