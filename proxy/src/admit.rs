//! Faults that act on the beginning of a connection, before anything of it is read.

use std::{pin::Pin, time::Duration};

use brownout_fault::FaultReader;
use bytes::Bytes;
use tokio::{io::Interest, net::TcpStream, time::sleep};

use crate::{
    shaping::{PlanChanges, StreamNext, StreamShaper},
    timer::Timer,
};

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    Yes,
    /// It is to be reset.
    Reset,
    /// It is to be closed in good order.
    Close,
    /// Its client is gone.
    Gone,
}

/// What faults do at the beginning of a connection, until they let it go on or end it.
pub(crate) type Held<'a> = Pin<Box<dyn Future<Output = Admitted> + 'a>>;

/// Asks the faults about a connection that begins. `None` if none acts on it, as on most: those keep no room for it.
pub(crate) fn admit<'a>(
    tcp: &'a TcpStream,
    mut beginning: StreamShaper,
    reader: &'a FaultReader,
    timer: &'a Timer,
) -> Option<Held<'a>> {
    beginning.refresh(reader);
    if beginning.is_passthrough() {
        return None;
    }
    Some(Box::pin(hold(tcp, beginning, reader, timer)))
}

/// Holds a connection for as long as faults say. The kernel has accepted it already, so its client believes that it is
/// connected; what it sends waits in the kernel, and no upstream is called.
///
/// A client that has closed its sending side, and from which the faults hold nothing, is gone: the places that it took in
/// the faults are given back.
async fn hold(
    tcp: &TcpStream,
    mut beginning: StreamShaper,
    reader: &FaultReader,
    timer: &Timer,
) -> Admitted {
    let mut changes = PlanChanges::of(reader);
    beginning.push(Bytes::new());
    loop {
        beginning.refresh(reader);
        match beginning.next() {
            StreamNext::Write(_) | StreamNext::Shutdown => return Admitted::Yes,
            StreamNext::Reset => return Admitted::Reset,
            StreamNext::Close => return Admitted::Close,
            StreamNext::WaitUntil(_) | StreamNext::Idle => {}
        }
        tokio::select! {
            biased;
            () = changes.changed() => {}
            _ = tcp.ready(Interest::ERROR) => return Admitted::Gone,
            () = has_ended(tcp), if beginning.is_client_gone_after_its_end() => return Admitted::Gone,
            () = timer.at_if_any(beginning.next_due()) => {}
        }
    }
}

/// Ends when the client has closed its side, also behind bytes that nobody has read.
async fn has_ended(tcp: &TcpStream) {
    /// While unread bytes keep the socket ready no event tells of the close behind them: look now and then.
    const LOOK_AGAIN: Duration = Duration::from_millis(100);
    while tcp
        .ready(Interest::READABLE)
        .await
        .is_ok_and(|ready| !ready.is_read_closed())
    {
        sleep(LOOK_AGAIN).await;
    }
}
