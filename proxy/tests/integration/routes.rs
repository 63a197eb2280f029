//! Routes come and go while the gateway runs.

use std::io::{Read, Write};

use brownout_proxy::{ListenAddress, NewRoute, RouteChange, RouteError, Upstream};
use brownout_telemetry::{Metrics, names};
use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, eventually};
use serde_json::json;

fn new(name: &str, listen: &str, upstream: &TestUpstream) -> NewRoute {
    NewRoute {
        name: name.to_owned(),
        listen: ListenAddress::parse(listen).unwrap(),
        upstream: Upstream::parse(&upstream.url()).unwrap(),
        tls: None,
        enabled: true,
        caller_faults: false.into(),
        accept_proxy: false,
    }
}

#[tokio::test]
async fn a_route_made_later_carries_requests_at_once() {
    let first = TestUpstream::replying("first").await;
    let second = TestUpstream::replying("second").await;
    let proxy = TestProxy::to(&first).start();

    let route = proxy
        .handle()
        .add_route(new("other", "127.0.0.1:0", &second))
        .unwrap();

    let mut client = RawClient::connect(route.listen.tcp().unwrap()).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "second");
    assert_eq!(proxy.get("/").await.text(), "first");
    let names: Vec<String> = proxy
        .handle()
        .routes()
        .into_iter()
        .map(|route| route.name)
        .collect();
    assert_eq!(names, ["other", "web"]);
}

#[tokio::test]
async fn a_name_or_an_address_that_is_taken_is_refused() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let address = proxy.address().to_string();

    let name = proxy
        .handle()
        .add_route(new("web", "127.0.0.1:0", &upstream))
        .unwrap_err();
    let taken = proxy
        .handle()
        .add_route(new("two", &address, &upstream))
        .unwrap_err();

    assert!(matches!(name, RouteError::NameTaken { .. }), "{name}");
    assert!(matches!(taken, RouteError::AddressTaken { .. }), "{taken}");
    assert_eq!(taken.to_string(), format!("the address {address} is taken"));
}

#[tokio::test]
async fn disabling_refuses_at_once_and_enabling_takes_the_same_address() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut idle = proxy.connect().await;
    idle.get("/").await;
    idle.response().await;
    let set = |enabled| RouteChange {
        enabled: Some(enabled),
        ..RouteChange::default()
    };

    for _ in 0..5 {
        let disabled = proxy
            .handle()
            .change_route(TestProxy::ROUTE, set(false))
            .unwrap();
        assert!(!disabled.enabled);
        let refused = std::net::TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

        let enabled = proxy
            .handle()
            .change_route(TestProxy::ROUTE, set(true))
            .unwrap();
        assert_eq!(enabled.listen, proxy.address().into());
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
    assert_eq!(idle.ended().await.how, How::Fin, "what was idle was closed");
}

#[tokio::test]
async fn deleting_lets_a_request_in_progress_end() {
    let (release, wait) = tokio::sync::watch::channel(false);
    let upstream = TestUpstream::serving(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            hyper::Response::new(http_body_util::Full::new("late".into()))
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    eventually("the upstream to be asked", || {
        upstream.received().len() == 1
    })
    .await;

    assert!(proxy.handle().remove_route(TestProxy::ROUTE));
    assert!(std::net::TcpStream::connect(proxy.address()).is_err());
    release.send_replace(true);

    let response = client.response().await;
    assert_eq!(response.text(), "late");
    assert_eq!(client.ended().await.how, How::Fin);
    assert!(!proxy.handle().remove_route(TestProxy::ROUTE));
}

#[tokio::test]
async fn a_new_upstream_takes_the_next_request_of_a_warm_connection() {
    let first = TestUpstream::replying("first").await;
    let second = TestUpstream::replying("second").await;
    let proxy = TestProxy::to(&first).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "first");

    let upstream = Some(Upstream::parse(&second.url()).unwrap());
    let change = RouteChange {
        upstream,
        ..RouteChange::default()
    };
    proxy
        .handle()
        .change_route(TestProxy::ROUTE, change)
        .unwrap();

    client.get("/").await;
    assert_eq!(client.response().await.text(), "second");
}

#[tokio::test]
async fn moving_to_an_address_that_is_taken_leaves_everything_as_it_was() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();

    let change = RouteChange {
        listen: Some(taken.local_addr().unwrap().into()),
        upstream: Some(Upstream::parse("http://127.0.0.1:1").unwrap()),
        ..RouteChange::default()
    };
    let refused = proxy
        .handle()
        .change_route(TestProxy::ROUTE, change)
        .unwrap_err();

    assert!(matches!(refused, RouteError::AddressTaken { .. }));
    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_change_worked_out_from_a_route_that_was_changed_meanwhile_is_refused() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let handle = proxy.handle();
    let seen = handle.route(TestProxy::ROUTE).unwrap();
    let change = RouteChange {
        enabled: Some(false),
        of_revision: Some(seen.revision),
        ..RouteChange::default()
    };

    let first = handle.change_route(TestProxy::ROUTE, change.clone());
    let second = handle.change_route(TestProxy::ROUTE, change);

    assert_ne!(first.unwrap().revision, seen.revision);
    let refused = second.unwrap_err();
    assert!(matches!(refused, RouteError::ChangedMeanwhile { .. }));
}

#[tokio::test]
async fn the_first_client_at_a_new_address_meets_the_new_upstream() {
    let first = TestUpstream::replying("first").await;
    let second = TestUpstream::replying("second").await;
    let proxy = TestProxy::to(&first).start();
    for round in 0..20 {
        let to = if round % 2 == 0 { &second } else { &first };
        let wanted = if round % 2 == 0 { "second" } else { "first" };
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = free.local_addr().unwrap();
        drop(free);
        let asking = std::thread::spawn(move || {
            let mut tcp = loop {
                match std::net::TcpStream::connect(there) {
                    Ok(tcp) => break tcp,
                    Err(_) => std::thread::yield_now(),
                }
            };
            tcp.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).unwrap();
            answer
        });

        let change = RouteChange {
            listen: Some(there.into()),
            upstream: Some(Upstream::parse(&to.url()).unwrap()),
            ..RouteChange::default()
        };
        proxy
            .handle()
            .change_route(TestProxy::ROUTE, change)
            .unwrap();

        let answer = tokio::task::spawn_blocking(move || asking.join().unwrap());
        let answer = answer.await.unwrap();
        assert!(answer.ends_with(wanted), "round {round}: {answer}");
    }
}

#[tokio::test]
async fn moving_listens_anew_and_no_longer_at_the_old_place() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let change = |listen: &str| RouteChange {
        listen: Some(ListenAddress::parse(listen).unwrap()),
        ..RouteChange::default()
    };

    let same = proxy
        .handle()
        .change_route(TestProxy::ROUTE, change(&proxy.address().to_string()))
        .unwrap();
    assert_eq!(same.listen, proxy.address().into());
    let moved = proxy
        .handle()
        .change_route(TestProxy::ROUTE, change("127.0.0.1:0"))
        .unwrap();

    assert_ne!(moved.listen, proxy.address().into());
    assert!(std::net::TcpStream::connect(proxy.address()).is_err());
    let mut client = RawClient::connect(moved.listen.tcp().unwrap()).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");
}

#[tokio::test]
async fn a_route_counts_what_passed_since_it_was_made() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client
        .exchange("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        .await;

    let status = proxy.handle().route(TestProxy::ROUTE).unwrap();
    assert_eq!(
        (status.requests, status.bytes_in, status.bytes_out),
        (1, 3, 5)
    );
    assert_eq!(status.connections, 1);

    assert!(proxy.handle().remove_route(TestProxy::ROUTE));
    let again = proxy
        .handle()
        .add_route(new("web", "127.0.0.1:0", &upstream))
        .unwrap();
    assert_eq!((again.requests, again.bytes_in, again.bytes_out), (0, 0, 0));
}

#[tokio::test]
async fn both_cores_take_connections() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_cores(2).start();
    let mut clients = Vec::new();
    for _ in 0..64 {
        let mut client = proxy.connect().await;
        client.get("/").await;
        client.response().await;
        clients.push(client);
    }

    // Each core has upstream connections of its own, and one request at a time needs but one of them.
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn each_of_many_routes_counts_for_itself() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    // More than there are series to keep apart in what is sent as metrics.
    let mut routes = Vec::new();
    for index in 0..100 {
        let route = new(&format!("r{index}"), "127.0.0.1:0", &upstream);
        routes.push(proxy.handle().add_route(route).unwrap());
    }
    for route in &routes[90..] {
        let mut client = RawClient::connect(route.listen.tcp().unwrap()).await;
        client.get("/").await;
        client.response().await;
    }

    for (index, route) in routes.iter().enumerate() {
        let now = proxy.handle().route(&route.name).unwrap();
        assert_eq!(now.requests, u64::from(index >= 90), "{}", route.name);
    }
}

/// How many series there are of the route.
fn series_of(route: &str, metrics: &Metrics) -> usize {
    let samples = metrics.snapshot();
    let is_its = |tags: &[(&str, Box<str>)]| {
        let mut tags = tags.iter();
        tags.any(|(key, value)| *key == "route" && **value == *route)
    };
    samples.iter().filter(|it| is_its(&it.tags)).count()
}

#[tokio::test]
async fn the_series_of_a_deleted_route_are_freed() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    proxy.arm(&json!({ "latency": "1ms" }));
    proxy.get("/").await;
    assert!(series_of(TestProxy::ROUTE, proxy.metrics()) > 20);

    assert!(proxy.handle().remove_route(TestProxy::ROUTE));

    eventually("the series to be freed", || {
        series_of(TestProxy::ROUTE, proxy.metrics()) == 0
    })
    .await;
}

#[tokio::test]
async fn what_is_counted_on_a_deleted_route_is_counted_until_its_last_exchange_ends() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let fault = proxy.arm(&json!({ "latency": "1h" }));
    let mut held = proxy.connect().await;
    held.get("/").await;
    let requests = |proxy: &TestProxy| {
        let samples = proxy.metrics().snapshot();
        let mut requests = samples.iter().filter(|it| it.name == "proxy.requests");
        requests.next().map(|it| format!("{:?}", it.value))
    };
    eventually("the request to be held", || {
        requests(&proxy).as_deref() == Some("Counter(1)")
    })
    .await;

    assert!(proxy.handle().remove_route(TestProxy::ROUTE));
    assert!(series_of(TestProxy::ROUTE, proxy.metrics()) > 20);
    proxy.disarm(&fault);
    assert_eq!(held.response().await.text(), "hello");

    eventually("the series to be freed", || {
        series_of(TestProxy::ROUTE, proxy.metrics()) == 0
    })
    .await;
}

#[tokio::test]
async fn routes_that_come_and_go_never_count_as_other() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let overflow = proxy.metrics();
    let overflow = overflow.counter(names::TELEMETRY_SERIES_OVERFLOW, &[]);

    for number in 0..400 {
        let name = format!("brief{number}");
        let route = new(&name, "127.0.0.1:0", &upstream);
        proxy.handle().add_route(route).unwrap();
        assert!(series_of(&name, proxy.metrics()) > 10, "{name}");
        assert!(proxy.handle().remove_route(&name));
        eventually("the series to be freed", || {
            series_of(&name, proxy.metrics()) == 0
        })
        .await;
    }

    assert_eq!(overflow.total(), 0);
}

/// The upstream of a route by a name that this process cannot know before it looks it up.
fn by_name(name: &str, listen: &str, upstream: &str) -> NewRoute {
    NewRoute {
        name: name.to_owned(),
        listen: ListenAddress::parse(listen).unwrap(),
        upstream: Upstream::parse(upstream).unwrap(),
        tls: None,
        enabled: true,
        caller_faults: false.into(),
        accept_proxy: false,
    }
}

#[tokio::test]
async fn a_request_that_a_name_leads_back_to_its_route_is_a_508_and_ends_there() {
    // Only a name that leads to this machine, and is not `localhost`, can show it.
    let Some(name) = own_name() else {
        println!("skipped: this machine's name leads nowhere");
        return;
    };
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let handle = proxy.handle();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("0.0.0.0:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let one = by_name(
        "one",
        &format!("0.0.0.0:{port}"),
        &format!("http://{name}:{port}"),
    );
    handle.add_route(one).unwrap();

    let mut client = RawClient::connect(([127, 0, 0, 1], port).into()).await;
    client.get("/").await;
    let answer = client.response().await;

    assert_eq!(answer.status(), 508, "{}", answer.text());
    assert!(
        answer.text().contains("leads back to this route"),
        "{}",
        answer.text()
    );
    eventually("the connection to itself to be closed", || {
        handle.route("one").unwrap().connections == 1
    })
    .await;
    // What a name led to once is known from then on: a change that goes by it is refused.
    let back = by_name("two", "127.0.0.1:0", &format!("http://127.0.0.1:{port}"));
    let two = handle.add_route(back).unwrap();
    let change = RouteChange {
        upstream: Some(Upstream::parse(&format!("http://{}", two.listen)).unwrap()),
        ..RouteChange::default()
    };
    let refused = handle.change_route("one", change).unwrap_err();
    assert!(matches!(refused, RouteError::Loop { .. }), "{refused}");
}

/// The machine's name, if it is one of its addresses.
fn own_name() -> Option<String> {
    use std::net::{ToSocketAddrs, UdpSocket};
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().to_owned();
    let mut addresses = (name.as_str(), 0).to_socket_addrs().ok()?;
    let is_here = addresses.all(|address| address.is_ipv4() && UdpSocket::bind(address).is_ok());
    (is_here && name != "localhost").then_some(name)
}

#[tokio::test]
async fn a_reserved_address_is_no_upstream() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let handle = proxy.handle();
    let control = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = control.local_addr().unwrap();

    let taken = handle.reserve(upstream.address()).unwrap_err();
    assert!(matches!(taken, RouteError::Reserved { .. }), "{taken}");
    handle.reserve(address).unwrap();

    for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
        let to = format!("http://{host}:{}", address.port());
        let refused = handle.add_route(by_name("control", "127.0.0.1:0", &to));
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, RouteError::Reserved { .. }),
            "{to}: {refused}"
        );
    }
}

#[tokio::test]
async fn clients_that_wait_for_a_place_end_with_their_route() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_connections_max(2).start();
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(proxy.connect().await);
    }
    eventually("the places to be taken", || {
        proxy.handle().route(TestProxy::ROUTE).unwrap().connections == 2
    })
    .await;

    assert!(proxy.handle().remove_route(TestProxy::ROUTE));

    for mut client in clients {
        assert!(client.ended().await.bytes.is_empty());
    }
}
