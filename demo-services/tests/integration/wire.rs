//! One attempt is one request on the wire.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use brownout_testkit::{Ended, How, PATIENCE, RawClient, TestUpstream, within};
use demo_services::{Running, Service, ServiceConfig, UpstreamStats, start};
use tokio::sync::{Semaphore, mpsc};

use crate::system::{System, USER, answering, get, policy, quick, stats};

/// Recommendations with one worker, so that it needs one connection to authentication.
fn recommendations(authentication: &TestUpstream) -> ServiceConfig {
    ServiceConfig {
        workers: 1,
        ..quick(Service::Recommendations).calling(Service::Authentication, authentication.url())
    }
}

async fn attempts(service: &Running) -> usize {
    let attempts = stats(service).await.upstreams["authentication"].attempts;
    usize::try_from(attempts).unwrap()
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = answering(200, USER).await;
    let service = start(recommendations(&upstream)).await.unwrap();

    for _ in 0..20 {
        get(service.address(), "/recommendations").await;
    }

    assert_eq!(upstream.received().len(), 20);
    assert_eq!(attempts(&service).await, 20);
    assert!(upstream.connections() < 5, "{}", upstream.connections());
}

/// An upstream that answers one request on each connection and closes it, without saying that it will.
async fn closing(
    body: &'static str,
    requests: &Arc<AtomicUsize>,
    closed: &Arc<Semaphore>,
) -> TestUpstream {
    let (requests, closed) = (Arc::clone(requests), Arc::clone(closed));
    TestUpstream::raw(move |stream| {
        let (requests, closed) = (Arc::clone(&requests), Arc::clone(&closed));
        async move {
            let mut connection = RawClient::over(stream);
            connection.request().await;
            requests.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            connection.send(head + body).await;
            drop(connection);
            closed.add_permits(1);
        }
    })
    .await
}

#[tokio::test]
async fn an_unused_connection_that_was_closed_costs_no_attempt() {
    let (requests, closed) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let upstream = closing(USER, &requests, &closed).await;
    let service = start(recommendations(&upstream)).await.unwrap();

    for _ in 0..20 {
        let answer = get(service.address(), "/recommendations").await;
        assert_eq!(answer.status(), 200);
        let closed = within("the connection to be closed", closed.acquire()).await;
        closed.unwrap().forget();
    }

    assert_eq!(attempts(&service).await, 20);
    assert_eq!(requests.load(Ordering::SeqCst), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_closes_just_then_may_cost_an_attempt_but_doubles_none() {
    let (requests, closed) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let upstream = closing("[1]", &requests, &closed).await;
    // Called for popular items right after recommendations, on the connection that it is about to close.
    let system = System::with(|homepage| {
        homepage
            .calling(Service::Recommendations, upstream.url())
            .calling(Service::PopularItems, upstream.url())
    })
    .await;

    for _ in 0..200 {
        assert_eq!(system.page().await.status(), 200);
    }

    let upstreams = stats(&system.homepage).await.upstreams;
    let calls = [&upstreams["recommendations"], &upstreams["popular_items"]];
    let sum = |count: fn(&UpstreamStats) -> u64| count(calls[0]) + count(calls[1]);
    assert_eq!(sum(|it| it.attempts), 400);
    assert_eq!(sum(|it| it.outcomes.ok + it.outcomes.failed), 400);
    let seen = u64::try_from(requests.load(Ordering::SeqCst)).unwrap();
    assert_eq!(sum(|it| it.outcomes.ok), seen);
}

#[tokio::test]
async fn an_attempt_that_runs_out_of_time_closes_its_connection() {
    let (ended, mut endings) = mpsc::unbounded_channel::<Ended>();
    let upstream = TestUpstream::raw(move |stream| {
        let ended = ended.clone();
        async move {
            let mut connection = RawClient::over(stream);
            connection.request().await;
            ended.send(connection.ended().await).unwrap();
        }
    })
    .await;
    let service = ServiceConfig {
        policy: policy("[timeout]\nattempt = \"50ms\"\n"),
        ..recommendations(&upstream)
    };
    let service = start(service).await.unwrap();

    for _ in 0..3 {
        assert_eq!(
            get(service.address(), "/recommendations").await.status(),
            500
        );
        let ending = within("the end of the connection", endings.recv()).await;
        assert_eq!(
            ending,
            Some(Ended {
                bytes: Vec::new(),
                how: How::Fin
            })
        );
    }
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_by_a_timeout_closes_its_connection() {
    let (ended, mut endings) = mpsc::unbounded_channel::<()>();
    let upstream = TestUpstream::raw(move |stream| {
        let ended = ended.clone();
        async move {
            let mut connection = RawClient::over(stream);
            connection.request().await;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
                .await;
            connection.ended().await;
            ended.send(()).unwrap();
        }
    })
    .await;
    let service = ServiceConfig {
        policy: policy("[timeout]\nattempt = \"50ms\"\n"),
        ..recommendations(&upstream)
    };
    let service = start(service).await.unwrap();

    get(service.address(), "/recommendations").await;

    within("the end of the connection", endings.recv()).await;
    let calls = &stats(&service).await.upstreams["authentication"];
    assert_eq!((calls.attempts, calls.timeouts), (1, 1));
}

#[tokio::test]
async fn a_load_is_counted_alike_on_both_sides() {
    let upstream = answering(200, USER).await;
    let service = ServiceConfig {
        workers: 8,
        ..recommendations(&upstream)
    };
    let service = start(service).await.unwrap();
    let address = service.address();

    let mut load = tokio::task::JoinSet::new();
    for _ in 0..16 {
        load.spawn(async move {
            for _ in 0..25 {
                assert_eq!(get(address, "/recommendations").await.status(), 200);
            }
        });
    }
    load.join_all().await;

    let stats = stats(&service).await;
    assert_eq!((stats.received, stats.answered), (400, 400));
    assert_eq!(stats.upstreams["authentication"].attempts, 400);
    assert_eq!(upstream.received().len(), 400);
    assert_eq!(service.shutdown(PATIENCE).await, Ok(()));
}
