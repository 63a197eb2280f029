//! Before anything of a connection is read: faults that act on its beginning.

use std::time::Duration;

use brownout_fault::FaultReader;
use bytes::Bytes;
use tokio::{io::Interest, net::TcpStream, time::sleep};

use crate::{
    flow::{Flow, Next, changed, until},
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

/// Holds a connection for as long as faults say. The kernel has accepted it already, so its client believes that it is
/// connected; what it sends waits in the kernel, and no upstream is called.
///
/// A client that has said all, of which nothing is to come any more, is gone: it gives its places back.
pub(crate) async fn admit(
    tcp: &TcpStream,
    mut beginning: Flow,
    reader: &FaultReader,
    timer: &Timer,
) -> Admitted {
    beginning.look(reader);
    if beginning.is_bare() {
        return Admitted::Yes;
    }
    let mut changes = Some(reader.changes());
    beginning.push(Bytes::new());
    loop {
        beginning.look(reader);
        match beginning.next() {
            Next::Write(_) | Next::Shutdown => return Admitted::Yes,
            Next::Reset => return Admitted::Reset,
            Next::Close => return Admitted::Close,
            Next::WaitUntil(_) | Next::Idle => {}
        }
        tokio::select! {
            biased;
            () = changed(&mut changes) => {}
            _ = tcp.ready(Interest::ERROR) => return Admitted::Gone,
            () = has_said_all(tcp), if beginning.is_for_nobody_after_end() => return Admitted::Gone,
            () = until(beginning.wake(), timer) => {}
        }
    }
}

/// Ends when the client has closed its side, also behind bytes that nobody has read.
async fn has_said_all(tcp: &TcpStream) {
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
