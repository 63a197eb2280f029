//! Bytes that go from socket to socket inside the kernel: splice(2).

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::OwnedFd,
};

use bytes::Bytes;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// As much as a pipe holds: what a fast peer sends between two looks.
const CAPACITY: usize = 512 * 1024;
/// Pipes that a core keeps for the next flow. All others are closed.
const SPARE_MAX: usize = 8;
/// Pipes that a core may have, in use or not: bytes that nobody takes stay in them, and in the kernel's memory. Flows
/// beyond are copied.
const PIPES_MAX: usize = 16;
/// Descriptors that the pipes of a core take at most.
pub(crate) const DESCRIPTORS_MAX: usize = 2 * PIPES_MAX;

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    /// How many there are.
    static PIPES: Cell<usize> = const { Cell::new(0) };
    /// How many there may be.
    static ALLOWED: Cell<usize> = const { Cell::new(PIPES_MAX) };
}

/// A pipe between two sockets. Dropping it loses what is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty one; `None` when the core or the process may have no more.
    ///
    /// Where the system refuses one its size, for which `pipe-user-pages-soft` of pipe(7) is the usual reason, a small one
    /// would be slower than copying: the core stays at those it has.
    pub(super) fn take() -> Option<Self> {
        if let Some(spare) = SPARE.with_borrow_mut(Vec::pop) {
            return Some(spare);
        }
        let pipes = PIPES.get();
        if pipes >= ALLOWED.get() {
            return None;
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        if let Err(error) = fcntl_setpipe_size(&write, CAPACITY) {
            tracing::debug!(%error, pipes, "the system allows no more large pipes");
            ALLOWED.set(pipes);
            return None;
        }
        PIPES.set(pipes + 1);
        let held = 0;
        Some(Self { read, write, held })
    }

    /// Keeps an empty one for the next flow.
    pub(super) fn give_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if self.held == 0 && spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }

    /// Bytes that were taken and not given yet.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes what `from` has, into an empty pipe. 0 is the end of the stream.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "a full pipe would look like an empty socket");
        let taken = from.try_io(Interest::READABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(from, None, &self.write, None, CAPACITY, flags)?)
        })?;
        self.held = taken;
        Ok(taken)
    }

    /// Gives `to` what it takes of it.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let given = to.try_io(Interest::WRITABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(&self.read, None, to, None, self.held, flags)?)
        })?;
        self.held -= given;
        Ok(given)
    }

    /// Copies out what is in it.
    pub(super) fn into_bytes(mut self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.held];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += rustix::io::read(&self.read, &mut bytes[filled..])?;
        }
        self.held = 0;
        self.give_back();
        Ok(bytes.into())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        PIPES.set(PIPES.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_has_so_many_pipes_and_one_that_is_dropped_makes_room() {
        let mut pipes: Vec<Pipe> = std::iter::from_fn(Pipe::take).collect();
        assert_eq!(pipes.len(), PIPES_MAX);

        pipes.pop();

        assert!(Pipe::take().is_some());
    }

    #[test]
    fn spare_pipes_are_among_those_of_the_core() {
        let pipes: Vec<Pipe> = std::iter::from_fn(Pipe::take).collect();
        for pipe in pipes {
            pipe.give_back();
        }

        let again: Vec<Pipe> = std::iter::from_fn(Pipe::take).collect();

        assert_eq!(again.len(), PIPES_MAX);
    }
}
