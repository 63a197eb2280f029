//! A connection that has changed its protocol: its bytes are passed on, with the faults of the stream layer.

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{Counts, Relay, RelayEnding, Start, decrypted::pass_decrypted};
use crate::{
    access_log::ConnectionEnd,
    exchange::Upgrade,
    scope::Scope,
    shaping::StreamShaper,
    transport::{ClientSocket, LayerParts, Transport, close_in_order},
};

/// Passes bytes between a client and an upstream that agreed on another protocol, until both have closed their side, or
/// `closing`: then both get a FIN at once.
pub(crate) async fn upgraded(
    client: &ClientSocket,
    upgrade: Upgrade,
    scope: &Scope,
    closing: CancellationToken,
) {
    let Upgrade {
        upstream,
        place: _place,
        to_client,
        to_upstream,
        line,
    } = upgrade;
    let counts = client.bytes();
    let before = [counts.bytes_in.get(), counts.bytes_out.get()];
    let ending = if client.transport().tls().is_some() || upstream.tls().is_some() {
        pass_decrypted(
            client,
            &upstream,
            &to_client,
            &to_upstream,
            scope,
            counts,
            &closing,
        )
        .await
    } else {
        pass_plain(
            client,
            &upstream,
            (to_client, to_upstream),
            scope,
            counts,
            &closing,
        )
        .await
    };
    if let Some(line) = line {
        line.log(&ConnectionEnd {
            route: scope.route.name(),
            peer: client.peer(),
            bytes_in: counts.bytes_in.get() - before[0],
            bytes_out: counts.bytes_out.get() - before[1],
            ending: ending.word(),
        });
    }
}

/// Passes bytes from socket to socket, with the faults of the stream layer between.
async fn pass_plain(
    client: &ClientSocket,
    upstream: &Transport,
    (to_client, to_upstream): (Vec<u8>, Vec<u8>),
    scope: &Scope,
    counts: &Counts,
    closing: &CancellationToken,
) -> RelayEnding {
    let LayerParts {
        from_client,
        to_client: shaper,
        arrived,
        unwritten,
        has_ended,
    } = client.layered().take_layer();
    let relay = Relay {
        client: client.tcp(),
        upstream: upstream.tcp(),
        route: &scope.route,
        faults: &scope.faults,
        timer: &scope.timer,
        counts,
    };
    let from_client = Start {
        shaper: from_client,
        // The engine has read these; they have passed the faults.
        unwritten: joined(to_upstream, &arrived),
        has_ended,
    };
    let from_upstream = behind(shaper, unwritten, to_client);
    tokio::select! {
        biased;
        outcome = relay.run(from_client, from_upstream) => outcome.ending,
        () = closing.cancelled() => {
            close_in_order(&[client.tcp(), upstream.tcp()]).await;
            RelayEnding::RouteClosing
        }
    }
}

/// The direction to the client, in which `bytes` are still to meet the faults.
fn behind(mut shaper: StreamShaper, unwritten: Bytes, bytes: Vec<u8>) -> Start {
    let unwritten = if shaper.is_passthrough() {
        joined(unwritten.to_vec(), &bytes)
    } else {
        shaper.push(bytes.into());
        unwritten
    };
    Start {
        shaper,
        unwritten,
        has_ended: false,
    }
}

fn joined(mut first: Vec<u8>, second: &[u8]) -> Bytes {
    first.extend_from_slice(second);
    first.into()
}
