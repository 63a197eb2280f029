//! One policy file, for a service of ours and for a program of a user's own.

use std::path::Path;

use brownout_resilience::{Answer, Policy};
use demo_services::{Service, ServiceConfig, start};

use crate::system::{answering, get, quick, refusing, stats};

#[path = "../../resilience/examples/protected.rs"]
mod protected;

const POLICY: &str = "../policies/resilient.toml";

#[tokio::test]
async fn the_example_asks_under_the_policy() {
    let upstream = answering(200, "hello").await;

    let reports = protected::ask(Path::new(POLICY), &upstream.url())
        .await
        .unwrap();

    assert!(reports.iter().all(|report| report.answer == Answer::Ok));
    assert_eq!(upstream.received().len(), 10);
    assert!(upstream.received()[0].headers.contains_key("x-timeout-ms"));
}

#[tokio::test]
async fn the_example_and_a_service_protect_themselves_alike() {
    let (_taken, gone) = refusing();

    let reports = protected::ask(Path::new(POLICY), &gone).await.unwrap();
    let service = ServiceConfig {
        policy: Policy::from_file(POLICY).unwrap(),
        ..quick(Service::Recommendations).calling(Service::Authentication, gone)
    };
    let service = start(service).await.unwrap();
    for _ in 0..10 {
        get(service.address(), "/recommendations").await;
    }

    // Ten failed attempts open the breaker of each.
    assert!(
        reports
            .iter()
            .all(|report| report.answer == Answer::Fallback)
    );
    assert_eq!(reports.last().unwrap().attempts, 0);
    let upstream = &stats(&service).await.upstreams["authentication"];
    assert_eq!(upstream.breaker.as_ref().unwrap().states, ["open"]);
}
