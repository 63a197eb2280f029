//! Streams of HTTP/2, each sending its next request when it has the whole answer.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;

use super::{Scenario, connect};

/// One connection with the scenario's streams.
pub(super) async fn work(
    address: SocketAddr,
    scenario: Scenario,
    until: Instant,
    answered: Rc<Cell<(u64, Duration)>>,
) {
    let transport = connect(address, scenario).await;
    let handshake = Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .enable_push(false)
        .handshake::<_, Bytes>(transport);
    let (requests, connection) = handshake.await.unwrap();
    let moves = tokio::task::spawn_local(connection);
    let streams = (0..scenario.streams).map(|_| {
        let asks = ask(requests.clone(), scenario, until, Rc::clone(&answered));
        tokio::task::spawn_local(asks)
    });
    let streams: Vec<_> = streams.collect();
    drop(requests);
    for stream in streams {
        stream.await.unwrap();
    }
    moves.abort();
}

async fn ask(
    mut requests: SendRequest<Bytes>,
    scenario: Scenario,
    until: Instant,
    answered: Rc<Cell<(u64, Duration)>>,
) {
    let scheme = if scenario.tls { "https" } else { "http" };
    while Instant::now() < until {
        let sent = Instant::now();
        let request = Request::get(format!("{scheme}://bench.test{}", scenario.path))
            .header("user-agent", "load")
            .header("accept", "*/*")
            .body(())
            .unwrap();
        requests = requests.ready().await.unwrap();
        let (response, _) = requests.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let mut content = response.into_body();
        while let Some(piece) = content.data().await {
            let piece = piece.unwrap();
            content
                .flow_control()
                .release_capacity(piece.len())
                .unwrap();
        }
        let (count, slowest) = answered.get();
        answered.set((count + 1, slowest.max(sent.elapsed())));
    }
}
