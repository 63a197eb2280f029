//! A page without one of its lists, whatever became of its upstream.

use brownout_testkit::{RawMessage, TestUpstream};
use demo_services::{Service, ServiceConfig, policies};

use crate::system::{
    Held, PAGE_WITHOUT_RECOMMENDATIONS, System, WHOLE_PAGE, answering, policy, refusing, resetting,
    saying, stats,
};

/// A page of a homepage whose recommendations are at `url`.
async fn page_with_recommendations_at(url: String, policy: &str) -> (System, RawMessage) {
    let policy = policies::named(policy).unwrap();
    let system = System::with(|homepage| ServiceConfig {
        policy,
        ..homepage.calling(Service::Recommendations, url)
    })
    .await;
    let page = system.page().await;
    (system, page)
}

fn assert_degraded(page: &RawMessage) {
    assert_eq!(page.status(), 200);
    assert_eq!(page.text(), PAGE_WITHOUT_RECOMMENDATIONS);
    assert_eq!(page.values("x-degraded"), ["recommendations"]);
}

#[tokio::test]
async fn a_plain_tcp_server_that_resets_costs_one_list() {
    let upstream = resetting().await;

    let (_system, page) = page_with_recommendations_at(upstream.url(), "none").await;

    assert_degraded(&page);
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_costs_one_list() {
    let (_socket, url) = refusing();

    let (_system, page) = page_with_recommendations_at(url, "none").await;

    assert_degraded(&page);
}

#[tokio::test]
async fn an_answer_that_is_no_list_costs_one_list() {
    for (status, body) in [
        (500, "[1]"),
        (503, ""),
        (404, "[1]"),
        (302, ""),
        (200, ""),
        (200, "{}"),
        (200, "[\"one\"]"),
        (200, "[1"),
    ] {
        let upstream = answering(status, body).await;

        let (_system, page) = page_with_recommendations_at(upstream.url(), "none").await;

        assert_degraded(&page);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_or_not_http_costs_one_list() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,2",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "",
    ] {
        let upstream = saying(bytes).await;

        let (_system, page) = page_with_recommendations_at(upstream.url(), "none").await;

        assert_degraded(&page);
    }
}

#[tokio::test]
async fn an_answer_beyond_all_measure_costs_one_list() {
    let upstream = TestUpstream::replying(format!("[{}1]", "1,".repeat(1024 * 1024))).await;

    let (_system, page) = page_with_recommendations_at(upstream.url(), "none").await;

    assert_degraded(&page);
}

#[tokio::test]
async fn an_upstream_that_hangs_costs_one_list_under_a_timeout() {
    let held = Held::answering("[1]").await;
    let system = System::with(|homepage| ServiceConfig {
        // Long, since it holds for the other upstreams as well, on a machine that may be busy.
        policy: policy("[timeout]\nattempt = \"2s\"\n[fallback]\nkind = \"empty\"\n"),
        ..homepage.calling(Service::Recommendations, held.upstream.url())
    })
    .await;

    let page = system.page().await;

    assert_degraded(&page);
    let recommendations = &stats(&system.homepage).await.upstreams["recommendations"];
    assert_eq!(recommendations.timeouts, 1);
    assert_eq!(recommendations.fallbacks, 1);
}

#[tokio::test]
async fn both_lists_can_be_missing() {
    let upstream = resetting().await;
    let system = System::with(|homepage| {
        homepage
            .calling(Service::Recommendations, upstream.url())
            .calling(Service::PopularItems, upstream.url())
    })
    .await;

    let page = system.page().await;

    assert_eq!(page.status(), 200);
    assert_eq!(page.text(), r#"{"recommendations":[],"popular_items":[]}"#);
    assert_eq!(
        page.values("x-degraded"),
        ["recommendations, popular_items"]
    );
}

#[tokio::test]
async fn popular_items_can_be_missing_alone() {
    let upstream = answering(500, "").await;
    let system =
        System::with(|homepage| homepage.calling(Service::PopularItems, upstream.url())).await;

    let page = system.page().await;

    assert_eq!(page.values("x-degraded"), ["popular_items"]);
}

#[tokio::test]
async fn an_empty_list_is_not_a_missing_one() {
    let upstream = answering(200, "[]").await;

    let (_system, page) = page_with_recommendations_at(upstream.url(), "none").await;

    assert_eq!(page.text(), PAGE_WITHOUT_RECOMMENDATIONS);
    assert!(page.values("x-degraded").is_empty());
}

#[tokio::test]
async fn the_page_degrades_even_if_the_policy_has_no_fallback() {
    let upstream = resetting().await;
    let system =
        System::with(|homepage| homepage.calling(Service::Recommendations, upstream.url())).await;

    let page = system.page().await;

    assert_degraded(&page);
    let recommendations = &stats(&system.homepage).await.upstreams["recommendations"];
    assert_eq!(recommendations.outcomes.failed, 1);
    assert_eq!(recommendations.fallbacks, 0);
}

#[tokio::test]
async fn a_page_is_whole_again_as_soon_as_its_upstream_is() {
    let answers = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(500));
    let status = std::sync::Arc::clone(&answers);
    let upstream = TestUpstream::serving(move |_| {
        let mut answer = hyper::Response::new(http_body_util::Full::from(
            "[12,23,100,122,220,333,340,400,555,654]",
        ));
        *answer.status_mut() = status
            .load(std::sync::atomic::Ordering::SeqCst)
            .try_into()
            .unwrap();
        async { answer }
    })
    .await;
    let (system, page) = page_with_recommendations_at(upstream.url(), "none").await;
    assert_degraded(&page);

    answers.store(200, std::sync::atomic::Ordering::SeqCst);

    assert_eq!(system.page().await.text(), WHOLE_PAGE);
}
