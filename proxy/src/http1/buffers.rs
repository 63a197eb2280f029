//! Buffers that a core lends to its connections, so that an idle connection holds none.

use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};

use crate::transport::Transport;

/// How much one read takes at most, until a head needs more room: 64 KiB of content and a head before it.
const SIZE: usize = 72 * 1024;
/// Buffers that a core keeps for the next borrower; those beyond are freed.
const SPARE_MAX: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were read and are still to be used. It borrows a buffer from its core while it holds bytes.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// Empty while nothing is borrowed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// The bytes, in the order in which they came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Forgets the first `bytes`. The buffer goes back to the core with the last of them.
    pub(crate) fn consume(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.len(), "more was used than there was");
        if bytes == 0 {
            return;
        }
        self.start += bytes;
        if self.start == self.end {
            self.give_back();
        }
    }

    /// Room for further bytes: at least one, as much as the buffer has left, at most twice what there is.
    fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            let spare = SPARE.with_borrow_mut(Vec::pop);
            self.buffer = spare.unwrap_or_else(|| vec![0; SIZE]);
        }
        if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Reads what `from` has behind the bytes that are there. 0 is the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        from: &Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(from.poll_readable(cx))?;
        let polled = from.poll_read(cx, self.room());
        if let Poll::Ready(Ok(read)) = &polled {
            self.end += read;
        }
        if self.is_empty() {
            self.give_back();
        }
        polled
    }

    /// Keeps the bytes in no more memory than they need, for a long wait.
    pub(crate) fn shrink(&mut self) {
        if !self.is_empty() && self.len() < SIZE / 4 {
            let bytes = self.bytes().to_vec();
            self.give_back();
            self.end = bytes.len();
            self.buffer = bytes;
        }
    }

    fn give_back(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        (self.start, self.end) = (0, 0);
        if buffer.len() == SIZE {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARE_MAX {
                    spare.push(buffer);
                }
            });
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if !self.buffer.is_empty() {
            self.give_back();
        }
    }
}

/// Bytes that are to be written. It borrows its memory from the core, and gives it back when it is dropped.
#[derive(Debug)]
pub(crate) struct Output {
    bytes: Vec<u8>,
}

thread_local! {
    static SPARE_OUTPUTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Output {
    /// More memory than this is not kept for the next borrower.
    const KEPT_MAX: usize = 64 * 1024;
    /// What most heads need: so they grow only once.
    const USUAL: usize = 512;

    pub(crate) fn new() -> Self {
        let spare = SPARE_OUTPUTS.with_borrow_mut(Vec::pop);
        Self {
            bytes: spare.unwrap_or_else(|| Vec::with_capacity(Self::USUAL)),
        }
    }

    /// Where further bytes are appended.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() == 0 || bytes.capacity() > Self::KEPT_MAX {
            return;
        }
        bytes.clear();
        SPARE_OUTPUTS.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &mut Input, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = input.room();
            let taken = room.len().min(bytes.len());
            room[..taken].copy_from_slice(&bytes[..taken]);
            input.end += taken;
            bytes = &bytes[taken..];
        }
    }

    #[test]
    fn bytes_come_out_in_order_whatever_was_used_before() {
        let mut input = Input::default();
        read(&mut input, b"abc");
        input.consume(2);
        read(&mut input, b"def");

        assert_eq!(input.bytes(), b"cdef");
    }

    #[test]
    fn a_buffer_goes_back_with_the_last_byte_and_is_lent_again() {
        let mut input = Input::default();
        read(&mut input, b"abc");
        let lent = input.buffer.as_ptr();

        input.consume(3);

        assert_eq!(input.buffer.capacity(), 0);
        let mut other = Input::default();
        read(&mut other, b"x");
        assert_eq!(other.buffer.as_ptr(), lent);
    }

    #[test]
    fn a_head_that_needs_more_room_gets_it_and_the_rest_is_not_lost() {
        let mut input = Input::default();
        let mut expected = Vec::new();
        for n in 0..5_u8 {
            let bytes = vec![n; SIZE / 2 + 1];
            read(&mut input, &bytes);
            expected.extend_from_slice(&bytes);
        }

        assert_eq!(input.bytes(), expected);
    }
}
