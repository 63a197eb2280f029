//! How exact faults are: the delay that was asked for and the one that came, the rate and the bytes that came.
//!
//! `cargo bench -p brownout-proxy --bench fidelity`
//!
//! A thousand requests are held at once, on one core of the proxy, and arrive one after the other; the error is the
//! proxy's own measure, as `magnitude` tells it. Rates are measured by a client, from the first byte of the body to the last.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, stops at the first surprise, and counts less than 2^53"
)]

use std::time::{Duration, Instant};

use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually};
use serde_json::json;

/// The allocator of the brownout binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        delays().await;
        rates().await;
    });
}

async fn delays() {
    const HELD: usize = 1_000;
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_cores(1).start();
    let mut clients = Vec::new();
    for _ in 0..HELD {
        clients.push(proxy.connect().await);
    }
    println!("latency, {HELD} requests held at once");
    for asked in ["2s"] {
        let id = proxy.arm(&json!({ "latency": asked }));
        for _ in 0..3 {
            for client in &mut clients {
                client.get("/").await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for client in &mut clients {
                client.response().await;
            }
        }
        let magnitude = proxy.fault(&id).magnitude;
        let late = magnitude.late.unwrap();
        println!(
            "  asked {asked:>6}: late by {:?} at p50, {:?} at p99",
            late.p50, late.p99
        );
        proxy.disarm(&id);
        eventually("all to be let go", || proxy.faults().clear().is_empty()).await;
    }
}

async fn rates() {
    println!("bandwidth, a body of two seconds, from its first byte to its last");
    for (rate, bytes_per_second) in [
        ("10KB/s", 10_000_usize),
        ("100KB/s", 100_000),
        ("1MB/s", 1_000_000),
        ("10MB/s", 10_000_000),
        ("100MB/s", 100_000_000),
    ] {
        let size = 2 * bytes_per_second;
        let upstream = TestUpstream::replying(vec![b'x'; size]).await;
        let fault = json!({ "bandwidth": { "rate": rate, "burst": "0B" } });
        let proxy = TestProxy::to(&upstream)
            .with_cores(1)
            .with_fault(&fault)
            .start();
        let mut client = RawClient::connect(proxy.address()).await;
        client.get("/").await;
        client.head().await;
        client.read_exact(1).await;
        let began = Instant::now();
        // In pieces: the client's buffer shall not be what is measured.
        let mut left = size - 1;
        while left > 0 {
            let piece = left.min(1 << 20);
            client.read_exact(piece).await;
            left -= piece;
        }
        let came = (size - 1) as f64 / began.elapsed().as_secs_f64();
        let error = (came / bytes_per_second as f64 - 1.0) * 100.0;
        println!("  asked {rate:>8}: {came:>12.0} B/s, {error:+.1} %");
    }
}
