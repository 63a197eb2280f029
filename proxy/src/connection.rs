//! One client's connection: requests one after the other, and the timers that end it.

use std::{pin::pin, rc::Rc, sync::Arc};

use hyper::{server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    admit::{Admitted, admit},
    client_io::{ClientIo, ClientSocket, Doing, Over},
    exchange::exchange,
    limits::{DRAIN, HEAD_TIMEOUT, IDLE_TIMEOUT},
    relay::close_in_order,
    scope::Scope,
    shaping::StreamShaper,
    upgrade,
};

/// Serves a connection until either side has enough of it. After `closing` the exchange in progress is its
/// last.
pub(crate) async fn serve(
    tcp: TcpStream,
    permit: OwnedSemaphorePermit,
    scope: Rc<Scope>,
    closing: CancellationToken,
) {
    let Ok(peer) = tcp.peer_addr() else {
        return; // It is gone already.
    };
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, %peer, "could not set TCP_NODELAY");
    }
    let number = scope.route.next_connection();
    let client = ClientSocket::new(
        tcp,
        peer,
        number,
        &scope.route,
        scope.faults.clone(),
        permit,
    );
    let beginning = StreamShaper::at_connect(&scope.route, peer, number);
    let admitted = tokio::select! {
        biased;
        () = closing.cancelled() => return,
        admitted = admit(client.tcp(), beginning, &scope.faults, &scope.timer) => admitted,
    };
    match admitted {
        Admitted::Yes => {}
        Admitted::Reset => return client.reset_on_close(),
        Admitted::Close => return close_in_order(&[client.tcp()]).await,
        Admitted::Gone => return,
    }

    match converse(&scope, &client, closing).await {
        // Faults of the stream layer may still hold the last answer.
        Ok(()) if client.is_ours_to_drain() => client.drained(DRAIN).await,
        Ok(()) | Err(None) => {}
        Err(Some(over)) => upgrade::end(&client, over).await,
    }
}

/// Serves requests until hyper has no more to say. An error is how the connection was cut before, if a fault did it.
async fn converse(
    scope: &Rc<Scope>,
    client: &Arc<ClientSocket>,
    closing: CancellationToken,
) -> Result<(), Option<Over>> {
    let service = service_fn({
        let (scope, client) = (Rc::clone(scope), Arc::clone(client));
        move |request| exchange(Rc::clone(&scope), Arc::clone(&client), request)
    });
    let connection = Builder::new()
        .preserve_header_case(true)
        .auto_date_header(false)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(ClientIo::new(Arc::clone(client))), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut closing = pin!(closing.cancelled_owned());
    let mut over = pin!(client.over());
    let mut is_closing = false;
    let result = loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => break result,
            over = &mut over => return Err(Some(over)),
            // Whatever is in progress is for nobody; dropping it tells the upstream.
            () = client.left() => return Err(None),
            () = &mut closing, if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
            overdue = overdue(client) => match overdue {
                Overdue::Idle if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                Overdue::Head | Overdue::Idle => return Err(None),
            },
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, peer = %client.peer(), "a client connection ended");
    }
    Ok(())
}

enum Overdue {
    Head,
    Idle,
}

/// Ends when the client has taken too long over a head, or has been idle for too long.
///
/// It sleeps to the earliest time at which that could be, looks, and sleeps again: no timer is touched by a
/// request.
async fn overdue(client: &ClientSocket) -> Overdue {
    let mut held_up_at = None;
    loop {
        let (doing, since) = client.activity.now();
        let now = tokio::time::Instant::now();
        let since = held_up_at.map_or(since, |held| since.max(held));
        let deadline = match doing {
            Doing::Head => since + HEAD_TIMEOUT,
            Doing::Idle => since + IDLE_TIMEOUT,
            Doing::Exchange => now + HEAD_TIMEOUT,
        };
        if now < deadline {
            sleep_until(deadline).await;
            continue;
        }
        if client.is_held_up() {
            held_up_at = Some(now); // The client has its whole time from then on.
            continue;
        }
        match doing {
            Doing::Head => return Overdue::Head,
            Doing::Idle => return Overdue::Idle,
            Doing::Exchange => {}
        }
    }
}
