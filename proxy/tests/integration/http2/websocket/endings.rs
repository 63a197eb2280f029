//! How a tunnel ends: in good order, by a reset with its code, with a connection, or with the proxy.

use std::time::{Duration, Instant};

use brownout_testkit::{TestProxy, eventually, within};
use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;

use super::peers::{Announces, Upstream, open, read, read_to_end, told};

async fn started() -> (Upstream, TestProxy) {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().with_access_log().start();
    (upstream, proxy)
}

async fn ending(proxy: &TestProxy) -> String {
    eventually("its line", || !proxy.access_lines().is_empty()).await;
    let line = proxy.access_lines().remove(0);
    line["ending"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let (mut upstream, proxy) = started().await;
    let mut client = told(&proxy).await;

    let (mut content, mut stream) = open(&mut client, "/ends").await;
    assert_eq!(read_to_end(&mut content).await.0, b"bye");
    stream.send_data("more".into(), false).unwrap();
    stream.send_data(Bytes::new(), true).unwrap();

    assert_eq!(upstream.reset().await, Reason::NO_ERROR, "it has read all");
}

#[tokio::test]
async fn the_upstreams_reset_passes_with_its_code_behind_what_came_before() {
    let (_upstream, proxy) = started().await;
    let mut client = told(&proxy).await;
    let (mut content, mut stream) = open(&mut client, "/resets").await;
    assert_eq!(read(&mut content, 3).await, b"bye");
    stream.send_data("go on".into(), false).unwrap();

    let (_, broke) = read_to_end(&mut content).await;

    let broke = broke.unwrap();
    assert!(broke.is_reset() && broke.is_remote(), "{broke:?}");
    assert_eq!(broke.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    assert_eq!(ending(&proxy).await, "reset");
}

#[tokio::test]
async fn the_clients_reset_passes_with_its_code() {
    let (mut upstream, proxy) = started().await;
    let mut client = told(&proxy).await;
    for ends_first in [false, true] {
        let (_content, mut stream) = open(&mut client, "/waits").await;
        if ends_first {
            stream.send_data("last".into(), true).unwrap();
        }

        stream.send_reset(Reason::HTTP_1_1_REQUIRED);

        assert_eq!(
            upstream.reset().await,
            Reason::HTTP_1_1_REQUIRED,
            "{ends_first}"
        );
    }
    assert_eq!(ending(&proxy).await, "reset");
}

/// A client that holds the upstream up by not reading may still leave at once.
#[tokio::test]
async fn a_reset_passes_while_a_direction_is_held_up() {
    let (mut upstream, proxy) = started().await;
    let mut client = told(&proxy).await;
    let (content, stream) = open(&mut client, "/waits").await;
    let sending = super::send_all(stream, vec![b'x'; 1 << 20].into(), true);
    let sent = tokio::time::timeout(super::QUIET, sending).await;
    assert!(sent.is_err(), "the upstream does not read");

    // The sender was dropped with the wait. Without the receiver the stream is reset.
    drop(content);
    assert_eq!(upstream.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn the_end_of_a_connection_resets_the_other_sides_stream() {
    let (mut upstream, proxy) = started().await;
    let mut client = told(&proxy).await;
    let tunnel = open(&mut client, "/waits").await;
    client.connection.shutdown().await;
    drop((client, tunnel));
    assert_eq!(upstream.reset().await, Reason::CANCEL, "RFC 8441 §5");

    let mut client = told(&proxy).await;
    let (mut content, _stream) = open(&mut client, "/chat").await;
    upstream.die();
    let (_, broke) = read_to_end(&mut content).await;
    assert_eq!(broke.unwrap().reason(), Some(Reason::CONNECT_ERROR));
}

/// RFC 9113 §8.5: no HEADERS frame has a place on such a stream.
#[tokio::test]
async fn trailers_are_an_error_of_both_streams() {
    let (mut upstream, proxy) = started().await;
    let mut client = told(&proxy).await;

    let (mut content, _stream) = open(&mut client, "/trailers").await;
    let (_, broke) = read_to_end(&mut content).await;
    assert_eq!(broke.unwrap().reason(), Some(Reason::CONNECT_ERROR));

    let (mut content, mut stream) = open(&mut client, "/waits").await;
    stream.send_trailers(HeaderMap::new()).unwrap();
    let (_, broke) = read_to_end(&mut content).await;
    assert_eq!(broke.unwrap().reason(), Some(Reason::PROTOCOL_ERROR));
    assert_eq!(upstream.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn a_drain_ends_both_directions_at_once() {
    let (_upstream, mut proxy) = started().await;
    let mut client = told(&proxy).await;
    let (mut content, mut stream) = open(&mut client, "/chat").await;
    stream.send_data("ping".into(), false).unwrap();
    assert_eq!(read(&mut content, 4).await, b"ping");

    let began = Instant::now();
    let draining = tokio::task::spawn_blocking(move || {
        proxy.drain(Duration::from_secs(60));
        proxy
    });
    let (left, broke) = read_to_end(&mut content).await;
    assert!(left.is_empty() && broke.is_none(), "{broke:?}");
    drop((content, stream));

    let proxy = within("the drain", draining).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(ending(&proxy).await, "route_closing");
}
