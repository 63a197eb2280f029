//! Upstreams that speak TLS.

use std::{sync::Arc, time::Duration};

use brownout_proxy::{HostField, Upstream, UpstreamTlsOptions};
use brownout_telemetry::names;
use brownout_testkit::{
    RawClient, TestAuthority, TestProxy, TestUpstream, TlsFront, eventually, within,
};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    sync::{Notify, mpsc},
    time::sleep,
};

fn trusting(authority: &TestAuthority) -> UpstreamTlsOptions {
    UpstreamTlsOptions {
        ca: Some(authority.file()),
        ..UpstreamTlsOptions::default()
    }
}

/// What a client is told when TLS to the upstream fails, and under which word it is counted and logged.
async fn failing(front: &TlsFront, options: UpstreamTlsOptions) -> (String, String) {
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(options)
        .with_access_log()
        .start();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 502);
    eventually("a line", || proxy.access_lines().len() == 1).await;
    let line = &proxy.access_lines()[0];
    let word = line["ending"].as_str().unwrap().to_owned();
    let tags = [proxy.route(), word.as_str()];
    let counted = || proxy.metrics().counter(names::PROXY_ERRORS, &tags).total();
    eventually(&format!("proxy.errors {word}"), || counted() == 1).await;
    (answer.text(), word)
}

#[tokio::test]
async fn an_https_upstream_answers_and_its_connection_is_kept() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(trusting(&authority))
        .with_cores(1)
        .start();

    let mut client = proxy.connect().await;
    for _ in 0..3 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello");
    }

    assert_eq!(front.handshakes(), 1);
}

#[tokio::test]
async fn a_session_is_resumed_when_a_new_connection_is_needed() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::raw(|stream| async {
        let mut client = RawClient::over(stream);
        client.request().await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        client.send(answer).await;
    })
    .await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(trusting(&authority))
        .with_cores(1)
        .start();

    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.text(), "ok");
    }

    assert_eq!((front.handshakes(), front.resumed()), (3, 2));
}

#[tokio::test]
async fn an_expired_certificate_is_named() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue_between(&["127.0.0.1"], 2020, 2021);
    let front = TlsFront::before(upstream.address(), &certificate).await;

    let (told, word) = failing(&front, trusting(&authority)).await;

    assert!(
        told.contains("its certificate expired on Fri, 01 Jan 2021"),
        "{told}"
    );
    assert_eq!(word, "tls_expired");
}

#[tokio::test]
async fn a_certificate_of_the_future_is_named() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue_between(&["127.0.0.1"], 2090, 2100);
    let front = TlsFront::before(upstream.address(), &certificate).await;

    let (told, word) = failing(&front, trusting(&authority)).await;

    assert!(
        told.contains("is not valid before Sun, 01 Jan 2090"),
        "{told}"
    );
    assert_eq!(word, "tls_not_yet_valid");
}

#[tokio::test]
async fn an_unknown_issuer_is_named_and_insecure_takes_it() {
    let (authority, other) = (TestAuthority::new(), TestAuthority::new());
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;

    let (told, word) = failing(&front, trusting(&other)).await;
    let insecure = UpstreamTlsOptions {
        insecure: true,
        ..UpstreamTlsOptions::default()
    };
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(insecure)
        .start();

    assert!(told.contains("unknown issuer"), "{told}");
    assert_eq!(word, "tls_unknown_issuer");
    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_wrong_name_is_told_with_the_names_there_are_and_server_name_mends_it() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["api.test", "www.test"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;

    let (told, word) = failing(&front, trusting(&authority)).await;
    let named = UpstreamTlsOptions {
        server_name: Some("api.test".to_owned()),
        ..trusting(&authority)
    };
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(named)
        .start();

    assert!(
        told.contains("is not for `127.0.0.1` but for api.test, www.test"),
        "{told}"
    );
    assert_eq!(word, "tls_wrong_name");
    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_it_and_says_so_without() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front =
        TlsFront::asking_for_certificates(upstream.address(), &certificate, &authority).await;

    let (told, word) = failing(&front, trusting(&authority)).await;
    let client = authority.issue(&["client"]);
    let shown = UpstreamTlsOptions {
        cert: Some(client.cert.clone()),
        key: Some(client.key.clone()),
        ..trusting(&authority)
    };
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(shown)
        .start();

    assert!(told.contains("certificate_required"), "{told}");
    assert_eq!(word, "tls_refused");
    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[tokio::test]
async fn plain_http_behind_https_is_named() {
    let upstream = TestUpstream::raw(|mut stream| async move {
        let answer = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        answer.await.unwrap();
        brownout_testkit::RawClient::over(stream).ended().await;
    })
    .await;
    let insecure = UpstreamTlsOptions {
        insecure: true,
        ..UpstreamTlsOptions::default()
    };
    let proxy = TestProxy::to_url(&format!("https://{}", upstream.address()))
        .with_upstream_tls(insecure)
        .start();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 502);
    let told = answer.text();
    assert!(
        told.contains("plain HTTP came instead of a TLS handshake"),
        "{told}"
    );
}

#[tokio::test]
async fn a_handshake_that_is_cut_or_never_answered_is_told() {
    let cut = TestUpstream::raw(|stream| async move {
        stream.readable().await.unwrap();
    })
    .await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let insecure = UpstreamTlsOptions {
        insecure: true,
        ..UpstreamTlsOptions::default()
    };
    let to = |address| {
        TestProxy::to_url(&format!("https://{address}"))
            .with_upstream_tls(insecure.clone())
            .start()
    };

    let answer = to(cut.address()).get("/").await;
    assert_eq!(answer.status(), 502);
    assert!(
        answer.text().contains("during the TLS handshake"),
        "{}",
        answer.text()
    );

    let answer = to(silent.local_addr().unwrap()).get("/").await;
    assert_eq!(answer.status(), 504);
    let told = answer.text();
    assert!(
        told.contains("did not complete the TLS handshake"),
        "{told}"
    );
}

#[tokio::test]
async fn an_answer_without_another_end_is_whole_with_a_close_notify_and_cut_by_a_reset() {
    let authority = TestAuthority::new();
    let seen = Arc::new(Notify::new());
    let was_seen = Arc::clone(&seen);
    let upstream = TestUpstream::raw(move |stream| {
        let was_seen = Arc::clone(&was_seen);
        async move {
            let mut client = RawClient::over(stream);
            let whole = client.request().await.head.contains("/whole");
            client.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
            if whole {
                client.finish().await;
            } else {
                // A reset throws away what nobody has read.
                was_seen.notified().await;
                client.reset();
            }
        }
    })
    .await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(trusting(&authority))
        .start();

    assert_eq!(proxy.get("/whole").await.text(), "hello");
    let mut client = proxy.connect().await;
    client.get("/cut").await;
    client.read_until(b"hello\r\n").await;
    seen.notify_one();

    assert_eq!(client.ended().await.bytes, b"", "without the last chunk");
}

#[tokio::test]
async fn a_fin_without_a_close_notify_does_not_complete_an_answer() {
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let server = cutting_server(&certificate).await;
    let proxy = TestProxy::to_url(&format!("https://127.0.0.1:{server}"))
        .with_upstream_tls(trusting(&authority))
        .start();

    let mut client = proxy.connect().await;
    client.get("/").await;
    let seen = client.ended().await;

    let seen = String::from_utf8(seen.bytes).unwrap();
    assert!(seen.contains("hello"), "{seen}");
    assert!(!seen.ends_with("0\r\n\r\n"), "{seen}");
}

/// A server in Python's `ssl` that answers without a length and then closes its socket beneath TLS.
async fn cutting_server(certificate: &brownout_testkit::TestCertificate) -> u16 {
    let script = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
tcp, _ = listener.accept()
tls = context.wrap_socket(tcp, server_side=True, suppress_ragged_eofs=False)
tls.recv(65536)
tls.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")
socket.socket(fileno=tls.detach()).shutdown(socket.SHUT_RDWR)
"#;
    let mut child = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&certificate.cert)
        .arg(&certificate.key)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        line
    });
    let port = within("a port", reading).await.unwrap();
    std::thread::spawn(move || child.wait());
    port.trim().parse().unwrap()
}

#[tokio::test]
async fn sixty_four_mebibytes_go_up_and_down_whole() {
    const SIZE: u64 = 64 * 1024 * 1024;
    let authority = TestAuthority::new();
    let upstream = TestUpstream::raw(|stream| async {
        let mut client = RawClient::over(stream);
        client.head().await;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        client.send(answer).await;
        client.patterns_both_ways(SIZE).await;
    })
    .await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(trusting(&authority))
        .start();

    let mut client = proxy.connect().await;
    let request = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n");
    client.send(request).await;
    let head = client.head().await;

    assert_eq!(head.status(), 200);
    client.patterns_both_ways(SIZE).await;
}

#[tokio::test]
async fn the_handshake_is_the_upstreams_time() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    // A route of bytes that are held on their way: the handshake takes two turns.
    let slow = TestProxy::to_url(&format!("tcp://127.0.0.1:{}", front.port())).start();
    slow.arm(&json!({ "latency": "60ms", "layer": "stream" }));
    let proxy = TestProxy::to_url(&format!("https://{}", slow.address()))
        .with_upstream_tls(trusting(&authority))
        .with_access_log()
        .start();

    assert_eq!(proxy.get("/").await.text(), "hello");

    eventually("a line", || proxy.access_lines().len() == 1).await;
    let line = &proxy.access_lines()[0];
    assert!(line["upstream_ms"].as_f64().unwrap() >= 120.0, "{line:?}");
}

#[tokio::test]
async fn requests_get_the_host_that_the_route_says() {
    let upstream = TestUpstream::replying("hello").await;
    for (host, wanted) in [
        (HostField::Keep, "test".to_owned()),
        (HostField::Upstream, upstream.address().to_string()),
        (
            HostField::Text("api.test".to_owned()),
            "api.test".to_owned(),
        ),
    ] {
        let proxy = TestProxy::to(&upstream).with_host(host).start();

        proxy.get("/").await;

        let received = upstream.received();
        let headers = &received.last().unwrap().headers;
        assert_eq!(headers.get_all("host").iter().count(), 1);
        assert_eq!(headers["host"], wanted);
    }
}

#[tokio::test]
async fn an_upstream_can_be_tried_before_there_is_traffic() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let with =
        |options: &UpstreamTlsOptions| Upstream::parse_with(&front.url(), Some(options)).unwrap();

    let good = with(&trusting(&authority)).try_connect().await;
    let other = TestAuthority::new();
    let bad = with(&trusting(&other)).try_connect().await;

    assert_eq!(good, Ok(()));
    assert!(bad.unwrap_err().contains("unknown issuer"));
}

#[tokio::test]
async fn an_idle_connection_that_gets_session_tickets_late_is_still_used() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    // Slices arrive one by one, the tickets behind the answer as likely as not.
    let sliced = TestProxy::to_url(&format!("tcp://127.0.0.1:{}", front.port())).start();
    sliced.arm(&json!({ "slicer": { "size": "40B", "gap": "1ms" }, "layer": "stream" }));
    let proxy = TestProxy::to_url(&format!("https://{}", sliced.address()))
        .with_upstream_tls(trusting(&authority))
        .with_cores(1)
        .start();

    let mut client = proxy.connect().await;
    for _ in 0..5 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    assert_eq!(front.handshakes(), 1);
}

#[tokio::test]
async fn the_end_of_a_request_that_was_answered_early_still_reaches_an_upstream_that_reads_slowly()
{
    const LENGTH: usize = 64 << 20;
    let authority = TestAuthority::new();
    let (told, mut received) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw({
        move |stream| {
            let told = told.clone();
            async move {
                let mut connection = RawClient::over(stream);
                connection.head().await;
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
                // More slowly than it is sent, so that much is on its way all the time.
                let mut read = 0;
                while read < LENGTH {
                    read += connection.read_exact(1 << 18).await.len();
                    sleep(Duration::from_millis(1)).await;
                }
                told.send(read).ok(); // The test may have ended.
            }
        }
    })
    .await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(trusting(&authority))
        .start();
    let mut client = proxy.connect().await;

    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.response().await.text(), "ok");
    client.send(vec![b'x'; LENGTH]).await;

    let body = within("the upstream to read the body", received.recv()).await;
    assert_eq!(body, Some(LENGTH));
}
