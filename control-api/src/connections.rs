//! The connections of the control API: bounded, and never so full that the red button cannot be pressed.
//!
//! When all places are taken, the connection that has been idle for longest makes room. When none is idle, further
//! connections get one of the kept places, on which only `POST /halt` and `GET /healthz` are served, one call each.

mod handshake;
mod places;
mod watched;

pub(crate) use self::{
    handshake::ShownTls,
    places::{Peer, Place},
};

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, Request, Response, header},
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use self::{
    places::{Places, Slot},
    watched::{RequestBody, ResponseBody},
};

/// How long a connection may take over the head of a call, and be idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Room for the longest target and the most fields that are refused with a reason, instead of hyper's empty answer.
const HEAD_BYTES_MAX: usize = 128 * 1024;
const FIELDS_MAX: usize = 1_000;

/// Accepts connections until it is told to stop, then waits for those it has.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    connections_max: usize,
    tls: Option<ShownTls>,
) {
    /// Until what was closed has given back its descriptor.
    const BACK_OFF: Duration = Duration::from_millis(10);
    let places = Arc::new(Places::new(connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let slot = places.take(peer);
                let (router, stop) = (router.clone(), stop.clone());
                match tls.clone() {
                    None => connections.spawn(serve_plain(tcp, router, slot, stop)),
                    Some(tls) => connections.spawn(serve_tls(tcp, tls, router, slot, stop)),
                };
            }
            Err(error) => {
                // Out of descriptors, most likely.
                tracing::warn!(%error, "the control API could not accept");
                places.make_room();
                sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve_plain(tcp: TcpStream, router: Router, slot: Slot, stop: CancellationToken) {
    set_no_delay(&tcp);
    serve_connection(tcp, router, slot, stop).await;
}

async fn serve_tls(
    tcp: TcpStream,
    tls: ShownTls,
    router: Router,
    slot: Slot,
    stop: CancellationToken,
) {
    set_no_delay(&tcp);
    let begun = tokio::select! {
        begun = handshake::accept(tcp, &tls) => begun,
        () = slot.must_go() => return,
        () = stop.cancelled() => return,
    };
    match begun {
        Ok(stream) => Box::pin(serve_connection(stream, router, slot, stop)).await,
        // Most likely a client that does not trust the certificate.
        Err(error) => {
            tracing::info!(%error, peer = %slot.usage().peer().0, "no TLS connection of the control API came about");
        }
    }
}

fn set_no_delay(tcp: &TcpStream) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "a connection of the control API has no TCP_NODELAY");
    }
}

/// Serves one connection to its end: its own, or that of the call it is at when told to stop, or at once when it must
/// make room or is overdue.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    slot: Slot,
    stop: CancellationToken,
) {
    let usage = slot.usage();
    let router = TowerToHyperService::new(router);
    let serve = hyper::service::service_fn(move |request: Request<Incoming>| {
        let usage = Arc::clone(&usage);
        let router = router.clone();
        async move { Ok::<_, Infallible>(serve_call(request, router, usage).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(FIELDS_MAX)
            .serve_connection(TokioIo::new(stream), serve)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = slot.must_go() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A caller that leaves is its own affair.
        tracing::debug!(%error, "a connection of the control API broke");
    }
}

async fn serve_call(
    request: Request<Incoming>,
    router: TowerToHyperService<Router>,
    usage: Arc<places::Usage>,
) -> Response<ResponseBody> {
    usage.begin();
    let place = usage.place();
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(usage.peer());
    parts.extensions.insert(place);
    let (body, is_whole) = RequestBody::new(body);
    let Ok(response) = router.call(Request::from_parts(parts, body)).await;
    let mut response = response.map(|body| ResponseBody::new(body, usage));
    if place == Place::Kept || !is_whole.get() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
