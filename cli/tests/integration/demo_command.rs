//! The demo: a whole page, a degraded page from the very next request, a whole page again.

use std::net::SocketAddr;

use brownout_testkit::{RawClient, RawMessage, StatsdReceiver, TestUpstream, eventually};
use serde_json::{Value, json};

use crate::{Server, run};

const WHOLE: &str = r#"{"recommendations":[12,23,100,122,220,333,340,400,555,654],"popular_items":[1,2,3,4,5,6,7,8,9,10]}"#;
const DEGRADED: &str = r#"{"recommendations":[],"popular_items":[1,2,3,4,5,6,7,8,9,10]}"#;

fn service(server: &Server, name: &str) -> SocketAddr {
    server.ready["services"][name]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn page(homepage: SocketAddr) -> RawMessage {
    let mut client = RawClient::connect(homepage).await;
    let request = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Token 0x132\r\n\r\n";
    client.exchange(request).await.0
}

fn demo() -> Server {
    Server::on_a_free_port(&["demo"])
}

#[tokio::test]
async fn the_page_is_whole_then_degraded_then_whole_again() {
    let server = demo();
    let homepage = service(&server, "homepage");
    let control = server.control();

    let before = page(homepage).await;
    assert_eq!((before.status(), before.text().as_str()), (200, WHOLE));
    assert!(before.values("x-degraded").is_empty());

    run(&[
        "fault",
        "add",
        "reset",
        "recommendations",
        "--control",
        &control,
    ])
    .ok();
    let during = page(homepage).await;
    assert_eq!((during.status(), during.text().as_str()), (200, DEGRADED));
    assert_eq!(during.values("x-degraded"), ["recommendations"]);

    run(&["fault", "clear", "--control", &control]).ok();
    assert_eq!(page(homepage).await.text(), WHOLE);
}

#[tokio::test]
async fn every_hop_can_be_broken() {
    let server = demo();
    let homepage = service(&server, "homepage");
    let control = server.control();
    let broken = async |route: &str| {
        run(&["fault", "add", "reset", route, "--control", &control]).ok();
        let page = page(homepage).await;
        run(&["fault", "clear", "--control", &control]).ok();
        (page.status(), page.values("x-degraded").join(","))
    };

    assert_eq!(
        broken("popular-items").await,
        (200, "popular_items".to_owned())
    );
    assert_eq!(
        broken("recommendations").await,
        (200, "recommendations".to_owned())
    );
    // Recommendations asks authentication itself, and answers 500 without it.
    assert_eq!(
        broken("recommendations-authentication").await,
        (200, "recommendations".to_owned())
    );
    // Nothing to fall back to.
    assert_eq!(broken("authentication").await, (500, String::new()));
}

#[tokio::test]
async fn homepage_alone_meets_real_resets_by_a_server_that_knows_nothing_of_us() {
    let server = demo();
    let resets = TestUpstream::raw(|stream| async move {
        stream.set_zero_linger().unwrap();
        let mut client = RawClient::over(stream);
        client.head().await;
    })
    .await;
    let upstream = |name: &str, url: String| format!("{name}={url}");
    let alone = Server::start(&[
        "demo-service",
        "homepage",
        "--output",
        "json",
        "--upstream",
        &upstream(
            "authentication",
            format!("http://{}", service(&server, "authentication")),
        ),
        "--upstream",
        &upstream(
            "popular-items",
            format!("http://{}", service(&server, "popular-items")),
        ),
        "--upstream",
        &upstream("recommendations", resets.url()),
    ]);
    assert_eq!(alone.ready["service"], "homepage");
    let homepage = alone.ready["listen"].as_str().unwrap().parse().unwrap();

    let page = page(homepage).await;

    assert_eq!((page.status(), page.text().as_str()), (200, DEGRADED));
    assert_eq!(page.values("x-degraded"), ["recommendations"]);
    assert_eq!(resets.connections(), 1);
}

#[tokio::test]
async fn after_sigterm_under_load_all_counts_agree() {
    let statsd = StatsdReceiver::start();
    let server = Server::on_a_free_port(&["demo", "--statsd", &statsd.address()]);
    let homepage = service(&server, "homepage");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..10 {
        clients.spawn(async move {
            let mut client = RawClient::connect(homepage).await;
            let mut pages = 0u32;
            let request = b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Token 0x132\r\n\r\n";
            while client.try_send(request).await.is_ok()
                && let Some(response) = client.try_response().await
                && response.status() == 200
            {
                pages += 1;
            }
            pages
        });
    }
    let counted = |name: &str| statsd.counter(name);
    eventually("some load", || counted("homepage.get") > 50.0).await;

    server.signal("-TERM");
    let (_, status) = server.ended().await;
    let pages: u32 = clients.join_all().await.into_iter().sum();

    assert_eq!(status.code(), Some(0));
    let names = [
        "homepage.responses.2xx",
        "client.attempts.homepage.recommendations",
        "proxy.requests.recommendations",
        "recommendations.get",
    ];
    for name in names {
        eventually("the last packet", || counted(name) >= f64::from(pages)).await;
        assert_eq!(
            counted(name),
            f64::from(pages),
            "{name}: {:#?}",
            statsd.totals().counters
        );
    }
}

#[test]
fn wrong_words_are_refused_with_the_right_ones() {
    let cases: [(&[&str], &str); 5] = [
        (&["demo-service", "hompage"], "did you mean `homepage`?"),
        (
            &["demo-service", "homepage"],
            "homepage calls authentication, whose URL is missing",
        ),
        (
            &["demo-service", "popular-items", "--upstream", "x"],
            "is not of the form SERVICE=URL",
        ),
        (&["demo", "--policy", "golden"], "golden"),
        (
            &["demo-service", "popular-items", "--listen", "nowhere"],
            "is not an address to listen on",
        ),
    ];
    for (args, wanted) in cases {
        let ran = run(args);
        assert_eq!(ran.code(), 2, "{args:?}: {}", ran.err());
        assert!(ran.err().contains(wanted), "{args:?}: {}", ran.err());
    }
}

#[tokio::test]
async fn a_policy_may_be_a_file_and_a_wrong_one_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("mine.toml");
    std::fs::write(&good, "[timeout]\nattempt = \"100ms\"\n").unwrap();
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "[timeout]\natempt = \"100ms\"\n").unwrap();

    let args = [
        "demo",
        "--policy",
        good.to_str().unwrap(),
        "--control",
        "127.0.0.1:0",
        "--output",
        "json",
    ];
    let server = Server::start(&args);
    let stats = RawClient::connect(service(&server, "homepage"))
        .await
        .exchange("GET /stats HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .0;
    let stats: Value = serde_json::from_slice(&stats.body).unwrap();
    assert_eq!(
        stats["upstreams"]["recommendations"]["policy"],
        json!("mine")
    );

    let ran = run(&[
        "demo",
        "--policy",
        wrong.to_str().unwrap(),
        "--control",
        "127.0.0.1:0",
    ]);
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("attempt"), "{}", ran.err());
}
