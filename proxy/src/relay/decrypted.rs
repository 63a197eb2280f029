//! Bytes between two sides of which one at least is in TLS: they are decrypted here, and encrypted anew.

use std::{future::poll_fn, io, task::Poll};

use tokio_util::sync::CancellationToken;

use super::{Counts, RelayEnding};
use crate::{
    http1::Input,
    journal::ByteCount,
    route::Total,
    scope::Scope,
    transport::{ClientSocket, StreamEnd, Transport, close_in_order, reset_on_close},
};

/// Passes bytes on until both sides have closed theirs, one breaks, a fault ends the connection, or `closing`. Faults of
/// the stream layer lie on the client's socket, beneath TLS.
///
/// `to_client` and `to_upstream` are what was read of the new protocol before; they go first.
pub(super) async fn pass_decrypted(
    client: &ClientSocket,
    upstream: &Transport,
    to_client: &[u8],
    to_upstream: &[u8],
    scope: &Scope,
    counts: &Counts,
    closing: &CancellationToken,
) -> RelayEnding {
    let transport = client.transport();
    let up = Written {
        route: &scope.route.bytes_in,
        connection: &counts.bytes_in,
    };
    let down = Written {
        route: &scope.route.bytes_out,
        connection: &counts.bytes_out,
    };
    let both = async {
        tokio::try_join!(
            pass(transport, upstream, to_upstream, up),
            pass(upstream, transport, to_client, down),
        )
    };
    let ended = tokio::select! {
        biased;
        passed = both => Ok(passed),
        // Behind what reads and writes, as it waits for what they left.
        end = client.layered().ended_by_fault() => Err(end),
        () = closing.cancelled() => {
            close_in_order(&[client.tcp(), upstream.tcp()]).await;
            return RelayEnding::RouteClosing;
        }
    };
    match ended {
        Ok(Ok(((), ()))) => RelayEnding::Complete,
        Ok(Err(error)) => {
            client.reset();
            reset_on_close(upstream.tcp());
            RelayEnding::Broken(error)
        }
        Err(StreamEnd::Reset) => {
            client.layered().arrived().await;
            client.reset();
            reset_on_close(upstream.tcp());
            RelayEnding::ResetByFault
        }
        Err(StreamEnd::Close) => {
            close_in_order(&[client.tcp(), upstream.tcp()]).await;
            RelayEnding::ClosedByFault
        }
        Err(StreamEnd::ClientGone) => RelayEnding::ClientGone,
    }
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

/// Passes one direction on, `first` and then what `from` sends, up to its end. No more is read before all is written.
async fn pass(
    from: &Transport,
    to: &Transport,
    first: &[u8],
    written: Written<'_>,
) -> io::Result<()> {
    write_all(to, first, written).await?;
    let mut input = Input::default();
    let is_whole = loop {
        let read = poll_fn(|cx| {
            // What was written before may still wait for room, and then nobody else goes on with it.
            to.poll_drive(cx);
            input.poll_fill(from, cx)
        });
        match read.await {
            Ok(0) => break true,
            // Without a close_notify: the other side is not told of a good end either.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break false,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        write_all(to, input.bytes(), written).await?;
        input.consume(input.len());
    };
    poll_fn(|cx| match is_whole {
        true => to.poll_shutdown(cx),
        false => to.poll_shutdown_beneath(cx),
    })
    .await
}

async fn write_all(to: &Transport, mut bytes: &[u8], written: Written<'_>) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = poll_fn(|cx| match to.poll_write(cx, bytes) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            polled => polled,
        });
        let taken = taken.await?;
        written.add(taken);
        bytes = &bytes[taken..];
    }
    Ok(())
}
