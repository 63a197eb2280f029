//! One direction of a connection.

use std::{
    cell::{Cell, RefCell},
    io,
    sync::Arc,
};

use brownout_fault::{Direction, FaultReader};
use bytes::Bytes;
use futures_util::future::join;
use rustix::net::{Shutdown, shutdown};
use tokio::{
    io::Interest,
    net::TcpStream,
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::pipe::Pipe;
use crate::{
    flow::{Flow, GRACE, Next, changed, until},
    route::{Route, Total},
    sys,
    timer::Timer,
};

/// As much as is read at once.
const CHUNK: usize = 64 * 1024;

thread_local! {
    /// Bytes stay here between a read and the write that follows at once: an idle connection holds no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// Why a connection is over before both its sides have said all.
pub(super) enum Over {
    /// It did not end in order.
    Broken(io::Error),
    /// A fault resets it.
    Reset,
    /// A fault closes it in good order.
    Close,
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Where the bytes of one direction go from and to.
pub(super) struct Ends<'a> {
    pub(super) from: &'a TcpStream,
    pub(super) to: &'a TcpStream,
    pub(super) direction: Direction,
}

/// How many sides of a connection have said all.
#[derive(Debug, Default)]
pub(super) struct SaidAll {
    sides: Cell<u8>,
    both: Notify,
}

impl SaidAll {
    fn note_one(&self) {
        self.sides.set(self.sides.get() + 1);
        if self.is_both() {
            self.both.notify_waiters();
        }
    }

    fn is_both(&self) -> bool {
        self.sides.get() == 2
    }
}

/// One direction of a connection, with what its faults hold of it.
pub(super) struct Way<'a> {
    ends: Ends<'a>,
    count: &'a Total,
    reader: &'a FaultReader,
    timer: &'a Timer,
    changes: Option<watch::Receiver<u64>>,
    flow: Flow,
    /// Through all faults, and not written yet.
    unwritten: Bytes,
    /// The same, inside the kernel. Only while no fault acts and nothing else is unwritten.
    pipe: Option<Pipe>,
    /// Whether so much comes that it should not be copied.
    is_large: bool,
    has_ended: bool,
    said_all: &'a SaidAll,
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

impl<'a> Way<'a> {
    pub(super) fn new(
        ends: Ends<'a>,
        flow: Flow,
        route: &'a Arc<Route>,
        reader: &'a FaultReader,
        timer: &'a Timer,
        said_all: &'a SaidAll,
    ) -> Self {
        Self {
            count: match ends.direction {
                Direction::Upstream => &route.bytes_in,
                Direction::Downstream => &route.bytes_out,
            },
            ends,
            reader,
            timer,
            changes: Some(reader.changes()),
            flow,
            unwritten: Bytes::new(),
            pipe: None,
            is_large: false,
            has_ended: false,
            said_all,
        }
    }

    /// Passes bytes on, counted as they are written, until there are no more; then says so.
    ///
    /// Where no fault keeps them, no more is read before all is written, so a side that does not read slows down the
    /// other. A change of what is armed is seen between two chunks.
    pub(super) async fn run(mut self) -> Result<(), Over> {
        loop {
            self.flow.look(self.reader);
            if !self.flow.is_bare() {
                self.leave_pipe()?;
            }
            if self.said_all.is_both() {
                self.flow.finish();
            }
            let next = if self.is_written() {
                self.flow.next()
            } else {
                Next::Idle
            };
            match next {
                Next::Write(bytes) => {
                    self.unwritten = bytes;
                    self.write()?;
                }
                Next::Shutdown => {
                    shutdown(self.ends.to, Shutdown::Write).map_err(io::Error::from)?;
                    return Ok(());
                }
                Next::Reset => {
                    self.settle().await;
                    return Err(Over::Reset);
                }
                Next::Close => return Err(Over::Close),
                Next::WaitUntil(_) | Next::Idle => self.wait().await?,
            }
        }
    }

    /// Waits for whatever comes first: bytes, room for bytes, a time, or a change of what is armed.
    async fn wait(&mut self) -> Result<(), Over> {
        let is_full = !self.is_written();
        let is_bare = self.flow.is_bare();
        let takes_more = !self.has_ended && self.flow.has_room() && !(is_bare && is_full);
        // Bytes that nobody takes hold up what comes behind them, but not the end of the connection for ever.
        if is_full && self.flow.is_doomed() {
            let written = timeout(
                self.flow.patience(),
                write_all(&self.ends, &mut self.unwritten, self.count),
            );
            if let Ok(written) = written.await {
                written?;
            }
            self.unwritten.clear();
            return Ok(());
        }
        let again = self.flow.wake();
        let Self {
            ends,
            changes,
            timer,
            said_all,
            has_ended,
            ..
        } = self;
        let woken = tokio::select! {
            biased;
            () = changed(changes) => Woken::Otherwise,
            writable = ends.to.writable(), if is_full => {
                writable?;
                Woken::Writable
            }
            readable = ends.from.readable(), if takes_more => {
                readable?;
                Woken::Readable
            }
            // Whoever is not read from may still break.
            broken = ends.from.ready(Interest::ERROR), if !takes_more => {
                broken?;
                let error = ends.from.take_error()?;
                return Err(Over::Broken(error.unwrap_or(io::ErrorKind::ConnectionReset.into())));
            }
            () = said_all.both.notified(), if *has_ended => Woken::Otherwise,
            () = until(again, timer) => Woken::Otherwise,
        };
        match woken {
            Woken::Otherwise => {}
            Woken::Writable => self.write()?,
            Woken::Readable => {
                let moved = if is_bare && self.is_large {
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
                        self.said_all.note_one();
                        self.flow.end();
                    }
                }
            }
        }
        Ok(())
    }

    fn move_once(&mut self, scratch: &mut [u8]) -> io::Result<Moved> {
        let read = self.ends.from.try_read(scratch)?;
        if read == 0 {
            return Ok(Moved::End);
        }
        self.is_large = read == scratch.len();
        if !self.is_large {
            nothing_more_to_read(self.ends.from);
        }
        // Only now: what arrives after a fault was armed must meet it.
        self.flow.look(self.reader);
        if !self.flow.is_bare() {
            let bytes = Bytes::copy_from_slice(&scratch[..read]);
            self.flow.push(bytes);
            return Ok(Moved::All);
        }
        let written = match self.ends.to.try_write(&scratch[..read]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written?,
        };
        self.count.add(written as u64);
        if written < read {
            self.unwritten = Bytes::copy_from_slice(&scratch[written..read]);
        }
        Ok(Moved::All)
    }

    /// Moves bytes without looking at them.
    fn splice_once(&mut self) -> io::Result<Moved> {
        /// Less than this is copied more cheaply.
        const LARGE: usize = 16 * 1024;
        let Some(mut pipe) = self.pipe.take().or_else(Pipe::take) else {
            self.is_large = false;
            return Ok(Moved::All);
        };
        let filled = pipe.fill(self.ends.from);
        self.pipe = Some(pipe);
        let read = filled?;
        if read == 0 {
            return Ok(Moved::End);
        }
        self.is_large = read >= LARGE;
        // As with bytes that are copied: what arrives after a fault was armed must meet it.
        self.flow.look(self.reader);
        if self.flow.is_bare() {
            self.write()?;
        } else if let Some(pipe) = self.pipe.take() {
            self.flow.push(pipe.into_bytes()?);
        }
        Ok(Moved::All)
    }

    /// Whether all that was read is written, or held by a fault.
    fn is_written(&self) -> bool {
        self.unwritten.is_empty() && self.pipe.as_ref().is_none_or(|pipe| pipe.held() == 0)
    }

    /// Takes back what is in the kernel, as it is to come before whatever a fault does.
    fn leave_pipe(&mut self) -> io::Result<()> {
        if let Some(pipe) = self.pipe.take() {
            match pipe.held() {
                0 => pipe.give_back(),
                _ => self.unwritten = pipe.into_bytes()?,
            }
        }
        Ok(())
    }

    /// There is nothing to move: others may need the pipe.
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
                    written => self.count.add(written? as u64),
                }
            }
            return Ok(());
        }
        write(&self.ends, &mut self.unwritten, self.count)
    }

    /// Lets what was written arrive on both sides, within bounds. A change of what is armed leaves less time.
    async fn settle(&mut self) {
        let Ends { from, to, .. } = self.ends;
        tokio::select! {
            _ = join(sys::acknowledged(from), sys::acknowledged(to)) => {}
            () = sleep(self.flow.patience()) => {}
            () = async { changed(&mut self.changes).await; sleep(GRACE).await } => {}
        }
    }
}

/// A read that left room took all there was (epoll(7), question 9): the kernel is not asked once more. The end of the
/// stream is told apart from bytes, so it is not missed.
fn nothing_more_to_read(from: &TcpStream) {
    let empty: io::Result<()> =
        from.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    debug_assert!(empty.is_err());
}

fn write(ends: &Ends<'_>, unwritten: &mut Bytes, count: &Total) -> io::Result<()> {
    while !unwritten.is_empty() {
        match ends.to.try_write(unwritten) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            written => {
                let written = written?;
                count.add(written as u64);
                bytes::Buf::advance(unwritten, written);
            }
        }
    }
    Ok(())
}

async fn write_all(ends: &Ends<'_>, unwritten: &mut Bytes, count: &Total) -> io::Result<()> {
    while !unwritten.is_empty() {
        ends.to.writable().await?;
        write(ends, unwritten, count)?;
    }
    Ok(())
}
