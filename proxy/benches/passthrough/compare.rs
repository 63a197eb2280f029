//! Contenders side by side, in turns within one run.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    backend,
    contender::{self, Contender},
    load::{self, Scenario},
};

/// What one contender did in one round.
#[derive(Clone, Copy)]
struct Sample {
    requests_per_second: f64,
    cpu_micros: Option<f64>,
    slowest: Duration,
}

/// Runs `scenarios` through everything that carries `protocol`, `http` or `tcp`, and prints what it cost.
pub(crate) fn run(protocol: &str, scenarios: &[Scenario]) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == contender::AS_PROXY) {
        return contender::be_the_proxy(&args[1], &args[2], [&args[3], &args[4]], args.get(5));
    }
    let told = |name: &str| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1))
    };
    let number = |name: &str, default: u64| {
        told(name)
            .and_then(|number| number.parse().ok())
            .unwrap_or(default)
    };
    let rounds = number("--rounds", 5);
    let seconds = told("--seconds").and_then(|seconds| seconds.parse().ok());
    let seconds = Duration::from_secs_f64(seconds.unwrap_or(2.0));

    let backend = backend::start();
    let only: Option<Vec<&str>> = told("--only").map(|names| names.split(',').collect());
    let contenders = contender::all(backend, protocol, only.as_deref());
    let base = if contenders.iter().any(|c| c.name == "haproxy") {
        "haproxy"
    } else {
        "brownout"
    };
    let scenario_asked = usize::try_from(number("--scenario", 0)).unwrap();
    for (index, scenario) in scenarios.iter().copied().enumerate() {
        if scenario_asked != 0 && scenario_asked != index + 1 {
            continue;
        }
        let contenders: Vec<&Contender> = (contenders.iter())
            .filter(|contender| contender.entrance(scenario).is_some())
            .collect();
        let mut samples: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
        for _ in 0..rounds {
            for contender in &contenders {
                samples
                    .entry(contender.name)
                    .or_default()
                    .push(measure(contender, scenario, seconds));
            }
        }
        print(scenario, &contenders, &samples, base);
    }
}

fn measure(contender: &Contender, scenario: Scenario, seconds: Duration) -> Sample {
    let address = contender.entrance(scenario);
    let address = address.expect("others are left out");
    // Connections are made and buffers grow before the clock starts.
    load::run(address, scenario, seconds / 10);
    let before = contender.cpu();
    let ran = load::run(address, scenario, seconds);
    let cpu = contender
        .cpu()
        .zip(before)
        .map(|(after, before)| after - before);
    Sample {
        requests_per_second: ran.answered as f64 / ran.took.as_secs_f64(),
        cpu_micros: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / ran.answered as f64),
        slowest: ran.slowest,
    }
}

fn print(
    scenario: Scenario,
    contenders: &[&Contender],
    samples: &BTreeMap<&str, Vec<Sample>>,
    base: &str,
) {
    println!("\n{}", scenario.name);
    println!(
        "  {:<10} {:>12} {:>14} {:>16} {:>16}",
        "", "requests/s", "CPU µs/request", "requests/s ratio", "CPU ratio"
    );
    for contender in contenders {
        let own = &samples[contender.name];
        let ratio = |of: fn(&Sample) -> Option<f64>| {
            let pairs = own.iter().zip(&samples[base]);
            median(
                pairs
                    .filter_map(|(own, base)| Some(of(own)? / of(base)?))
                    .collect(),
            )
        };
        println!(
            "  {:<10} {:>12.0} {:>14} {:>16} {:>16}   slowest {:.0} ms",
            contender.name,
            median(own.iter().map(|s| s.requests_per_second).collect()).unwrap_or(f64::NAN),
            show(median(own.iter().filter_map(|s| s.cpu_micros).collect()), 1),
            show(ratio(|s| Some(s.requests_per_second)), 2),
            show(ratio(|s| s.cpu_micros), 2),
            own.iter()
                .map(|s| s.slowest.as_secs_f64() * 1e3)
                .fold(0.0, f64::max),
        );
    }
}

fn show(number: Option<f64>, decimals: usize) -> String {
    number.map_or("-".to_owned(), |number| format!("{number:.decimals$}"))
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}
