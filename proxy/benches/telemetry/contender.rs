//! Proxies that differ in their telemetry alone, each a process of its own on a core of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use brownout_fault::store;
use brownout_proxy::{Gateway, GatewayConfig, ListenAddress, NewRoute, Upstream};
use brownout_telemetry::{Metrics, Sampling, Telemetry, TelemetryConfig, Tracer};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The first argument by which this program becomes the proxy.
pub(crate) const AS_PROXY: &str = "--as-proxy";

/// What a proxy does about telemetry.
pub(crate) struct Mode {
    name: &'static str,
    /// The collector's URL and the share of traces that are recorded.
    tracing: Option<(String, f64)>,
}

impl Mode {
    pub(crate) fn off(name: &'static str) -> Self {
        Self {
            name,
            tracing: None,
        }
    }

    pub(crate) fn tracing(name: &'static str, collector: SocketAddr, ratio: f64) -> Self {
        Self {
            name,
            tracing: Some((format!("http://{collector}"), ratio)),
        }
    }
}

/// A proxy that runs.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Contender {
    pub(crate) fn start(mode: Mode, upstream: SocketAddr) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([AS_PROXY, &format!("http://{upstream}")]);
        if let Some((collector, ratio)) = mode.tracing {
            command.args([collector, ratio.to_string()]);
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            name: mode.name,
            address: line.trim().parse().unwrap(),
            process,
        }
    }

    /// User and system time spent so far by all threads of the process.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let nanos = tasks.map(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            stat.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Duration::from_nanos(nanos.sum())
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let ended = [self.process.kill().err(), self.process.wait().err()];
        for ended in ended.into_iter().flatten() {
            println!("could not end {}: {ended}", self.name);
        }
    }
}

/// Keeps this thread on one core, where there are several.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        sched_setaffinity(None, &cores).unwrap();
    }
}

/// Runs the proxy until standard input ends. `mode` is a collector's URL and a ratio, or nothing.
pub(crate) fn be_the_proxy(upstream: &str, mode: &[String]) {
    // The parent keeps to the other core, and its children do until they say otherwise.
    let mut all = CpuSet::new();
    (0..2).for_each(|core| all.set(core));
    sched_setaffinity(None, &all).unwrap();
    pin(1);
    let (_writer, reader) = store(0);
    let telemetry = match mode {
        [collector, ratio] => {
            let sampling = Sampling {
                ratio: ratio.parse().unwrap(),
                ..Sampling::default()
            };
            let config = TelemetryConfig {
                otlp: Some(collector.clone()),
                sampling,
                ..TelemetryConfig::default()
            };
            Some(Telemetry::start(config).unwrap())
        }
        _ => None,
    };
    let tracer = telemetry.as_ref();
    let gateway = Gateway::start(GatewayConfig {
        cores: 1,
        tracer: tracer.map_or_else(Tracer::off, |it| it.tracer("brownout-proxy")),
        metrics: tracer.map_or_else(Metrics::new, Telemetry::metrics),
        ..GatewayConfig::new(reader)
    })
    .unwrap();
    let route = gateway.handle().add_route(NewRoute {
        name: "bench".to_owned(),
        listen: ListenAddress::parse("127.0.0.1:0").unwrap(),
        upstream: Upstream::parse(upstream).unwrap(),
        tls: None,
        enabled: true,
        caller_faults: false.into(),
        accept_proxy: false,
    });
    println!("{}", route.unwrap().listen);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
