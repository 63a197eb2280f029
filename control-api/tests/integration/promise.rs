//! The promise: a request sent after the answer to a call was read sees what it did, on warm connections and on every
//! core. No exception, however often.

use std::time::Duration;

use brownout_testkit::{How, RawClient, within};
use serde_json::json;
use tokio::time::interval;

use crate::World;

impl World {
    async fn clients(&self, count: usize) -> Vec<RawClient> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(RawClient::connect(self.proxy).await);
        }
        clients
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
async fn two_hundred_rounds_on_64_warm_connections_have_no_exception() {
    let world = World::start().await;
    let mut clients = world.clients(64).await;
    assert_eq!(statuses(&mut clients).await, [200; 64]);
    // Each core has upstream connections of its own, and 64 requests at once need more than one on each.
    assert!(world.upstream.connections() >= 2, "both cores are in use");

    for round in 0..200 {
        let fault = json!({ "id": "down", "route": "web", "abort": 503 });
        assert_eq!(world.call("POST", "/faults", fault).await.0, 201);
        assert_eq!(statuses(&mut clients).await, [503; 64], "round {round}");
        assert_eq!(world.delete("/faults/down").await.0, 200);
        assert_eq!(statuses(&mut clients).await, [200; 64], "round {round}");
    }
}

#[tokio::test]
async fn a_limit_under_64_connections_is_exact_while_the_fault_is_patched() {
    let world = World::start().await;
    for round in 0..50 {
        let mut clients = world.clients(64).await;
        let fault = json!({ "id": "five", "route": "web", "reset": {}, "limit": 5 });
        assert_eq!(world.call("POST", "/faults", fault).await.0, 201);

        let asking = async {
            for client in &mut clients {
                client
                    .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                    .await;
            }
            let mut resets = 0;
            for client in &mut clients {
                let ended = client.ended().await;
                if ended.how == How::Reset {
                    assert!(ended.bytes.is_empty());
                    resets += 1;
                }
            }
            resets
        };
        let patching = async {
            let mut beat = interval(Duration::from_millis(1));
            for note in 0.. {
                beat.tick().await;
                let patch = json!({ "note": note.to_string() });
                assert_eq!(world.call("PATCH", "/faults/five", patch).await.0, 200);
            }
        };
        let resets = within("64 answers", async {
            tokio::select! {
                resets = asking => resets,
                () = patching => unreachable!("it has no end"),
            }
        })
        .await;

        assert_eq!(resets, 5, "round {round}");
        let (_, fault) = world.get("/faults/five").await;
        assert_eq!(fault["counters"]["injected"], 5, "round {round}");
        assert_eq!(world.delete("/faults/five").await.0, 200);
    }
}
