use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use brownout_proxy::{Resolver, RouteChange, ServerStatus, Upstream};
use brownout_telemetry::names;
use brownout_testkit::{How, TestProxy, TestUpstream, eventually};

use tokio::task::JoinSet;

use super::options;

fn both(one: SocketAddr, two: SocketAddr) -> String {
    format!("http://{one},http://{two}")
}

/// An address where nobody listens.
fn refusing() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

fn servers(proxy: &TestProxy) -> Vec<ServerStatus> {
    proxy.handle().route(proxy.route()).unwrap().servers
}

#[tokio::test]
async fn requests_go_to_the_servers_by_turns_and_connections_are_kept() {
    let one = TestUpstream::replying("one").await;
    let two = TestUpstream::replying("two").await;
    let proxy = TestProxy::to_url(&both(one.address(), two.address()))
        .with_cores(1)
        .start();
    let mut client = proxy.connect().await;
    let mut answers = Vec::new();

    for _ in 0..6 {
        client.get("/").await;
        answers.push(client.response().await.text());
    }

    assert_eq!(answers, ["one", "two", "one", "two", "one", "two"]);
    assert_eq!((one.connections(), two.connections()), (1, 1));
}

#[tokio::test]
async fn a_server_that_refuses_leaves_its_requests_to_the_others() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_url(&both(refusing(), upstream.address())).start();

    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
}

#[tokio::test]
async fn requests_that_another_server_takes_over_use_its_kept_connection() {
    let upstream = TestUpstream::replying("hello").await;
    let refusing = refusing();
    let proxy = TestProxy::to_url(&both(refusing, upstream.address()))
        .with_cores(1)
        .with_access_log()
        .start();
    let mut client = proxy.connect().await;

    for _ in 0..6 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello");
    }

    assert_eq!(upstream.connections(), 1);
    let warned = proxy.log_lines();
    assert_eq!(warned.len(), 1, "once a minute: {warned:?}");
    let told = warned[0]["message"].as_str().unwrap();
    let this_one = format!("the server http://{refusing} cannot be reached, others are tried");
    assert!(told.contains(&this_one), "{told}");
    assert!(told.contains("Connection refused"), "{told}");
}

#[tokio::test]
async fn a_server_that_does_not_accept_costs_a_moment_and_not_the_whole_time_out() {
    let full = brownout_testkit::FullListener::new();
    let hanging = full.address();
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_url(&both(hanging, upstream.address()))
        .with_options(options(|it| it.connect_timeout = Duration::from_secs(60)))
        .start();

    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
}

#[tokio::test]
async fn with_little_time_to_connect_there_is_still_some_for_the_next_server() {
    let full = brownout_testkit::FullListener::new();
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_url(&both(full.address(), upstream.address()))
        .with_options(options(|it| {
            it.connect_timeout = Duration::from_millis(200);
        }))
        .start();

    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
}

#[tokio::test]
async fn a_server_that_does_not_accept_is_tried_last_from_then_on() {
    let full = brownout_testkit::FullListener::new();
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_url(&both(full.address(), upstream.address())).start();

    for _ in 0..30 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }

    let servers = servers(&proxy);
    assert_eq!(servers[0].url, format!("http://{}", full.address()));
    assert!(servers[0].is_failing, "{servers:?}");
    assert_eq!(servers[0].connect_failures, 1, "one request has waited");
    assert_eq!(
        (servers[1].is_failing, servers[1].connect_failures),
        (false, 0)
    );
    let counted = (proxy.metrics()).counter(
        names::PROXY_SERVER_FAILURES,
        &[proxy.route(), &servers[0].url],
    );
    assert_eq!(counted.total(), 1);
}

#[tokio::test]
async fn a_server_that_accepts_again_gets_its_turns_back() {
    let address = refusing();
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_url(&both(address, upstream.address())).start();
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
    assert!(servers(&proxy)[0].is_failing);
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let mut answers = JoinSet::new();
    answers.spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback";
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });

    let began = std::time::Instant::now();
    while proxy.get("/").await.text() != "back" {
        assert!(began.elapsed() < Duration::from_secs(30), "it is not asked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert!(!servers(&proxy)[0].is_failing);
    let mut next = Vec::new();
    for _ in 0..4 {
        next.push(proxy.get("/").await.text());
    }
    next.sort_unstable();
    assert_eq!(next, ["back", "back", "hello", "hello"]);
    answers.abort_all();
}

#[tokio::test]
async fn when_all_servers_fail_each_is_still_tried() {
    let (one, two) = (refusing(), refusing());
    let proxy = TestProxy::to_url(&both(one, two)).start();

    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.status(), 502);
    }

    let failures: Vec<u64> = servers(&proxy)
        .iter()
        .map(|it| it.connect_failures)
        .collect();
    assert_eq!(failures, [3, 3]);
}

#[tokio::test]
async fn another_upstream_begins_without_marks() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_url(&both(refusing(), upstream.address())).start();
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
    let changed = |upstream| RouteChange {
        upstream: Some(Upstream::parse(upstream).unwrap()),
        ..RouteChange::default()
    };
    let other = TestUpstream::replying("other").await;
    let url = both(upstream.address(), other.address());
    let handle = proxy.handle();

    handle.change_route(proxy.route(), changed(&url)).unwrap();

    let fresh = servers(&proxy);
    assert!(
        fresh
            .iter()
            .all(|it| !it.is_failing && it.connect_failures == 0)
    );
    let one = upstream.url();
    handle.change_route(proxy.route(), changed(&one)).unwrap();
    assert_eq!(servers(&proxy), [], "there is one");
}

#[tokio::test]
async fn when_no_server_can_be_reached_it_is_a_502_that_names_them() {
    let (one, two) = (refusing(), refusing());
    let proxy = TestProxy::to_url(&both(one, two)).start();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 502);
    let told = answer.text();
    assert!(told.contains(&both(one, two)), "{told}");
    assert!(told.contains("Connection refused"), "{told}");
}

#[tokio::test]
async fn a_limit_holds_for_all_servers_together() {
    let one = TestUpstream::replying("one").await;
    let two = TestUpstream::replying("two").await;
    let proxy = TestProxy::to_url(&both(one.address(), two.address()))
        .with_cores(1)
        .with_options(options(|it| it.pool.max_connections = Some(1)))
        .start();
    let mut client = proxy.connect().await;

    for turn in 0..6 {
        client.get("/").await;
        let wanted = ["one", "two"][turn % 2];
        assert_eq!(client.response().await.text(), wanted);
    }

    // The connection to one makes room for that to the other.
    assert_eq!((one.connections(), two.connections()), (3, 3));
}

#[tokio::test]
async fn connections_of_a_tcp_route_go_to_the_servers_by_turns() {
    let greeting = |word: &'static str| {
        TestUpstream::raw(move |mut stream| async move {
            use tokio::io::AsyncWriteExt;
            stream.write_all(word.as_bytes()).await.unwrap();
        })
    };
    let (one, two) = (greeting("one").await, greeting("two").await);
    let url = format!("tcp://{},tcp://{}", one.address(), two.address());
    let proxy = TestProxy::to_url(&url).start();

    let mut greetings = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.connect().await;
        client.finish().await;
        let ended = client.ended().await;
        assert_eq!(ended.how, How::Fin);
        greetings.push(String::from_utf8(ended.bytes).unwrap());
    }

    assert_eq!(greetings, ["one", "two", "one", "two"]);
}

#[tokio::test]
async fn a_name_of_both_families_is_reached_by_the_one_that_accepts() {
    // Resolved to ::1 and 127.0.0.1 where there is IPv6.
    let upstream = TestUpstream::replying("hello").await;
    let port = upstream.address().port();
    let proxy = TestProxy::to_url(&format!("http://localhost:{port}")).start();

    assert_eq!(proxy.get("/").await.text(), "hello");
}

/// Answers with what the test puts there.
fn changing(first: SocketAddr) -> (Resolver, Arc<Mutex<SocketAddr>>) {
    let answer = Arc::new(Mutex::new(first));
    let given = Arc::clone(&answer);
    let look_up = move |host: &str, port| {
        assert_eq!(host, "shop.internal");
        let _: u16 = port;
        Ok(vec![*given.lock().unwrap()])
    };
    (Resolver::new(look_up, Duration::from_millis(20)), answer)
}

#[tokio::test]
async fn a_kept_connection_is_not_used_again_once_its_name_leads_elsewhere() {
    let old = TestUpstream::replying("old").await;
    let new = TestUpstream::replying("new").await;
    let (resolver, answer) = changing(old.address());
    let proxy = TestProxy::to_url("http://shop.internal")
        .with_cores(1)
        .with_resolver(resolver)
        .start();
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "old");
    }
    assert_eq!(old.connections(), 1);

    *answer.lock().unwrap() = new.address();

    let began = std::time::Instant::now();
    loop {
        client.get("/").await;
        if client.response().await.text() == "new" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "still the old");
    }
    assert_eq!(old.connections(), 1, "no new connection to the old address");
}

#[tokio::test]
async fn a_kept_connection_stays_while_its_name_cannot_be_resolved() {
    let upstream = TestUpstream::replying("hello").await;
    let address = upstream.address();
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let look_up = move |_: &str, _| match counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    {
        0 => Ok(vec![address]),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let proxy = TestProxy::to_url("http://shop.internal")
        .with_cores(1)
        .with_resolver(Resolver::new(look_up, Duration::from_millis(5)))
        .start();
    assert_eq!(proxy.get("/").await.text(), "hello");

    eventually("further look-ups", || {
        asked.load(std::sync::atomic::Ordering::SeqCst) > 3
    })
    .await;

    assert_eq!(proxy.get("/").await.text(), "hello");
    assert_eq!(upstream.connections(), 1);
}
