//! What traces and metrics cost a request through the proxy, in turns within one run.
//!
//! `cargo bench -p brownout-proxy --bench telemetry [-- --rounds 5 --seconds 2]`
//!
//! The load, the backend and the collector share one core, the proxy has another to itself, the threads that send its
//! spans included. CPU is user plus system time of the proxy's process for each request; ratios are taken within a
//! round against the proxy without telemetry, and their median is shown. An answer other than 200 ends the run.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, stops at the first surprise, and counts less than 2^53"
)]

#[expect(dead_code, reason = "HTTP/2 to upstreams is not measured here")]
#[path = "../passthrough/backend.rs"]
mod backend;
mod collector;
mod contender;
#[expect(dead_code, reason = "HTTP/2 to upstreams is not measured here")]
#[path = "../passthrough/load.rs"]
mod load;

use std::{collections::BTreeMap, time::Duration};

use contender::{Contender, Mode};
use load::Scenario;

const LOAD: Scenario = Scenario::USUAL;

/// The same, in a trace that is not recorded.
const UNSAMPLED: Scenario = Scenario {
    fields: "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n",
    ..LOAD
};

/// The allocator of the brownout binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What one contender did in one round.
#[derive(Clone, Copy)]
struct Sample {
    cpu_micros: f64,
    requests_per_second: f64,
    slowest: Duration,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == contender::AS_PROXY) {
        return contender::be_the_proxy(&args[1], &args[2..]);
    }
    let number = |name: &str, default: u64| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)?.parse().ok())
            .unwrap_or(default)
    };
    let rounds = number("--rounds", 5);
    let seconds = Duration::from_secs(number("--seconds", 2));

    contender::pin(0);
    let upstream = backend::start().http1;
    let (taking, dead, stalled) = (collector::taking(), collector::dead(), collector::stalled());
    let contenders = [
        (Mode::off("off"), LOAD),
        (Mode::off("off, again"), LOAD),
        (
            Mode::tracing("on, the caller does not sample", taking, 1.0),
            UNSAMPLED,
        ),
        (Mode::tracing("on, ratio 0", taking, 0.0), LOAD),
        (Mode::tracing("sampled", taking, 1.0), LOAD),
        (Mode::tracing("sampled, collector dead", dead, 1.0), LOAD),
        (
            Mode::tracing("sampled, collector stalls", stalled, 1.0),
            LOAD,
        ),
    ];
    let contenders = contenders.map(|(mode, load)| (Contender::start(mode, upstream), load));
    let mut samples: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
    for _ in 0..rounds {
        for (contender, load) in &contenders {
            let sample = measure(contender, *load, seconds);
            samples.entry(contender.name).or_default().push(sample);
        }
    }
    println!("\n{}, {rounds} rounds of {seconds:?}", LOAD.name);
    println!(
        "  {:<32} {:>14} {:>10} {:>12} {:>14}",
        "", "CPU µs/request", "CPU ratio", "requests/s", "slowest ms"
    );
    for (contender, _) in &contenders {
        print(contender.name, &samples[contender.name], &samples["off"]);
    }
}

fn measure(contender: &Contender, load: Scenario, seconds: Duration) -> Sample {
    // Connections are made and buffers grow before the clock starts.
    load::run(contender.address, load, seconds / 10);
    let before = contender.cpu();
    let ran = load::run(contender.address, load, seconds);
    let cpu = contender.cpu() - before;
    Sample {
        cpu_micros: cpu.as_secs_f64() * 1e6 / ran.answered as f64,
        requests_per_second: ran.answered as f64 / ran.took.as_secs_f64(),
        slowest: ran.slowest,
    }
}

fn print(name: &str, own: &[Sample], off: &[Sample]) {
    let ratios = own.iter().zip(off);
    let ratios = ratios.map(|(own, off)| own.cpu_micros / off.cpu_micros);
    let slowest = own.iter().map(|sample| sample.slowest).max();
    println!(
        "  {name:<32} {:>14.1} {:>10.2} {:>12.0} {:>14.1}",
        median(own.iter().map(|sample| sample.cpu_micros)),
        median(ratios),
        median(own.iter().map(|sample| sample.requests_per_second)),
        slowest.unwrap_or_default().as_secs_f64() * 1e3,
    );
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
