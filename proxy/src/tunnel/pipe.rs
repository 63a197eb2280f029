//! Bytes that go from socket to socket inside the kernel: splice(2).

use std::{cell::RefCell, io, os::fd::OwnedFd};

use bytes::Bytes;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// As much as a pipe holds, if the system allows it: what a fast peer sends between two looks.
const CAPACITY: usize = 512 * 1024;
/// Pipes that a core keeps for the next flow. All others are closed.
const SPARE_MAX: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe between two sockets. Dropping it loses what is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty one; `None` when the process may have no more.
    pub(super) fn take() -> Option<Self> {
        if let Some(spare) = SPARE.with_borrow_mut(Vec::pop) {
            return Some(spare);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        if let Err(error) = fcntl_setpipe_size(&write, CAPACITY) {
            tracing::debug!(%error, "a pipe keeps its size");
        }
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
