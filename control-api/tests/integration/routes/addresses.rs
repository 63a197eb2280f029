//! Where routes listen: addresses that are taken, moved, written otherwise, or lead back to the proxy.

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
    let first: std::net::SocketAddr = made["listen"].as_str().unwrap().parse().unwrap();

    let (status, moved) = patch("0.0.0.0:0".to_owned()).await;

    assert_eq!(status, 200, "{moved}");
    let moved: std::net::SocketAddr = moved["listen"].as_str().unwrap().parse().unwrap();
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

#[tokio::test]
async fn every_address_is_one_address_however_it_is_written() {
    let world = World::start().await;
    let upstream = world.upstream.url();
    let new = json!({ "name": "two", "listen": ":0", "upstream": upstream });
    let (_, made) = world.call("POST", "/routes", new).await;
    let port = made["listen"].as_str().unwrap().rsplit_once(':').unwrap().1;
    let mut warm = RawClient::connect(format!("127.0.0.1:{port}").parse().unwrap()).await;
    for host in ["", "0.0.0.0", "[::]"] {
        let change = json!({ "listen": format!("{host}:{port}") });

        let (status, shown) = world.call("PATCH", "/routes/two", change).await;

        assert_eq!(
            (status, &shown["listen"]),
            (200, &made["listen"]),
            "{shown}"
        );
        warm.get("/").await;
        assert_eq!(warm.response().await.text(), "hello", "{host}");
    }
    // From IPv4 alone to both is another address, which its own route has: nothing changes.
    let new = json!({ "name": "four", "listen": "0.0.0.0:0", "upstream": upstream });
    let (_, four) = world.call("POST", "/routes", new).await;
    let port = four["listen"].as_str().unwrap().rsplit_once(':').unwrap().1;
    let change = json!({ "listen": format!(":{port}") });
    assert_eq!(world.call("PATCH", "/routes/four", change).await.0, 409);
    let (_, shown) = world.get("/routes/four").await;
    assert_eq!(shown["listen"], four["listen"]);
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
