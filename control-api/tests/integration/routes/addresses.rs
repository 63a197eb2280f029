//! Where routes listen: addresses that are taken, moved, written otherwise, or lead back to the proxy.

use std::net::SocketAddr;

use super::*;

#[tokio::test]
async fn a_route_into_itself_is_refused() {
    let world = World::start().await;
    let own = format!("http://{}", world.proxy);
    let (status, problem) = world
        .call("PATCH", "/routes/web", json!({ "upstream": own }))
        .await;
    assert_eq!(status, 422);
    assert_eq!(problem["errors"][0]["pointer"], "/upstream");

    // Also by way of another.
    let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": own });
    let (_, two) = world.call("POST", "/routes", route).await;
    let two = format!("http://{}", two["listen"].as_str().unwrap());
    let (status, problem) = world
        .call("PATCH", "/routes/web", json!({ "upstream": two }))
        .await;

    assert_eq!(status, 422, "{problem}");
    assert_eq!(world.through("/").await, 200);
}

#[tokio::test]
async fn a_cycle_of_routes_is_refused_however_the_addresses_are_written() {
    let world = World::start().await;
    let port = world.proxy.port();
    for host in [
        "localhost",
        "LOCALHOST",
        "web.localhost",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
    ] {
        let own = json!({ "upstream": format!("http://{host}:{port}") });
        let (status, problem) = world.call("PATCH", "/routes/web", own).await;
        assert_eq!(status, 422, "{host}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/upstream", "{host}");
    }
    // By moving where it listens to where it leads.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = free.local_addr().unwrap();
    drop(free);
    let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": format!("http://localhost:{}", there.port()) });
    assert_eq!(world.call("POST", "/routes", route).await.0, 201);
    let (status, problem) = world
        .call(
            "PATCH",
            "/routes/two",
            json!({ "listen": there.to_string() }),
        )
        .await;
    assert_eq!(status, 422, "{problem}");
    // A chain is no cycle.
    let chain = json!({ "name": "chain", "listen": "127.0.0.1:0", "upstream": format!("http://localhost:{port}") });
    assert_eq!(world.call("POST", "/routes", chain).await.0, 201);
    assert_eq!(world.through("/").await, 200);
}

#[tokio::test]
async fn a_unix_socket_listens_and_a_reset_on_it_is_refused() {
    let world = World::start().await;
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}:0600", directory.path().join("web.sock").display());
    let new = json!({ "name": "two", "listen": listen, "upstream": world.upstream.url() });

    let (status, made) = world.call("POST", "/routes", new).await;

    assert_eq!((status, &made["listen"]), (201, &json!(listen)), "{made}");
    for fault in [
        json!({ "route": "two", "reset": {} }),
        json!({ "route": "two", "blackhole": { "at": "syn" } }),
    ] {
        let (status, problem) = world.call("POST", "/faults", fault).await;
        assert_eq!(status, 422, "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/route");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("Unix socket"), "{detail}");
    }
    let fault = json!({ "route": ["web", "two"], "abort": 503 });
    assert_eq!(world.call("POST", "/faults", fault).await.0, 201);
    let wrong = json!({ "name": "three", "listen": "unix:relative", "upstream": "unix:/" });
    let (status, problem) = world.call("POST", "/routes", wrong).await;
    assert_eq!(status, 422);
    let pointers: Vec<_> = (problem["errors"].as_array().unwrap().iter())
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/listen", "/upstream"]);
}

#[tokio::test]
async fn a_route_is_moved_and_an_unchanged_listen_never_rebinds() {
    let world = World::start().await;
    let patch = async |listen: String| {
        let change = json!({ "listen": listen });
        world.call("PATCH", "/routes/two", change).await
    };
    let upstream = world.upstream.url();
    let new = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": upstream });
    let (_, made) = world.call("POST", "/routes", new).await;
    let first: SocketAddr = made["listen"].as_str().unwrap().parse().unwrap();

    let (status, moved) = patch("0.0.0.0:0".to_owned()).await;

    assert_eq!(status, 200, "{moved}");
    let moved: SocketAddr = moved["listen"].as_str().unwrap().parse().unwrap();
    let port = moved.port();
    assert!(port != 0 && moved.ip().is_unspecified());
    assert!(std::net::TcpStream::connect(first).is_err());
    let mut warm = RawClient::connect(([127, 0, 0, 1], port).into()).await;
    warm.get("/").await;
    assert_eq!(warm.response().await.text(), "hello");
    // The same in other words; and what cannot be listened on changes nothing.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for (listen, wanted) in [
        (format!("0.0.0.0:{port}"), 200),
        (moved.to_string(), 200),
        (taken.to_string(), 409),
        ("nowhere".to_owned(), 422),
    ] {
        let (status, answer) = patch(listen.clone()).await;
        assert_eq!(status, wanted, "{listen}: {answer}");
        let (_, shown) = world.get("/routes/two").await;
        assert_eq!(shown["listen"], moved.to_string(), "{listen}");
        warm.get("/").await;
        assert_eq!(warm.response().await.text(), "hello", "{listen}");
    }
}

/// What `:PORT`, `0.0.0.0:PORT` and `[::]:PORT` all ask for: every address of this machine, of IPv4 and of IPv6.
const EVERYWHERE: [&str; 3] = ["", "0.0.0.0", "[::]"];

/// The addresses of loopback on this machine; some machines have no IPv6.
fn loopback(port: u16) -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::from(([127, 0, 0, 1], port))];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        addresses.push((std::net::Ipv6Addr::LOCALHOST, port).into());
    }
    addresses
}

#[tokio::test]
async fn every_address_is_one_address_however_it_is_written() {
    let world = World::start().await;
    let web = world.upstream.url();
    let bytes = web.replace("http://", "tcp://");
    for (first, upstream) in EVERYWHERE.iter().flat_map(|it| [(it, &web), (it, &bytes)]) {
        let new = json!({ "name": "two", "listen": format!("{first}:0"), "upstream": upstream });
        let (status, made) = world.call("POST", "/routes", new).await;
        assert_eq!(status, 201, "{first}: {made}");
        let listen: SocketAddr = made["listen"].as_str().unwrap().parse().unwrap();
        let mut warm = RawClient::connect(loopback(listen.port())[0]).await;
        warm.get("/").await;
        assert_eq!(warm.response().await.text(), "hello");

        for (from, to) in EVERYWHERE
            .iter()
            .flat_map(|it| EVERYWHERE.map(|to| (it, to)))
        {
            for host in [from, to] {
                let change = json!({ "listen": format!("{host}:{}", listen.port()) });
                let (status, shown) = world.call("PATCH", "/routes/two", change).await;
                let told = (status, shown["listen"].as_str().unwrap_or_default());
                assert_eq!(
                    told,
                    (200, &*listen.to_string()),
                    "{upstream} {from} to {to}: {shown}"
                );
            }
            warm.get("/").await;
            assert_eq!(warm.response().await.text(), "hello", "{from} to {to}");
        }
        for address in loopback(listen.port()) {
            let mut client = RawClient::connect(address).await;
            client.get("/").await;
            assert_eq!(
                client.response().await.text(),
                "hello",
                "{first} at {address}"
            );
        }
        assert_eq!(world.delete("/routes/two").await.0, 204);
    }
}

#[tokio::test]
async fn a_client_that_comes_by_ipv4_to_every_address_is_told_as_one_of_ipv4() {
    let world = World::start().await;
    let new = json!({ "name": "two", "listen": "0.0.0.0:0", "upstream": world.upstream.url() });
    let (_, made) = world.call("POST", "/routes", new).await;
    let listen: SocketAddr = made["listen"].as_str().unwrap().parse().unwrap();

    let mut client = RawClient::connect(loopback(listen.port())[0]).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");

    let (_, told) = world.get("/connections?route=two").await;
    let peer = told["connections"][0]["peer"].as_str().unwrap();
    assert!(peer.starts_with("127.0.0.1:"), "{told}");
}

#[tokio::test]
async fn a_port_that_a_route_has_is_taken_however_its_address_is_written() {
    let world = World::start().await;
    let upstream = world.upstream.url();
    for first in ["0.0.0.0:0", "[::]:0", ":0"] {
        let new = json!({ "name": "first", "listen": first, "upstream": upstream });
        let (status, made) = world.call("POST", "/routes", new).await;
        assert_eq!(status, 201, "{first}: {made}");
        let port = made["listen"].as_str().unwrap().rsplit_once(':').unwrap().1;
        let mut warm = RawClient::connect(format!("127.0.0.1:{port}").parse().unwrap()).await;
        warm.get("/").await;
        assert_eq!(warm.response().await.text(), "hello");

        for host in ["0.0.0.0", "[::]", "", "127.0.0.1"] {
            let listen = format!("{host}:{port}");
            let second = json!({ "name": "second", "listen": listen, "upstream": upstream });
            let (status, problem) = world.call("POST", "/routes", second).await;
            assert_eq!(status, 409, "{listen} beside {first}: {problem}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("is taken"), "{detail}");
        }

        warm.get("/").await;
        assert_eq!(warm.response().await.text(), "hello", "it is not disturbed");
        assert_eq!(world.get("/routes/second").await.0, 404);
        world.delete("/routes/first").await;
    }
}
