//! The worker limit: what waits, what is turned away, and what goes on for nobody.

use std::time::{Duration, Instant};

use brownout_testkit::{How, RawClient, eventually};
use demo_services::{Running, Service, ServiceConfig, start};

use crate::system::{Held, System, USER, ask, get, quick, request, stats, stats_until};

/// Recommendations whose workers are all held by their call to authentication.
async fn recommendations(held: &Held, workers: usize, queue: usize) -> Running {
    let config = ServiceConfig {
        workers,
        queue,
        ..quick(Service::Recommendations).calling(Service::Authentication, held.upstream.url())
    };
    start(config).await.unwrap()
}

/// Asks and does not wait for the answer.
async fn asking(service: &Running) -> RawClient {
    let mut client = RawClient::connect(service.address()).await;
    client
        .send(request("GET /recommendations", Some("Token 0x132")))
        .await;
    client
}

/// Leaves, and waits until the service has noticed.
async fn leave(mut client: RawClient) {
    client.finish().await;
    assert_eq!(client.ended().await.how, How::Fin);
}

#[tokio::test]
async fn what_finds_all_workers_busy_waits() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held, 8, 100).await;

    let mut clients = Vec::new();
    for _ in 0..9 {
        clients.push(asking(&service).await);
    }

    let stats = stats_until("the ninth to wait", &service, |it| {
        it.running == 8 && it.queued == 1
    })
    .await;
    assert_eq!(stats.workers, 8);
    assert_eq!(stats.received, 9);
    assert_eq!(stats.answered, 0);
    eventually("eight calls", || held.upstream.received().len() == 8).await;

    held.release();

    for client in &mut clients {
        assert_eq!(client.response().await.status(), 200);
    }
    assert_eq!(held.upstream.received().len(), 9);
}

#[tokio::test]
async fn what_finds_the_queue_full_is_turned_away_at_once() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held, 1, 1).await;
    let mut running = asking(&service).await;
    stats_until("the first to run", &service, |it| it.running == 1).await;
    let mut queued = asking(&service).await;
    stats_until("the second to wait", &service, |it| it.queued == 1).await;

    let refused = get(service.address(), "/recommendations").await;

    assert_eq!(refused.status(), 503);
    assert_eq!(refused.values("content-type"), ["application/problem+json"]);
    assert_eq!(stats(&service).await.shed, 1);
    held.release();
    assert_eq!(running.response().await.status(), 200);
    assert_eq!(queued.response().await.status(), 200);
    let stats = stats(&service).await;
    assert_eq!(
        (stats.received, stats.answered, stats.abandoned, stats.shed),
        (3, 2, 0, 1)
    );
    assert_eq!((stats.queued, stats.running), (0, 0));
}

#[tokio::test]
async fn without_a_queue_as_many_are_taken_as_there_are_workers() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held, 2, 0).await;
    let clients = [asking(&service).await, asking(&service).await];
    stats_until("both workers to be busy", &service, |it| it.running == 2).await;

    assert_eq!(
        get(service.address(), "/recommendations").await.status(),
        503
    );
    drop(clients);
}

#[tokio::test]
async fn health_and_stats_need_no_worker() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held, 1, 0).await;
    let _busy = asking(&service).await;
    stats_until("the worker to be busy", &service, |it| it.running == 1).await;

    let health = ask(service.address(), "GET /healthz", None).await;

    assert_eq!(health.status(), 200);
}

#[tokio::test]
async fn work_goes_on_when_its_caller_has_left() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held, 1, 10).await;
    let running = asking(&service).await;
    stats_until("the first to run", &service, |it| it.running == 1).await;
    let queued = asking(&service).await;
    stats_until("the second to wait", &service, |it| it.queued == 1).await;

    leave(running).await;
    leave(queued).await;

    let now = stats(&service).await;
    assert_eq!((now.running, now.queued, now.abandoned), (1, 1, 0));
    held.release();
    let stats = stats_until("the work to be done", &service, |it| {
        it.running + it.queued == 0
    })
    .await;
    assert_eq!((stats.answered, stats.abandoned), (0, 2));
    assert_eq!(held.upstream.received().len(), 2);
    assert_eq!(stats.upstreams["authentication"].outcomes.ok, 2);
}

#[tokio::test]
async fn a_worker_that_has_done_abandoned_work_takes_the_next_request() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held, 1, 10).await;
    let running = asking(&service).await;
    stats_until("the request to run", &service, |it| it.running == 1).await;
    leave(running).await;
    held.release();

    let answer = get(service.address(), "/recommendations").await;

    assert_eq!(answer.status(), 200);
    let stats = stats(&service).await;
    assert_eq!((stats.answered, stats.abandoned), (1, 1));
}

#[tokio::test]
async fn a_worker_is_held_for_as_long_as_its_work_takes() {
    let work = Duration::from_millis(30);
    let service = ServiceConfig {
        work,
        workers: 1,
        ..quick(Service::PopularItems)
    };
    let service = start(service).await.unwrap();
    let began = Instant::now();

    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = RawClient::connect(service.address()).await;
        client.get("/popular_items").await;
        clients.push(client);
    }
    for client in &mut clients {
        client.response().await;
    }

    assert!(began.elapsed() >= 3 * work, "{:?}", began.elapsed());
}

#[tokio::test]
async fn by_default_a_page_takes_the_work_of_all_services() {
    let system = System::of(ServiceConfig::new, |homepage| homepage).await;

    let began = Instant::now();
    let page = system.page().await;

    assert_eq!(page.status(), 200);
    assert!(began.elapsed() >= Duration::from_millis(15 + 20 + 20 + 20 + 20));
}
