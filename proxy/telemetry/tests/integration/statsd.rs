use std::{
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use brownout_telemetry::{Dialect, Telemetry, TelemetryConfig, names};
use brownout_testkit::{OtlpReceiver, StatsdReceiver};

use crate::{PATIENCE, counting_to, on_demand, root};

#[test]
fn every_increment_of_four_threads_arrives_exactly_once() {
    let daemon = StatsdReceiver::start();
    let telemetry = Telemetry::start(TelemetryConfig {
        statsd: Some(daemon.address()),
        flush_interval: Duration::from_millis(5),
        ..on_demand()
    })
    .unwrap();
    let counter = telemetry.metrics().counter(names::PROXY_REQUESTS, &["web"]);
    let histogram = telemetry
        .metrics()
        .histogram(names::PROXY_LATENCY, &["web"]);

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000_000 {
                    counter.add(1);
                }
                for us in 0..100_000 {
                    histogram.record(Duration::from_micros(us));
                }
            });
        }
    });
    telemetry.shutdown(PATIENCE).unwrap();

    assert_eq!(counter.total(), 4_000_000);
    let totals = daemon.wait_until(PATIENCE, |totals| {
        totals.counters.get("proxy.requests.web") >= Some(&4_000_000.0)
            && totals.counters.get("proxy.latency.web.count") >= Some(&400_000.0)
    });
    assert_eq!(totals.counters["proxy.requests.web"], 4_000_000.0);
    assert_eq!(totals.counters["proxy.latency.web.count"], 400_000.0);
    assert!(totals.packets > 2, "it was flushed while it was counted");
}

#[test]
fn packets_stay_within_1432_bytes_and_carry_every_line() {
    let daemon = StatsdReceiver::start();
    let telemetry = counting_to(&daemon);
    let metrics = telemetry.metrics();
    for n in 0..300 {
        let route = format!("{n:03}{}", "-long".repeat(n % 60));
        metrics.counter(names::PROXY_REQUESTS, &[&route]).add(1);
        metrics.gauge(names::PROXY_IN_FLIGHT, &[&route]).set(1);
    }

    telemetry.force_flush();

    let lines = metrics.counter(names::TELEMETRY_STATSD_LINES, &[]).total();
    let packets = metrics
        .counter(names::TELEMETRY_STATSD_PACKETS, &[])
        .total();
    let totals = daemon.wait_until(PATIENCE, |totals| totals.packets as u64 == packets);
    assert_eq!(totals.gauges.len(), 300);
    assert_eq!(totals.counters.len() as u64, lines - 300);
    assert!(totals.malformed.is_empty(), "{:?}", totals.malformed);
    assert!(
        totals.packet_bytes_max <= 1432,
        "{}",
        totals.packet_bytes_max
    );
    assert!(
        totals.packet_bytes_max > 1000,
        "{}",
        totals.packet_bytes_max
    );
}

#[test]
fn a_counter_shows_up_with_its_first_zero_and_then_only_with_increments() {
    let daemon = StatsdReceiver::start();
    let telemetry = counting_to(&daemon);
    let metrics = telemetry.metrics();
    let lines = metrics.counter(names::TELEMETRY_STATSD_LINES, &[]);
    let counters: Vec<_> = (0..50)
        .map(|n| metrics.counter_named(format!("service{n}.get")))
        .collect();

    telemetry.force_flush();
    let first = lines.total();
    counters[7].add(2);
    telemetry.force_flush();
    let second = lines.total() - first;
    counters[7].add(3);
    telemetry.force_flush();

    assert!(first >= 50);
    assert_eq!(second, 3, "the counter itself, lines and packets");
    let totals = daemon.wait_until(PATIENCE, |totals| {
        totals.counters.get("service7.get") == Some(&5.0)
    });
    assert_eq!(totals.counters["service8.get"], 0.0);
}

#[test]
fn a_gauge_below_zero_arrives_as_it_is() {
    let daemon = StatsdReceiver::start();
    let telemetry = counting_to(&daemon);
    let gauge = telemetry
        .metrics()
        .gauge(names::CIRCUITBREAKER_STATE, &["books"]);

    for value in [4, -3, -5] {
        gauge.set(value);
        telemetry.force_flush();
    }

    daemon.wait_until(PATIENCE, |totals| {
        totals.gauges.get("circuitbreaker.state.books") == Some(&-5.0)
    });
}

#[test]
fn a_histogram_arrives_as_a_count_and_milliseconds_since_the_flush_before() {
    let daemon = StatsdReceiver::start();
    let telemetry = counting_to(&daemon);
    let histogram = telemetry
        .metrics()
        .histogram(names::FAULT_DELAY, &["web", "latency"]);

    for us in 1..=40 {
        histogram.record(Duration::from_micros(us));
    }
    telemetry.force_flush();
    histogram.record(Duration::from_secs(2));
    telemetry.force_flush();

    let totals = daemon.wait_until(PATIENCE, |totals| {
        totals.counters.get("fault.delay.web.latency.count") == Some(&41.0)
    });
    let at_second_flush = totals.gauges["fault.delay.web.latency.p50"];
    assert!(
        (at_second_flush / 2000.0 - 1.0).abs() < 0.016,
        "{at_second_flush}"
    );
    for part in ["p95", "p99", "max", "mean"] {
        let value = totals.gauges[&format!("fault.delay.web.latency.{part}")];
        assert_eq!(value, at_second_flush, "{part} of one value");
    }
}

#[test]
fn milliseconds_have_three_decimals() {
    let daemon = StatsdReceiver::start();
    let telemetry = counting_to(&daemon);
    let histogram = telemetry.metrics().histogram_named("homepage.latency");

    for us in [10, 11, 11] {
        histogram.record(Duration::from_micros(us));
    }
    telemetry.force_flush();

    let totals = daemon.wait_until(PATIENCE, |totals| {
        totals.gauges.contains_key("homepage.latency.mean")
    });
    assert_eq!(totals.gauges["homepage.latency.p50"], 0.011);
    assert_eq!(totals.gauges["homepage.latency.max"], 0.011);
    assert_eq!(totals.gauges["homepage.latency.mean"], 0.011);
}

#[test]
fn series_that_end_are_sent_a_last_time_and_then_no_more() {
    let daemon = StatsdReceiver::start();
    let telemetry = counting_to(&daemon);
    let metrics = telemetry.metrics();
    let lines = metrics.counter(names::TELEMETRY_STATSD_LINES, &[]);
    let route = |name: &str, requests| {
        let group = metrics.group();
        let counter = group.counter(names::PROXY_REQUESTS, &[name]);
        let latency = group.histogram(names::PROXY_LATENCY, &[name]);
        group.gauge(names::PROXY_IN_FLIGHT, &[name]).set(7);
        counter.add(requests);
        latency.record(Duration::from_millis(3));
        (group, counter)
    };

    let (known, counter) = route("known", 1);
    telemetry.force_flush();
    counter.add(10);
    drop(known);
    for round in 0..100 {
        // Made, used and deleted between two flushes.
        drop(route("brief", round));
    }
    telemetry.force_flush();
    let before = lines.total();
    counter.add(100);
    telemetry.force_flush();

    assert_eq!(lines.total() - before, 2, "lines and packets alone");
    let totals = daemon.wait_until(PATIENCE, |totals| {
        // They come in several packets.
        totals.counters.get("proxy.requests.brief") == Some(&4950.0)
            && totals.counters.get("proxy.requests.known") == Some(&11.0)
            && totals.counters.get("proxy.latency.brief.count") == Some(&100.0)
            && totals.gauges.contains_key("proxy.in_flight.brief")
    });
    assert_eq!(totals.gauges["proxy.in_flight.brief"], 7.0);
}

#[test]
fn routes_whose_names_fall_together_are_sent_apart() {
    let daemon = StatsdReceiver::start();
    let telemetry = counting_to(&daemon);
    let metrics = telemetry.metrics();
    let dotted = metrics.group();
    dotted.counter(names::PROXY_REQUESTS, &["a.b"]).add(1);
    telemetry.force_flush();
    let plain = metrics.group();
    plain.counter(names::PROXY_REQUESTS, &["a_b"]).add(20);
    plain
        .counter(names::PROXY_RESPONSES, &["a_b", "2xx"])
        .add(20);
    dotted.counter(names::PROXY_REQUESTS, &["a.b"]).add(2);
    telemetry.force_flush();
    drop(dotted);
    telemetry.force_flush();
    let other = metrics.group();
    other.counter(names::PROXY_REQUESTS, &["a:b"]).add(300);
    telemetry.force_flush();

    let totals = daemon.wait_until(PATIENCE, |totals| {
        totals.counters.get("proxy.requests.a_b") == Some(&303.0)
    });
    assert_eq!(totals.counters["proxy.requests.a_b_2"], 20.0);
    assert_eq!(totals.counters["proxy.responses.a_b_2.2xx"], 20.0);
}

#[test]
fn a_daemon_that_is_not_there_changes_nothing() {
    let address = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let telemetry = Telemetry::start(TelemetryConfig {
        statsd: Some(address),
        ..on_demand()
    })
    .unwrap();
    let counter = telemetry.metrics().counter_named("homepage.get");

    for _ in 0..10 {
        counter.add(1);
        telemetry.force_flush();
    }

    assert_eq!(counter.total(), 10);
    assert_eq!(telemetry.shutdown(PATIENCE), Ok(()));
}

#[test]
fn the_last_flush_carries_the_final_counts_of_spans() {
    let collector = OtlpReceiver::start();
    let daemon = StatsdReceiver::start();
    let telemetry = Telemetry::start(TelemetryConfig {
        otlp: Some(collector.url()),
        statsd: Some(daemon.address()),
        ..on_demand()
    })
    .unwrap();
    let tracer = telemetry.tracer("homepage");

    for _ in 0..3 {
        root(&tracer).end();
    }
    telemetry.shutdown(PATIENCE).unwrap();

    let totals = daemon.wait_until(PATIENCE, |totals| {
        totals.counters.get("telemetry.spans_ended") == Some(&3.0)
    });
    assert_eq!(totals.counters["telemetry.spans_exported"], 3.0);
    assert_eq!(totals.counters["telemetry.spans_failed"], 0.0);
    assert_eq!(totals.counters["telemetry.spans_dropped"], 0.0);
    assert_eq!(totals.counters["telemetry.export_time.count"], 1.0);
}

#[test]
fn metrics_are_sent_by_themselves_every_interval() {
    let daemon = StatsdReceiver::start();
    let begun = Instant::now();
    let telemetry = Telemetry::start(TelemetryConfig {
        statsd: Some(daemon.address()),
        flush_interval: Duration::from_millis(20),
        ..on_demand()
    })
    .unwrap();
    telemetry
        .metrics()
        .gauge(names::PROXY_CONNECTIONS, &["web"])
        .set(1);

    daemon.wait_until(PATIENCE, |totals| totals.packets >= 3);

    assert!(begun.elapsed() >= Duration::from_millis(60));
}

/// The lines of everything that comes until `count` packets have come.
fn packets(daemon: &UdpSocket, count: u64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut buffer = [0; 65_536];
    for _ in 0..count {
        let bytes = daemon.recv(&mut buffer).expect("a packet");
        assert!(bytes <= 1432, "{bytes}");
        let packet = std::str::from_utf8(&buffer[..bytes]).expect("lines are text");
        lines.extend(packet.split('\n').map(str::to_owned));
    }
    lines
}

#[test]
fn daemons_that_add_up_durations_get_each_with_its_number_and_tags() {
    for (dialect, tagged) in [
        (
            Dialect::Influx,
            ["proxy.latency,route=web:", "proxy.latency.p50,route=web:"],
        ),
        (Dialect::Datadog, ["proxy.latency:", "proxy.latency.p50:"]),
    ] {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        daemon.set_read_timeout(Some(PATIENCE)).unwrap();
        let telemetry = Telemetry::start(TelemetryConfig {
            statsd: Some(daemon.local_addr().unwrap().to_string()),
            dialect,
            ..on_demand()
        })
        .unwrap();
        let metrics = telemetry.metrics();
        let latency = metrics.histogram(names::PROXY_LATENCY, &["web"]);
        for us in 1..=100_000 {
            latency.record(Duration::from_micros(us));
        }

        telemetry.force_flush();

        let sent = metrics.counter(names::TELEMETRY_STATSD_PACKETS, &[]);
        let lines = packets(&daemon, sent.total());
        let of = |start: &'static str| lines.iter().filter(move |line| line.starts_with(start));
        assert_eq!(of(tagged[1]).count(), 1, "{lines:#?}");
        let (mut recorded, mut sum_ms) = (0.0, 0.0);
        for line in of(tagged[0]) {
            let fields: Vec<&str> = line[tagged[0].len()..].split('|').collect();
            let word = if dialect == Dialect::Influx {
                "ms"
            } else {
                "d"
            };
            assert_eq!(fields[1], word);
            let rate = fields.iter().find_map(|field| field.strip_prefix('@'));
            let times = rate.map_or(1.0, |rate| (1.0 / rate.parse::<f64>().unwrap()).trunc());
            recorded += times;
            sum_ms += times * fields[0].parse::<f64>().unwrap();
            let tags = fields.iter().find_map(|field| field.strip_prefix('#'));
            assert_eq!(
                tags,
                (dialect == Dialect::Datadog).then_some("route:web"),
                "{line}"
            );
        }
        assert!(of(tagged[0]).count() <= 64, "{lines:#?}");
        assert_eq!(recorded, 100_000.0);
        let mean = sum_ms / recorded;
        assert!((mean - 50.0).abs() < 1.0, "{mean}");
    }
}

#[test]
fn packets_that_nobody_takes_are_counted_and_the_next_daemon_there_gets_its_own() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = daemon.local_addr().unwrap();
    let telemetry = Telemetry::start(TelemetryConfig {
        statsd: Some(address.to_string()),
        dialect: Dialect::Influx,
        ..on_demand()
    })
    .unwrap();
    let errors = telemetry
        .metrics()
        .counter(names::TELEMETRY_STATSD_SEND_ERRORS, &[]);
    drop(daemon);

    // What is refused shows at the sending after it.
    let begun = Instant::now();
    while errors.total() == 0 {
        telemetry.force_flush();
        assert!(begun.elapsed() < PATIENCE, "no error shows");
    }
    let daemon = UdpSocket::bind(address).unwrap();
    daemon.set_read_timeout(Some(PATIENCE)).unwrap();
    telemetry.metrics().counter_named("again").add(7);
    telemetry.force_flush();

    assert!(packets(&daemon, 1).contains(&"again:7|c".to_owned()));
}
