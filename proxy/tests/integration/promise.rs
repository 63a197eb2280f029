//! A request sent after a fault was armed sees it, on warm connections and on every core; likewise its end.

use brownout_testkit::{How, RawClient, TestProxy, TestUpstream};
use serde_json::json;

#[tokio::test]
async fn two_hundred_rounds_on_64_warm_connections_have_no_exception() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_cores(2).start();
    let mut clients: Vec<RawClient> = Vec::new();
    for _ in 0..64 {
        clients.push(proxy.connect().await);
    }

    for round in 0..200 {
        let id = proxy.arm(&json!({ "abort": 503 }));
        assert_eq!(
            statuses(&mut clients).await,
            [503; 64],
            "round {round}, armed"
        );
        proxy.disarm(&id);
        assert_eq!(
            statuses(&mut clients).await,
            [200; 64],
            "round {round}, disarmed"
        );
    }
}

async fn statuses(clients: &mut [RawClient]) -> Vec<u16> {
    for client in &mut *clients {
        client.get("/").await;
    }
    let mut statuses = Vec::new();
    for client in clients {
        statuses.push(client.response().await.status());
    }
    statuses
}

#[tokio::test]
async fn a_limit_under_64_connections_on_two_cores_is_exact() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_cores(2).start();
    for round in 0..50 {
        let mut clients: Vec<RawClient> = Vec::new();
        for _ in 0..64 {
            clients.push(proxy.connect().await);
        }
        let id = proxy.arm(&json!({ "reset": {}, "limit": 5 }));

        for (sent, client) in clients.iter_mut().enumerate() {
            client
                .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                .await;
            if sent == 2 {
                proxy.patch(&id, &json!({ "note": "in mid-run" }));
            }
        }
        let mut resets = 0;
        for client in &mut clients {
            let ended = client.ended().await;
            if ended.how == How::Reset {
                assert!(ended.bytes.is_empty());
                resets += 1;
            }
        }

        assert_eq!(resets, 5, "round {round}");
        assert_eq!(proxy.fault(&id).counters.injected, 5);
        proxy.disarm(&id);
    }
}
