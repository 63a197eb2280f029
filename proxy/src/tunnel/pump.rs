//! One direction of a connection.

use std::{cell::RefCell, io};

use rustix::net::{Shutdown, shutdown};
use tokio::net::TcpStream;

use crate::route::Total;

/// As much as is read at once.
const CHUNK: usize = 64 * 1024;

thread_local! {
    /// Bytes stay here between a read and the write that follows at once: an idle connection holds no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// The connection did not end in order.
pub(super) struct Broken(pub(super) io::Error);

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

enum Moved {
    /// All that was read is written.
    All,
    /// This is not written yet.
    Rest(Vec<u8>),
    End,
}

/// Passes bytes from one side to the other, counted as they are written, until there are no more; then says so.
///
/// No more is read before all is written, so a side that does not read slows down the other.
pub(super) async fn pump(from: &TcpStream, to: &TcpStream, count: &Total) -> Result<(), Broken> {
    loop {
        from.readable().await?;
        let moved = match SCRATCH.with_borrow_mut(|scratch| move_once(from, to, scratch, count)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            moved => moved?,
        };
        match moved {
            Moved::All => {}
            Moved::Rest(rest) => write_all(to, &rest, count).await?,
            Moved::End => {
                shutdown(to, Shutdown::Write).map_err(io::Error::from)?;
                return Ok(());
            }
        }
    }
}

fn move_once(
    from: &TcpStream,
    to: &TcpStream,
    scratch: &mut [u8],
    count: &Total,
) -> io::Result<Moved> {
    let read = from.try_read(scratch)?;
    if read == 0 {
        return Ok(Moved::End);
    }
    let written = match to.try_write(&scratch[..read]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        written => written?,
    };
    count.add(written as u64);
    if written == read {
        return Ok(Moved::All);
    }
    Ok(Moved::Rest(scratch[written..read].to_vec()))
}

async fn write_all(to: &TcpStream, mut rest: &[u8], count: &Total) -> io::Result<()> {
    while !rest.is_empty() {
        to.writable().await?;
        match to.try_write(rest) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => {
                let written = written?;
                count.add(written as u64);
                rest = &rest[written..];
            }
        }
    }
    Ok(())
}
