//! A connection of a `tcp` route to its upstream.

use std::{cell::Cell, convert::Infallible, sync::Arc};

use tokio::time::timeout;

use crate::{
    error::UpstreamError,
    http1::handshake,
    proxy_protocol::{Endpoints, header, send},
    scope::Scope,
    transport::Transport,
    upstream::{Place, Reached, ServerFailure, Turn, Upstream},
};

/// A connection to the upstream, with the place in the pool that it takes.
pub(super) struct Opened {
    pub(super) transport: Transport,
    _place: Option<Place>,
}

/// What an attempt waits for.
#[derive(Clone, Copy)]
enum Opening {
    Place,
    Connecting,
    Handshake,
}

/// Opens a connection for a client, with TLS where the upstream speaks it.
///
/// # Errors
/// When that failed or took too long, or the connection leads back to the route.
pub(super) async fn open(
    scope: &Scope,
    upstream: &Arc<Upstream>,
    client: Option<Endpoints>,
) -> Result<Opened, UpstreamError> {
    let limit = upstream.options().connect_timeout;
    let opening = Cell::new(Opening::Place);
    let opened = timeout(limit, async {
        let place = scope.pool.place(upstream).await;
        opening.set(Opening::Connecting);
        let failed = |server: &Upstream, failure: &ServerFailure<'_>| {
            scope.route.server_failed(server, failure);
        };
        let kept = |_| None::<Infallible>;
        let Turn { server, .. } = upstream.next_server();
        let dialed = match (upstream.reach(server, &scope.pool.names, kept, failed)).await? {
            Reached::Opened(dialed) => dialed,
            Reached::Kept(never) => match never {},
        };
        opening.set(Opening::Handshake);
        let server = upstream.server(dialed.server);
        scope.check_leads_on(server, &dialed.tcp)?;
        if let Some(version) = upstream.options().send_proxy {
            send(&dialed.tcp, &header(version, client)).await?;
        }
        let transport = match server.tls() {
            None => Transport::Plain(dialed.tcp),
            Some(tls) => handshake(dialed.tcp, scope.upstream_tls.begin(tls)).await?,
        };
        Ok(Opened {
            transport,
            _place: place,
        })
    });
    opened.await.unwrap_or_else(|_| {
        let max = upstream.options().pool.max_connections;
        Err(match (opening.get(), max) {
            (Opening::Place, Some(max)) => UpstreamError::PoolFull { max, limit },
            (Opening::Place, None) | (Opening::Connecting, _) => {
                UpstreamError::ConnectTimeout { limit }
            }
            (Opening::Handshake, _) => UpstreamError::HandshakeTimeout { limit },
        })
    })
}
