//! How many requests a second the closed loop sends and measures: `cargo bench -p brownout-experiment`.
//!
//! The load has one thread, the server another: the load's CPU tells what it could do with a core of its own.

#![expect(clippy::unwrap_used, reason = "a benchmark: a failure is a panic")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::{fs, net::SocketAddr, sync::mpsc, thread, time::Duration};

use brownout_experiment::{
    Timeline,
    load::{Target, closed_loop},
};
use brownout_testkit::TestUpstream;
use futures_util::StreamExt;
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, timeout_at},
};

const LENGTH: Duration = Duration::from_secs(3);

fn main() {
    let address = start_server();
    println!("connections  requests/s  CPU a request  requests/s of one core");
    for connections in [1, 10, 100] {
        let before = cpu();
        let served = runtime().block_on(load(address, connections));
        let each = (cpu() - before).as_secs_f64() / served as f64;
        println!(
            "{connections:>11}  {:>10.0}  {:>10.1} µs  {:>22.0}",
            served as f64 / LENGTH.as_secs_f64(),
            each * 1e6,
            1.0 / each
        );
    }
}

async fn load(address: SocketAddr, connections: usize) -> u64 {
    let began = Instant::now();
    let mut timeline = Timeline::new(LENGTH);
    let mut load = closed_loop(Target::at(address), connections, began);
    while let Ok(Some(sample)) = timeout_at(began + LENGTH, load.next()).await {
        timeline.record(&sample);
    }
    assert_eq!(timeline.total().errors, 0);
    timeline.total().served
}

/// Answers every request with 1 KiB, until the process ends.
fn start_server() -> SocketAddr {
    let (tell, address) = mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async move {
            let upstream = TestUpstream::replying(vec![b'x'; 1024]).await;
            tell.send(upstream.address()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    address.recv().unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// What this thread has used.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = stat.split(' ').next().unwrap();
    Duration::from_nanos(nanos.parse().unwrap())
}
