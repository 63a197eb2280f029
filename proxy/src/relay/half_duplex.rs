//! One direction of a connection.

use std::{
    cell::{Cell, RefCell},
    io,
};

use brownout_fault::{Direction, FaultReader};
use bytes::{Buf, Bytes};
use futures_util::future::join;
use rustix::net::{Shutdown, shutdown};
use tokio::{io::Interest, net::TcpStream, sync::Notify, time::timeout};

use super::{Relay, Start, pipe::Pipe};
use crate::{
    journal::ByteCount,
    limits::{GRACE, RELAY_CHUNK},
    route::Total,
    shaping::{PlanChanges, StreamNext, StreamShaper},
    sys,
    timer::Timer,
};

thread_local! {
    /// Bytes are here between a read and the write that follows at once, so an idle connection has no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; RELAY_CHUNK].into_boxed_slice());
}

/// Why a connection is over before both its sides have closed theirs.
pub(super) enum Interrupted {
    /// A side broke.
    Broken(io::Error),
    /// A fault resets it. What was sent has had its time to arrive.
    Reset,
    /// A fault closes it in good order.
    Close,
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// The sockets of one direction.
pub(super) struct Ends<'a> {
    pub(super) from: &'a TcpStream,
    pub(super) to: &'a TcpStream,
    pub(super) direction: Direction,
}

/// How many sides of a connection have ended (end of file).
#[derive(Debug, Default)]
pub(super) struct Eof {
    sides: Cell<u8>,
    both: Notify,
}

impl Eof {
    fn note_one(&self) {
        self.sides.set(self.sides.get() + 1);
        if self.is_on_both_sides() {
            self.both.notify_waiters();
        }
    }

    fn is_on_both_sides(&self) -> bool {
        self.sides.get() == 2
    }
}

/// One direction of a connection, with what its faults hold of it.
pub(super) struct HalfDuplex<'a> {
    ends: Ends<'a>,
    written: Written<'a>,
    reader: &'a FaultReader,
    timer: &'a Timer,
    changes: PlanChanges,
    shaper: StreamShaper,
    /// Has passed all faults, and is not written yet.
    unwritten: Bytes,
    /// The same, inside the kernel. Only while no fault acts and `unwritten` is empty.
    pipe: Option<Pipe>,
    /// Whether so much comes that splicing is cheaper than copying.
    is_large: bool,
    has_ended: bool,
    eof: &'a Eof,
}

/// Counts bytes that were written.
#[derive(Clone, Copy)]
struct Written<'a> {
    route: &'a Total,
    connection: &'a ByteCount,
}

impl Written<'_> {
    fn add(self, bytes: usize) {
        let bytes = bytes as u64;
        self.route.add(bytes);
        self.connection.add(bytes);
    }
}

enum Woken {
    Readable,
    Writable,
    Otherwise,
}

enum Moved {
    /// All that was read is written, or kept.
    All,
    End,
}

impl<'a> HalfDuplex<'a> {
    pub(super) fn new(relay: &Relay<'a>, ends: Ends<'a>, start: Start, eof: &'a Eof) -> Self {
        let Start {
            shaper,
            unwritten,
            has_ended,
        } = start;
        if has_ended {
            eof.note_one();
        }
        let (route, counts) = (relay.route, relay.counts);
        let written = match ends.direction {
            Direction::Upstream => Written {
                route: &route.bytes_in,
                connection: &counts.bytes_in,
            },
            Direction::Downstream => Written {
                route: &route.bytes_out,
                connection: &counts.bytes_out,
            },
        };
        Self {
            ends,
            written,
            reader: relay.faults,
            timer: relay.timer,
            changes: PlanChanges::of(relay.faults),
            shaper,
            unwritten,
            pipe: None,
            is_large: false,
            has_ended,
            eof,
        }
    }

    /// Passes bytes on until there are no more; then shuts the sending side down.
    ///
    /// If no fault keeps bytes, no more is read before all is written, so a side that does not read slows the other down.
    /// A change of what is armed is seen between two chunks.
    pub(super) async fn run(mut self) -> Result<(), Interrupted> {
        loop {
            self.shaper.refresh(self.reader);
            if !self.shaper.is_passthrough() {
                self.leave_pipe()?;
            }
            if self.eof.is_on_both_sides() {
                self.shaper.both_ended();
            }
            let next = if self.is_written() {
                self.shaper.next()
            } else {
                StreamNext::Idle
            };
            match next {
                StreamNext::Write(bytes) => {
                    self.unwritten = bytes;
                    self.write()?;
                }
                StreamNext::Shutdown => {
                    shutdown(self.ends.to, Shutdown::Write).map_err(io::Error::from)?;
                    return Ok(());
                }
                StreamNext::Reset => {
                    self.drain().await;
                    return Err(Interrupted::Reset);
                }
                StreamNext::Close => return Err(Interrupted::Close),
                StreamNext::WaitUntil(_) | StreamNext::Idle => self.wait().await?,
            }
        }
    }

    /// Waits for what comes first: bytes, room for bytes, a time, or a change of what is armed.
    async fn wait(&mut self) -> Result<(), Interrupted> {
        let is_full = !self.is_written();
        // If the receiver stops reading, later bytes wait. A reset or close by a fault waits only for the drain limit.
        if is_full && self.shaper.is_at_early_end() {
            let written = write_all(&self.ends, &mut self.unwritten, self.written);
            if let Ok(written) = timeout(self.shaper.drain_limit(), written).await {
                written?;
            }
            self.unwritten.clear();
            return Ok(());
        }
        let is_passthrough = self.shaper.is_passthrough();
        let takes_more = !self.has_ended && self.shaper.has_room() && !(is_passthrough && is_full);
        let due = self.shaper.next_due();
        let Self {
            ends,
            changes,
            timer,
            eof,
            has_ended,
            ..
        } = self;
        let woken = tokio::select! {
            biased;
            () = changes.changed() => Woken::Otherwise,
            writable = ends.to.writable(), if is_full => {
                writable?;
                Woken::Writable
            }
            readable = ends.from.readable(), if takes_more => {
                readable?;
                Woken::Readable
            }
            // A side that is not read from may still break.
            broken = ends.from.ready(Interest::ERROR), if !takes_more => {
                broken?;
                let error = ends.from.take_error()?;
                let error = error.unwrap_or(io::ErrorKind::ConnectionReset.into());
                return Err(Interrupted::Broken(error));
            }
            () = eof.both.notified(), if *has_ended => Woken::Otherwise,
            () = timer.at_if_any(due) => Woken::Otherwise,
        };
        match woken {
            Woken::Otherwise => {}
            Woken::Writable => self.write()?,
            Woken::Readable => {
                let moved = if is_passthrough && self.is_large {
                    self.splice_once()
                } else {
                    SCRATCH.with_borrow_mut(|scratch| self.move_once(scratch))
                };
                match moved {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.rest(),
                    Err(error) => return Err(error.into()),
                    Ok(Moved::All) => {}
                    Ok(Moved::End) => {
                        self.rest();
                        self.has_ended = true;
                        self.eof.note_one();
                        self.shaper.end();
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads a chunk, and writes it or gives it to the faults.
    fn move_once(&mut self, scratch: &mut [u8]) -> io::Result<Moved> {
        let read = self.ends.from.try_read(scratch)?;
        if read == 0 {
            return Ok(Moved::End);
        }
        self.is_large = read == scratch.len();
        if !self.is_large {
            nothing_more_to_read(self.ends.from);
        }
        // After the read: bytes that arrive after a fault was armed must meet it.
        self.shaper.refresh(self.reader);
        if !self.shaper.is_passthrough() {
            let bytes = Bytes::copy_from_slice(&scratch[..read]);
            self.shaper.push(bytes);
            return Ok(Moved::All);
        }
        let written = match self.ends.to.try_write(&scratch[..read]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written?,
        };
        self.written.add(written);
        if written < read {
            self.unwritten = Bytes::copy_from_slice(&scratch[written..read]);
        }
        Ok(Moved::All)
    }

    /// Moves a chunk inside the kernel.
    fn splice_once(&mut self) -> io::Result<Moved> {
        /// Fewer bytes are copied more cheaply.
        const LARGE: usize = 16 * 1024;
        let Some(mut pipe) = self.pipe.take().or_else(Pipe::take) else {
            self.is_large = false;
            return Ok(Moved::All);
        };
        let filled = pipe.fill(self.ends.from, u64::MAX);
        self.pipe = Some(pipe);
        let read = filled?;
        if read == 0 {
            return Ok(Moved::End);
        }
        self.is_large = read >= LARGE;
        // After the read, as above.
        self.shaper.refresh(self.reader);
        if self.shaper.is_passthrough() {
            self.write()?;
        } else if let Some(pipe) = self.pipe.take() {
            self.shaper.push(pipe.into_bytes()?);
        }
        Ok(Moved::All)
    }

    /// Whether all that was read is written, or held by a fault.
    fn is_written(&self) -> bool {
        self.unwritten.is_empty() && self.pipe.as_ref().is_none_or(|pipe| pipe.held() == 0)
    }

    /// Takes the bytes back that are in the pipe: no fault has met them, and they are written before all others.
    fn leave_pipe(&mut self) -> io::Result<()> {
        if let Some(pipe) = self.pipe.take() {
            match pipe.held() {
                0 => pipe.give_back(),
                _ => self.unwritten = pipe.into_bytes()?,
            }
        }
        Ok(())
    }

    /// Gives an empty pipe back while there is nothing to move.
    fn rest(&mut self) {
        if let Some(pipe) = self.pipe.take_if(|pipe| pipe.held() == 0) {
            pipe.give_back();
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() > 0) {
            while pipe.held() > 0 {
                match pipe.drain(self.ends.to) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    written => self.written.add(written?),
                }
            }
            return Ok(());
        }
        write(&self.ends, &mut self.unwritten, self.written)
    }

    /// Waits until what was written has arrived on both sides, at most for the drain limit, and for [`GRACE`] once
    /// something else is armed.
    async fn drain(&mut self) {
        let Ends { from, to, .. } = self.ends;
        let timer = self.timer;
        tokio::select! {
            _ = join(sys::acknowledged(from), sys::acknowledged(to)) => {}
            () = timer.sleep(self.shaper.drain_limit()) => {}
            () = async { self.changes.changed().await; timer.sleep(GRACE).await } => {}
        }
    }
}

/// Makes tokio wait for the next event. A read that left room took all there was (epoll(7), question 9), so asking the
/// kernel once more would be in vain. The end of the stream has an event of its own.
fn nothing_more_to_read(from: &TcpStream) {
    let empty: io::Result<()> =
        from.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    debug_assert!(empty.is_err());
}

/// Writes as much as `to` takes now.
fn write(ends: &Ends<'_>, unwritten: &mut Bytes, counted: Written<'_>) -> io::Result<()> {
    while !unwritten.is_empty() {
        match ends.to.try_write(unwritten) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            written => {
                let written = written?;
                counted.add(written);
                unwritten.advance(written);
            }
        }
    }
    Ok(())
}

async fn write_all(ends: &Ends<'_>, unwritten: &mut Bytes, counted: Written<'_>) -> io::Result<()> {
    while !unwritten.is_empty() {
        ends.to.writable().await?;
        write(ends, unwritten, counted)?;
    }
    Ok(())
}
