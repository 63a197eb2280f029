//! The end of a service.

use std::{pin::pin, time::Duration};

use brownout_testkit::{How, PATIENCE, RawClient, eventually, within};
use demo_services::{Running, Service, ServiceConfig, start};
use tokio::time::timeout;

use crate::system::{Held, System, USER, quick, request, stats_until};

async fn recommendations(held: &Held) -> Running {
    let config = ServiceConfig {
        workers: 1,
        ..quick(Service::Recommendations).calling(Service::Authentication, held.upstream.url())
    };
    start(config).await.unwrap()
}

async fn asking(service: &Running) -> RawClient {
    let mut client = RawClient::connect(service.address()).await;
    client
        .send(request("GET /recommendations", Some("Token 0x132")))
        .await;
    client
}

#[tokio::test]
async fn requests_end_before_the_service_does() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held).await;
    let address = service.address();
    let mut idle = RawClient::connect(address).await;
    let mut running = asking(&service).await;
    let mut queued = asking(&service).await;
    stats_until("one to run and one to wait", &service, |it| {
        it.running == 1 && it.queued == 1
    })
    .await;

    let (stopped, ()) = tokio::join!(service.shutdown(PATIENCE), async {
        assert_eq!(idle.ended().await.how, How::Fin);
        eventually("new connections to be refused", || {
            std::net::TcpStream::connect(address).is_err()
        })
        .await;
        held.release();

        assert_eq!(running.response().await.status(), 200);
        assert_eq!(queued.response().await.status(), 200);
        assert_eq!(running.ended().await.how, How::Fin);
    });
    assert_eq!(stopped, Ok(()));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held).await;
    let mut running = asking(&service).await;
    stats_until("the request to run", &service, |it| it.running == 1).await;

    let error = service
        .shutdown(Duration::from_millis(50))
        .await
        .unwrap_err();

    assert_eq!(
        error.to_string(),
        "requests were still running after 50ms, and were cut"
    );
    assert_eq!(running.ended().await.bytes, b"");
}

#[tokio::test]
async fn work_in_hand_is_finished_for_nobody_but_queued_work_is_not() {
    let held = Held::answering(USER).await;
    let service = recommendations(&held).await;
    let running = asking(&service).await;
    stats_until("one to run", &service, |it| it.running == 1).await;
    let queued = asking(&service).await;
    stats_until("one to wait", &service, |it| it.queued == 1).await;
    for mut client in [running, queued] {
        client.finish().await;
        assert_eq!(client.ended().await.how, How::Fin);
    }

    let mut stopping = pin!(service.shutdown(PATIENCE));
    let early = timeout(Duration::from_millis(50), &mut stopping).await;
    assert!(early.is_err(), "it waits for the work in hand");
    held.release();

    assert_eq!(stopping.await, Ok(()));
    assert_eq!(held.upstream.received().len(), 1);
}

#[tokio::test]
async fn a_whole_system_ends_in_any_order() {
    let system = System::start().await;
    system.page().await;

    for service in [
        system.authentication,
        system.homepage,
        system.popular_items,
        system.recommendations,
    ] {
        assert_eq!(service.shutdown(PATIENCE).await, Ok(()));
    }
}

#[tokio::test]
async fn a_dropped_service_is_gone() {
    let service = start(quick(Service::PopularItems)).await.unwrap();
    let address = service.address();
    let mut idle = RawClient::connect(address).await;
    idle.get("/popular_items").await;
    idle.response().await;

    drop(service);

    within("the connection to end", idle.ended()).await;
    eventually("new connections to be refused", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
}
