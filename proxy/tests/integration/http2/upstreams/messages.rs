//! What heads, hints, trailers and calls of gRPC become on their way to and from an upstream with HTTP/2.

use super::*;

#[tokio::test]
async fn trailers_alone_and_hints_pass_as_they_are() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = Client::connect(proxy.address()).await;

    let (answer, _) = client
        .send(client.request("GET", "/trailers-only"), true)
        .await;
    let answer = answer.await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert!(answer.body().is_end_stream());
    assert_eq!(answer.headers().len(), 1, "{:?}", answer.headers());

    let (mut answer, _) = client.send(client.request("GET", "/hints"), true).await;
    let hints = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
    assert_eq!(hints.unwrap().unwrap().status(), 103);
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn trailers_that_an_answer_announces_pass_beside_its_content_length() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    for (name, value) in [
        ("x-trailer", "x-sum"),
        ("x-content-type", "application/grpc+proto"),
    ] {
        let mut client = Client::connect(proxy.address()).await;
        let request = client.request("GET", "/sized").header(name, value);
        let (answer, _) = client.send(request, true).await;
        let answer = rest(within("an answer", answer).await.unwrap()).await;
        let mut plain = proxy.connect().await;
        plain
            .send(&format!(
                "GET /sized HTTP/1.1\r\nHost: h\r\n{name}: {value}\r\n\r\n"
            ))
            .await;
        let by_http1 = plain.response().await;

        assert_eq!(answer.body, b"abc");
        assert_eq!(answer.trailers.expect(name)["x-sum"], "3");
        assert_eq!(by_http1.text(), "abc");
        assert_eq!(by_http1.trailers, ["x-sum: 3"], "{name}");
    }
}

#[tokio::test]
async fn an_upgrade_on_the_way_to_http2_is_an_ordinary_request() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = proxy.connect().await;
    client
        .send(
            "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        )
        .await;

    assert_eq!(client.response().await.status(), 200);
    let request = upstream.seen.requests.lock().unwrap()[0].clone();
    assert!(!request.headers().contains_key("upgrade"));
    assert!(!request.headers().contains_key("connection"));
}

/// The client asked for an upgrade, but the upstream was not.
#[tokio::test]
async fn an_upstream_with_http2_cannot_switch_protocols() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = proxy.connect().await;
    client
        .send("GET /switches HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;

    assert_eq!(client.response().await.status(), 502);
}

#[tokio::test]
async fn an_answer_that_announces_no_trailers_keeps_its_length() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = Client::connect(proxy.address()).await;

    let answer = client.get("/sized").await;

    assert_eq!(answer.headers["content-length"], "3");
    assert_eq!(answer.body, b"abc");
    assert_eq!(answer.trailers, None);
}

#[tokio::test]
async fn a_call_of_grpc_is_aborted_with_trailers_alone() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = Client::connect(proxy.address()).await;
    for (status, grpc) in [(503, "14"), (404, "12"), (401, "16"), (500, "2")] {
        let id = proxy.arm(&json!({ "abort": { "status": status } }));
        let request = client
            .request("POST", "/pkg.Service/Method")
            .header("content-type", "application/grpc+proto");
        let (answer, _) = client.send(request, true).await;
        let answer = answer.await.unwrap();
        proxy.disarm(&id);

        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["grpc-status"], grpc, "{status}");
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert!(answer.body().is_end_stream());
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_call_of_grpc_without_an_upstream_is_unavailable() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let proxy = spoken(&url, HttpVersion::Http2).start();
    let mut client = Client::connect(proxy.address()).await;
    let request = client
        .request("POST", "/pkg.Service/Method")
        .header("content-type", "application/grpc");

    let (answer, _) = client.send(request, true).await;
    let answer = within("an answer", answer).await.unwrap();
    let other = client.get("/").await;

    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["grpc-status"], "14");
    let message = answer.headers()["grpc-message"].to_str().unwrap();
    assert!(message.starts_with("route "), "{message}");
    assert!(answer.body().is_end_stream());
    assert_eq!(other.status, 502);
}
