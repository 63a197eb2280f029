//! Before anything of a connection is read: faults that act on its beginning.

use brownout_fault::FaultReader;
use bytes::Bytes;
use tokio::{io::Interest, net::TcpStream};

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
            () = until(beginning.wake(), timer) => {}
        }
    }
}
