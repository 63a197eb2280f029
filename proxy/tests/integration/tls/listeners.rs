//! Listeners that speak TLS.

use std::time::{Duration, Instant};

use brownout_proxy::{
    ClientTimeouts, ListenerTls, ListenerTlsChange, ListenerTlsOptions, LocalAuthority, RouteChange,
};
use brownout_telemetry::names;
use brownout_testkit::{
    How, RawClient, TestAuthority, TestProxy, TestUpstream, TlsTunnel, eventually,
};
use serde_json::json;

const NAME: &str = "web.test";

/// A proxy whose listener speaks TLS, and a way into it for clients that know only bytes.
async fn encrypted(upstream: &TestUpstream) -> (TestProxy, TlsTunnel) {
    let authority = TestAuthority::new();
    let certificate = authority.issue(&[NAME]);
    let proxy = TestProxy::to(upstream)
        .with_tls(certificate.for_listener())
        .start();
    let tunnel = TlsTunnel::to(proxy.address(), NAME, &authority).await;
    (proxy, tunnel)
}

#[tokio::test]
async fn requests_come_one_after_the_other_and_pipelined() {
    let upstream = TestUpstream::replying("hello").await;
    let (_proxy, tunnel) = encrypted(&upstream).await;
    let mut client = RawClient::connect(tunnel.address()).await;

    for _ in 0..3 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello");
    }
    client
        .send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;

    assert_eq!(client.response().await.text(), "hello");
    assert_eq!(client.response().await.text(), "hello");
    // With a close_notify: the tunnel would make a reset of an end without.
    assert_eq!(client.ended().await.how, How::Fin);
}

#[tokio::test]
async fn sixty_four_mebibytes_go_up_and_down_whole() {
    const SIZE: u64 = 64 * 1024 * 1024;
    let upstream = TestUpstream::raw(|stream| async {
        let mut client = RawClient::over(stream);
        client.head().await;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        client.send(answer).await;
        client.patterns_both_ways(SIZE).await;
    })
    .await;
    let (_proxy, tunnel) = encrypted(&upstream).await;
    let mut client = RawClient::connect(tunnel.address()).await;

    let request = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n");
    client.send(request).await;

    assert_eq!(client.head().await.status(), 200);
    client.patterns_both_ways(SIZE).await;
}

#[tokio::test]
async fn a_client_that_reads_late_gets_everything_and_one_that_never_reads_holds_nobody_up() {
    const SIZE: usize = 8 * 1024 * 1024;
    let upstream = TestUpstream::replying("x".repeat(SIZE)).await;
    let (proxy, tunnel) = encrypted(&upstream).await;
    let mut never = RawClient::connect(tunnel.address()).await;
    never.get("/").await;
    let mut late = RawClient::connect(tunnel.address()).await;
    late.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    eventually("both are stuck", || {
        let status = &proxy.handle().routes()[0];
        status.requests == 2 && status.bytes_out > 0 && status.bytes_out < 3 * SIZE as u64
    })
    .await;

    let mut other = RawClient::connect(tunnel.address()).await;
    other.get("/").await;
    assert_eq!(other.response().await.body.len(), SIZE);
    for _ in 0..2 {
        assert_eq!(late.response().await.body.len(), SIZE);
    }
}

#[tokio::test]
async fn an_early_answer_passes_while_the_upload_goes_on() {
    const SIZE: u64 = 4 * 1024 * 1024;
    let upstream = TestUpstream::raw(|stream| async {
        let mut client = RawClient::over(stream);
        client.head().await;
        client
            .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
            .await;
        client.expect_pattern(SIZE).await;
        client.head().await;
        client
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        client.ended().await;
    })
    .await;
    let (_proxy, tunnel) = encrypted(&upstream).await;
    let mut client = RawClient::connect(tunnel.address()).await;

    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.response().await.status(), 413);
    client.send_pattern(SIZE).await;
    client.get("/").await;

    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn plain_http_is_told_in_plain_that_this_is_tls() {
    let upstream = TestUpstream::replying("hello").await;
    let authority = TestAuthority::new();
    let proxy = TestProxy::to(&upstream)
        .with_tls(authority.issue(&[NAME]).for_listener())
        .with_access_log()
        .start();

    let mut client = proxy.connect().await;
    client.get("/").await;
    let answer = client.response().await;

    assert_eq!(answer.status(), 400);
    assert!(
        answer.text().contains("use https instead of http"),
        "{}",
        answer.text()
    );
    assert_eq!(client.ended().await.how, How::Fin);
    let tags = [proxy.route(), "plain_http"];
    eventually("it to be counted and logged", || {
        let warned = proxy.log_lines();
        let says_so =
            |line: &serde_json::Map<_, _>| line["message"].to_string().contains("speaks TLS");
        proxy.metrics().counter(names::PROXY_REFUSED, &tags).total() == 1
            && warned.iter().any(says_so)
    })
    .await;
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_handshake_of_rubbish_is_counted_and_gets_an_alert() {
    let upstream = TestUpstream::replying("hello").await;
    let (proxy, _tunnel) = encrypted(&upstream).await;

    let mut client = proxy.connect().await;
    // A record of content, before there are keys.
    client.send([0x17, 3, 3, 0, 1, 0]).await;
    let ended = client.ended().await;

    assert_eq!(ended.bytes.first(), Some(&0x15), "an alert: {ended:?}");
    let counted = || {
        let tags = [proxy.route(), "tls_handshake"];
        proxy.metrics().counter(names::PROXY_REFUSED, &tags).total() == 1
    };
    eventually("it is counted", counted).await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_counted() {
    let upstream = TestUpstream::replying("hello").await;
    let (proxy, _tunnel) = encrypted(&upstream).await;
    let distrusting = TlsTunnel::to(proxy.address(), NAME, &TestAuthority::new()).await;

    let mut client = RawClient::connect(distrusting.address()).await;

    assert_eq!(client.ended().await.how, How::Reset);
    let counted = || {
        let tags = [proxy.route(), "tls_refused"];
        proxy.metrics().counter(names::PROXY_REFUSED, &tags).total() == 1
    };
    eventually("it is counted", counted).await;
}

#[tokio::test]
async fn a_handshake_has_as_long_as_a_head() {
    let upstream = TestUpstream::replying("hello").await;
    let authority = TestAuthority::new();
    let proxy = TestProxy::to(&upstream)
        .with_tls(authority.issue(&[NAME]).for_listener())
        .with_client_timeouts(ClientTimeouts {
            head: Duration::from_millis(200),
            ..ClientTimeouts::default()
        })
        .start();
    let began = Instant::now();

    let mut client = proxy.connect().await;
    client.send([0x16, 3, 1]).await;
    let ended = client.ended().await;

    assert!(ended.bytes.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_reset_is_a_real_one_and_arrives_behind_what_was_sent() {
    let upstream = TestUpstream::replying("hello").await;
    let (proxy, tunnel) = encrypted(&upstream).await;
    proxy.arm(&json!({ "reset": {}, "match": { "path": "/reset" } }));
    let mut client = RawClient::connect(tunnel.address()).await;

    client
        .send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /reset HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;

    assert_eq!(client.response().await.text(), "hello");
    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
}

#[tokio::test]
async fn stream_faults_lie_beneath_tls() {
    let upstream = TestUpstream::replying("h".repeat(100_000)).await;
    let (proxy, tunnel) = encrypted(&upstream).await;
    for (fault, is_whole) in [
        (json!({ "slicer": { "size": "1KB", "gap": "1ms" } }), true),
        (json!({ "latency": "30ms" }), true),
        (json!({ "bandwidth": "1MB/s" }), true),
        (json!({ "limit_data": "50KB" }), false),
        (json!({ "reset": { "after_bytes": "50KB" } }), false),
        // What is damaged does not decrypt.
        (json!({ "corrupt": { "rate": 1.0 } }), false),
    ] {
        let mut armed = fault.clone();
        armed["layer"] = "stream".into();
        let id = proxy.arm(&armed);
        let mut client = RawClient::connect(tunnel.address()).await;
        client
            .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .await;
        let ended = client.ended().await;
        let all = ended.bytes.len() > 100_000;
        assert_eq!(
            (all, ended.how == How::Fin),
            (is_whole, is_whole),
            "{fault}"
        );
        eventually("it struck", || proxy.fault(&id).counters.injected > 0).await;
        proxy.disarm(&id);
    }
}

#[tokio::test]
async fn a_fault_can_be_armed_and_removed_on_an_open_connection() {
    let upstream = TestUpstream::replying("hello").await;
    let (proxy, tunnel) = encrypted(&upstream).await;
    let mut client = RawClient::connect(tunnel.address()).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");

    let id = proxy.arm(&json!({ "latency": "50ms", "layer": "stream" }));
    let began = Instant::now();
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");
    assert!(began.elapsed() >= Duration::from_millis(50));

    proxy.disarm(&id);
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_asked() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let main = authority.issue(&[NAME]);
    let own = authority.issue(&["api.test", "*.wild.test"]);
    let given = authority.issue(&["other.test"]);
    let options = ListenerTlsOptions::Files {
        main: main.files(None),
        others: vec![own.files(None), given.files(Some(&["other.test"]))],
    };
    let proxy = TestProxy::to(&upstream).with_tls(options).start();

    for name in [NAME, "api.test", "a.wild.test", "other.test"] {
        // It would not go on with a certificate for another name.
        let tunnel = TlsTunnel::to(proxy.address(), name, &authority).await;
        let mut client = RawClient::connect(tunnel.address()).await;
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello", "{name}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_for_those_who_connect_from_then_on() {
    let upstream = TestUpstream::replying("hello").await;
    let (old, new) = (TestAuthority::new(), TestAuthority::new());
    let proxy = TestProxy::to(&upstream)
        .with_tls(old.issue(&[NAME]).for_listener())
        .start();
    let through_old = TlsTunnel::to(proxy.address(), NAME, &old).await;
    let mut open = RawClient::connect(through_old.address()).await;
    open.get("/").await;
    open.response().await;

    let tls = ListenerTls::load(new.issue(&[NAME]).for_listener()).unwrap();
    let change = RouteChange {
        tls: Some(ListenerTlsChange::To(tls)),
        ..RouteChange::default()
    };
    proxy.handle().change_route(proxy.route(), change).unwrap();

    open.get("/").await;
    assert_eq!(open.response().await.text(), "hello", "it stays as it is");
    let through_new = TlsTunnel::to(proxy.address(), NAME, &new).await;
    let mut client = RawClient::connect(through_new.address()).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");

    let off = RouteChange {
        tls: Some(ListenerTlsChange::Off),
        ..RouteChange::default()
    };
    proxy.handle().change_route(proxy.route(), off).unwrap();
    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[test]
fn content_decides_whether_tls_has_changed() {
    let authority = TestAuthority::new();
    let certificate = authority.issue(&[NAME]);
    let load = || ListenerTls::load(certificate.for_listener()).unwrap();
    let before = load();
    assert_eq!(before, load());

    let renewed = authority.issue(&[NAME]);
    std::fs::copy(&renewed.cert, &certificate.cert).unwrap();
    std::fs::copy(&renewed.key, &certificate.key).unwrap();

    assert_ne!(before, load());
}

#[tokio::test]
async fn an_own_authority_signs_for_whatever_name_is_asked() {
    let state = tempfile::tempdir().unwrap();
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_tls(ListenerTlsOptions::Own)
        .with_state_directory(state.path())
        .start();
    let authority = LocalAuthority::open(state.path()).unwrap();

    for name in ["api.example", "localhost", "127.0.0.1"] {
        let url = format!("https://{name}:{}/", proxy.address().port());
        let resolve = format!("{name}:{}:127.0.0.1", proxy.address().port());
        let (code, out) = super::peers::curl(&[
            "--cacert",
            authority.path().to_str().unwrap(),
            "--resolve",
            &resolve,
            &url,
        ])
        .await;
        assert_eq!((code, out.as_str()), (Some(0), "hello"), "{name}");
    }
}
