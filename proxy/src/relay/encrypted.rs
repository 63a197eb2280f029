//! Connections of a `tcp` route with TLS to the client, to the upstream, or to both.

use std::{io, rc::Rc, time::Instant};

use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Counts, Outcome, RelayEnding,
    decrypted::pass_decrypted,
    open::{Opened, open},
    tell,
};
use crate::{
    access_log::ConnectionLine,
    admit::{Admitted, admit},
    proxy_protocol::ClientAddress,
    scope::Scope,
    shaping::StreamShaper,
    tls::TlsFailure,
    transport::{ClientSocket, StreamEnd, close_in_order},
};

/// The word for a client that did not complete its handshake in time.
const HANDSHAKE_TIMEOUT: &str = "tls_timeout";

/// Serves a connection until it is over, or `closing`. Faults lie on the client's socket, beneath its TLS.
pub(super) async fn serve(
    client: TcpStream,
    address: ClientAddress,
    permit: OwnedSemaphorePermit,
    scope: Rc<Scope>,
    closing: CancellationToken,
) {
    let number = scope.route.next_connection();
    let line = (scope.route.logs_access()).then(|| ConnectionLine::of_tcp(Instant::now()));
    let client = ClientSocket::new(client, address, number, &scope, permit);
    let counts = client.bytes();
    let ending = carry(&client, &scope, counts, &closing).await;
    client.note_end(ending.as_evidence());
    tell(&scope, client.peer(), &Outcome::new(counts, ending), line);
}

async fn carry(
    client: &ClientSocket,
    scope: &Scope,
    counts: &Counts,
    closing: &CancellationToken,
) -> RelayEnding {
    let beginning = StreamShaper::at_connect(&scope.route, client.peer(), client.number());
    let admitted = match admit(client.tcp(), beginning, &scope.faults, &scope.timer) {
        None => Admitted::Yes,
        Some(held) => tokio::select! {
            biased;
            () = closing.cancelled() => return RelayEnding::RouteClosing,
            admitted = held => admitted,
        },
    };
    match admitted {
        Admitted::Yes => {}
        Admitted::Reset => return ended_by_fault(client, StreamEnd::Reset).await,
        Admitted::Close => return ended_by_fault(client, StreamEnd::Close).await,
        Admitted::Gone => return RelayEnding::ClientGone,
    }
    let begun = tokio::select! {
        biased;
        begun = Box::pin(begin(client, scope)) => begun,
        // Behind what reads and writes, as it waits for what they left.
        end = client.layered().ended_by_fault() => return ended_by_fault(client, end).await,
        () = closing.cancelled() => return RelayEnding::RouteClosing,
    };
    match begun {
        Ok(opened) => {
            let upstream = &opened.transport;
            pass_decrypted(client, upstream, &[], &[], scope, counts, closing).await
        }
        Err(ending) => ending,
    }
}

/// Completes the client's handshake, then connects to the upstream: a client that is none costs no connection there.
async fn begin(client: &ClientSocket, scope: &Scope) -> Result<Opened, RelayEnding> {
    if let Some(tls) = client.transport().tls() {
        let limit = scope.client_timeouts.head;
        match timeout(limit, tls.handshake()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(refused(client, scope, error).await),
            Err(_) => {
                scope.route.refused(HANDSHAKE_TIMEOUT).add(1);
                return Err(RelayEnding::HandshakeFailed(HANDSHAKE_TIMEOUT));
            }
        }
    }
    let upstream = scope.route.upstream();
    let ends = (upstream.options().send_proxy).and_then(|_| client.ends());
    open(scope, &upstream, ends).await.map_err(|error| {
        scope.route.errors(error.kind()).add(1);
        client.reset();
        RelayEnding::UpstreamFailed(error)
    })
}

/// A handshake with a client that did not come about. An alert has told it why.
async fn refused(client: &ClientSocket, scope: &Scope, error: io::Error) -> RelayEnding {
    let Some(failure) = TlsFailure::inside(&error) else {
        return RelayEnding::Broken(error);
    };
    scope.route.tls_failed(failure);
    client.close_in_order().await;
    RelayEnding::HandshakeFailed(failure.cause.name())
}

async fn ended_by_fault(client: &ClientSocket, end: StreamEnd) -> RelayEnding {
    match end {
        StreamEnd::Reset => {
            client.layered().arrived().await;
            client.reset();
            RelayEnding::ResetByFault
        }
        StreamEnd::Close => {
            close_in_order(&[client.tcp()]).await;
            RelayEnding::ClosedByFault
        }
        StreamEnd::ClientGone => RelayEnding::ClientGone,
    }
}
