//! What a connection costs in memory, as a process of its own pays it: idle after one request, and held by a fault.

use brownout_testkit::{RawClient, TestUpstream, within};
use serde_json::{Value, json};

use crate::proxy_process::ProxyProcess;

const CONNECTIONS: usize = 2_000;
/// What the allocator takes in steps whatever was asked for: a size class grows by pages of 64 KiB and its segments are
/// touched page by page. A dozen classes that are not full are less than 1 MiB, over all connections.
const STEPS: u64 = 1024 * 1024;

/// Opens connections and has each do one request; gives them back with what each cost.
async fn cost(faults: &[Value], expects_answer: bool) -> (Vec<RawClient>, u64) {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = ProxyProcess::start(&upstream.url(), faults);
    // What the first ones cost is the process's own: its pools, its buffers, its tables.
    let mut clients = open(&proxy, 100, expects_answer).await;
    settled(&proxy).await;
    let before = proxy.memory();

    clients.extend(open(&proxy, CONNECTIONS, expects_answer).await);
    settled(&proxy).await;

    let grown = proxy.memory().saturating_sub(before);
    (clients, grown)
}

async fn open(proxy: &ProxyProcess, count: usize, expects_answer: bool) -> Vec<RawClient> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = RawClient::connect(proxy.address()).await;
        client
            .send("GET /some/path?with=query HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
            .await;
        if expects_answer {
            assert_eq!(client.response().await.text(), "hello");
        }
        clients.push(client);
    }
    clients
}

/// Waits until the process's memory stands still for a second: it gives some back late.
async fn settled(proxy: &ProxyProcess) {
    let steady = async {
        let mut last = proxy.memory();
        let mut same = 0;
        while same < 10 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let now = proxy.memory();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
    };
    within("the memory to stand still", steady).await;
}

#[expect(
    clippy::print_stdout,
    reason = "the number is of interest when it is right as well"
)]
fn check(what: &str, grown: u64, bound: u64) {
    let each = grown / CONNECTIONS as u64;
    println!("{what}: {each} bytes each");
    assert!(
        grown <= bound * CONNECTIONS as u64 + STEPS,
        "{what}: {each} bytes each, more than {bound}"
    );
}

#[tokio::test]
async fn idle_memory_is_4_kib_a_connection() {
    let (_clients, grown) = cost(&[], true).await;

    check("idle connection", grown, 4 * 1024);
}

#[tokio::test]
async fn held_memory_is_8_kib_a_request() {
    let hold = json!({ "latency": "1h", "max_active": 10_000 });

    let (_clients, grown) = cost(&[hold], false).await;

    check("request held by a latency", grown, 8 * 1024);
}
