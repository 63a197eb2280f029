//! What an update and a disabled proxy take (section 2.13), and what becomes of the one that cannot be replaced.

use std::net::{SocketAddr, TcpListener};

use brownout_testkit::{RawClient, within};
use serde_json::json;

use super::super::{Toxi, said_back};

#[tokio::test]
async fn a_disabled_proxy_takes_any_listen_text_and_looks_at_it_when_it_is_enabled() {
    let toxi = Toxi::start().await;
    let upstream = toxi.echo.address().to_string();
    for (name, listen, why) in [
        ("a", "nonsense", "address nonsense: missing port in address"),
        ("b", "1:2:3", "address 1:2:3: too many colons in address"),
    ] {
        let body =
            json!({ "name": name, "listen": listen, "upstream": upstream, "enabled": false });
        let (status, made) = toxi.call("POST /proxies", body).await;
        assert_eq!((status, &made["listen"]), (201, &json!(listen)));
        let one = format!("/proxies/{name}");
        assert_eq!(toxi.get(&one).await.1["listen"], listen);

        let enable = json!({ "enabled": true });
        let (status, refused) = toxi.call(&format!("POST {one}"), enable.clone()).await;
        assert_eq!((status, &refused["error"]), (500, &json!(why)));
        let (status, refused) = toxi.call("POST /reset", json!({})).await;
        assert_eq!(
            (status, &refused["error"]),
            (500, &json!(format!("listen tcp: {why}")))
        );
        assert_eq!(toxi.get(&one).await.1["enabled"], false);

        let mend = json!({ "listen": "localhost:0", "enabled": true });
        let (status, mended) = toxi.call(&format!("POST {one}"), mend).await;
        assert_eq!(status, 200, "{mended}");
        let listen: SocketAddr = mended["listen"].as_str().unwrap().parse().unwrap();
        said_back(&mut RawClient::connect(listen).await, b"ping").await;
        assert_eq!(toxi.raw("POST /reset", "").await.status(), 204);
    }
}

#[tokio::test]
async fn a_disabled_proxy_shows_its_address_as_it_was_written_until_it_listens() {
    let toxi = Toxi::start().await;
    let upstream = toxi.echo.address().to_string();
    let body =
        json!({ "name": "a", "listen": "localhost:0", "upstream": upstream, "enabled": false });

    let (_, made) = toxi.call("POST /proxies", body).await;
    assert_eq!(made["listen"], "localhost:0");

    let (_, enabled) = toxi
        .call("PATCH /proxies/a", json!({ "enabled": true }))
        .await;
    let listen: SocketAddr = enabled["listen"].as_str().unwrap().parse().unwrap();
    said_back(&mut RawClient::connect(listen).await, b"ping").await;
    let (_, disabled) = toxi
        .call("PATCH /proxies/a", json!({ "enabled": false }))
        .await;
    assert_eq!(disabled["listen"], listen.to_string());
}

#[tokio::test]
async fn an_update_takes_an_empty_upstream_and_clients_are_closed() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("a").await;

    let (status, changed) = toxi
        .call("POST /proxies/a", json!({ "upstream": "" }))
        .await;

    assert_eq!(
        (status, &changed["upstream"]),
        (200, &json!("")),
        "{changed}"
    );
    // Nobody can be connected to, which may be known before this client is.
    let closed = async {
        let mut stream = tokio::net::TcpStream::connect(listen).await.ok()?;
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0])
            .await
            .ok()
    };
    assert!(matches!(within("the end", closed).await, None | Some(0)));
    let back = json!({ "upstream": toxi.echo.address().to_string() });
    assert_eq!(toxi.call("POST /proxies/a", back).await.0, 200);
    said_back(&mut RawClient::connect(listen).await, b"ping").await;
}

#[tokio::test]
async fn populate_leaves_a_proxy_whose_replacement_cannot_listen_as_it_was() {
    let toxi = Toxi::start().await;
    let (first, listen) = (toxi.proxy("first").await, toxi.proxy("a").await);
    toxi.toxic("a", json!({ "type": "noop" })).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let upstream = toxi.echo.address().to_string();

    let wanted = json!([
        { "name": "first", "listen": first.to_string(), "upstream": upstream },
        { "name": "a", "listen": taken, "upstream": "127.0.0.1:1" },
        { "name": "never", "listen": "127.0.0.1:0", "upstream": upstream },
    ]);
    let (status, answer) = toxi.call("POST /populate", wanted).await;

    assert_eq!(status, 500, "{answer}");
    assert_eq!(answer["proxies"].as_array().unwrap().len(), 1);
    assert_eq!(answer["proxies"][0]["name"], "first");
    let (_, all) = toxi.get("/proxies").await;
    let kept = json!({ "listen": listen.to_string(), "upstream": upstream });
    assert_eq!(
        json!({ "listen": all["a"]["listen"], "upstream": all["a"]["upstream"] }),
        kept
    );
    assert_eq!(all["a"]["toxics"].as_array().unwrap().len(), 1);
    assert!(all.get("never").is_none());
    said_back(&mut RawClient::connect(listen).await, b"ping").await;
}

#[tokio::test]
async fn populate_that_is_refused_at_its_validation_has_made_nothing() {
    let toxi = Toxi::start().await;
    let wanted = json!([
        { "name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1" },
        { "name": "b" },
    ]);

    let (status, answer) = toxi.call("POST /populate", wanted).await;

    assert_eq!(status, 400);
    assert_eq!(
        answer["error"],
        "missing required field: upstream at proxy 2"
    );
    assert_eq!(answer["proxies"], json!([]));
    assert_eq!(toxi.get("/proxies").await.1, json!({}));
}
