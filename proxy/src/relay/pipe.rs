//! Bytes that go from socket to socket inside the kernel: splice(2).

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

use crate::limits::{PIPE_BYTES, PIPES_MAX, SPARE_PIPES_MAX};

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    /// Pipes that this core has, in use or spare.
    static PIPES: Cell<usize> = const { Cell::new(0) };
    /// Pipes that this core may have.
    static ALLOWED: Cell<usize> = const { Cell::new(PIPES_MAX) };
}

/// A pipe between two sockets. Dropping it loses what is in it.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

impl Pipe {
    /// Takes an empty pipe: a spare one, or a new one. `None` if the core or the process may have no more.
    ///
    /// If the system refuses a new pipe its size (usually because of `pipe-user-pages-soft`, pipe(7)), the core makes no
    /// more of them: copying is faster than a small pipe.
    pub(crate) fn take() -> Option<Self> {
        if let Some(spare) = SPARE.with_borrow_mut(Vec::pop) {
            return Some(spare);
        }
        let pipes = PIPES.get();
        if pipes >= ALLOWED.get() {
            return None;
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        if let Err(error) = fcntl_setpipe_size(&write, PIPE_BYTES) {
            tracing::debug!(%error, pipes, "the system allows no more large pipes");
            ALLOWED.set(pipes);
            return None;
        }
        PIPES.set(pipes + 1);
        let held = 0;
        Some(Self { read, write, held })
    }

    /// Gives an empty pipe back, for another direction to take. A pipe with bytes in it is closed, and they are lost.
    pub(crate) fn give_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if self.held == 0 && spare.len() < SPARE_PIPES_MAX {
                spare.push(self);
            }
        });
    }

    /// Bytes in it.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Moves what `from` has into an empty pipe, up to `bytes_max` bytes. Gives the number of bytes; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if `from` has nothing; otherwise what splice(2) says.
    pub(crate) fn fill(&mut self, from: &TcpStream, bytes_max: u64) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "a full pipe would look like an empty socket");
        let bytes_max = usize::try_from(bytes_max).map_or(PIPE_BYTES, |max| max.min(PIPE_BYTES));
        let taken = from.try_io(Interest::READABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(from, None, &self.write, None, bytes_max, flags)?)
        })?;
        self.held = taken;
        Ok(taken)
    }

    /// Moves bytes out to `to`, as many as it takes. Gives their number.
    ///
    /// # Errors
    /// `WouldBlock` if `to` takes nothing; otherwise what splice(2) says.
    pub(crate) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let given = to.try_io(Interest::WRITABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(&self.read, None, to, None, self.held, flags)?)
        })?;
        self.held -= given;
        Ok(given)
    }

    /// As [`fill`](Self::fill); waits until there is something.
    pub(crate) fn poll_fill(
        &mut self,
        from: &TcpStream,
        bytes_max: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            match self.fill(from, bytes_max) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                filled => return Poll::Ready(filled),
            }
        }
    }

    /// As [`drain`](Self::drain); waits until some is taken.
    pub(crate) fn poll_drain(
        &mut self,
        to: &TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            match self.drain(to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                drained => return Poll::Ready(drained),
            }
        }
    }

    /// Copies out the bytes in it, and gives it back.
    ///
    /// # Errors
    /// What read(2) says.
    pub(crate) fn into_bytes(mut self) -> io::Result<Bytes> {
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
