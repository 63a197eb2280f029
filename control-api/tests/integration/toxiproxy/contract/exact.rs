//! How exactly `latency` and `bandwidth` keep to what they say (section 3, 7 and 8).
//!
//! Nothing is early, whatever the machine does. What is late may be so by as much as the machine itself stood still meanwhile, at
//! each of some steps. The promise on a machine with nothing else to do is measured by `proxy/benches/fidelity`.

use std::time::{Duration, Instant};

use brownout_testkit::{MachinePauses, RawClient, TestUpstream};
use serde_json::json;

use super::super::{Toxi, said_back};

/// What the machine adds to a time that is measured, at most.
fn by_the_machine(pauses: &MachinePauses) -> Duration {
    const STEPS: u32 = 10;
    STEPS * pauses.longest()
}

#[tokio::test]
async fn latency_is_never_shorter_than_it_says_and_the_quickest_message_has_nothing_on_top() {
    const SAID: Duration = Duration::from_millis(100);
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("a").await;
    let mut client = RawClient::connect(listen).await;
    said_back(&mut client, b"warm").await;
    let toxic = json!({ "type": "latency", "attributes": { "latency": 100 } });
    toxi.toxic("a", toxic).await;
    let pauses = MachinePauses::watch();

    let mut took = Vec::new();
    for _ in 0..20 {
        took.push(said_back(&mut client, b"ping").await);
    }

    took.sort();
    assert!(took[0] >= SAID, "{took:?}");
    let bound = SAID + Duration::from_millis(3) + by_the_machine(&pauses);
    assert!(took[0] <= bound, "{took:?} of {bound:?}");
}

#[tokio::test]
async fn bandwidth_is_kept_within_3_percent_from_10_kilobytes_to_10_megabytes_a_second() {
    for (rate, size) in [
        (10_u64, 8_000_u64),
        (100, 80_000),
        (1_000, 800_000),
        (10_000, 8_000_000),
    ] {
        let toxi = Toxi::start().await;
        let upstream = TestUpstream::raw(move |stream| async move {
            RawClient::over(stream).send_pattern(size).await;
        })
        .await;
        let upstream = upstream.address().to_string();
        let proxy = json!({ "name": "a", "listen": "127.0.0.1:0", "upstream": upstream });
        let (status, made) = toxi.call("POST /proxies", proxy).await;
        assert_eq!(status, 201, "{made}");
        let toxic = json!({ "type": "bandwidth", "attributes": { "rate": rate } });
        toxi.toxic("a", toxic).await;
        let pauses = MachinePauses::watch();
        let began = Instant::now();

        let mut client =
            RawClient::connect(made["listen"].as_str().unwrap().parse().unwrap()).await;
        client.expect_pattern(size).await;

        let took = began.elapsed();
        let said = Duration::from_micros(size * 1_000 / rate);
        assert!(
            took >= said.mul_f64(0.97),
            "{rate} KB/s: {took:?} for {said:?}"
        );
        let bound = said.mul_f64(1.03) + Duration::from_millis(5) + by_the_machine(&pauses);
        assert!(took <= bound, "{rate} KB/s: {took:?} of {bound:?}");
    }
}
