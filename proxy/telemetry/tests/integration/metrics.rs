use std::{thread, time::Duration};

use brownout_telemetry::{Metrics, Value, names};

#[test]
fn the_same_name_and_tags_give_the_same_series() {
    let metrics = Metrics::new();

    metrics.counter(names::PROXY_REQUESTS, &["web"]).add(1);
    metrics.counter(names::PROXY_REQUESTS, &["web"]).add(2);
    metrics.counter(names::PROXY_REQUESTS, &["api"]).add(4);
    metrics.counter_named("homepage.get").add(8);
    metrics.clone().counter_named("homepage.get").add(16);

    assert_eq!(metrics.counter(names::PROXY_REQUESTS, &["web"]).total(), 3);
    assert_eq!(metrics.counter(names::PROXY_REQUESTS, &["api"]).total(), 4);
    assert_eq!(metrics.counter_named("homepage.get").total(), 24);
}

#[test]
fn a_gauge_goes_up_and_down() {
    let gauge = Metrics::new().gauge(names::PROXY_IN_FLIGHT, &["web"]);

    gauge.set(5);
    gauge.add(2);
    gauge.sub(10);

    assert_eq!(gauge.value(), -3);
}

#[test]
fn a_snapshot_holds_every_series_with_its_tags() {
    let metrics = Metrics::new();
    metrics
        .counter(names::PROXY_RESPONSES, &["web", "5xx"])
        .add(1);
    metrics
        .counter(names::PROXY_RESPONSES, &["web", "2xx"])
        .add(7);
    metrics
        .gauge(names::FAULT_ACTIVE, &["web", "latency"])
        .set(2);
    metrics
        .histogram_named("homepage.latency")
        .record(Duration::from_micros(40));

    let shown: Vec<_> = metrics
        .snapshot()
        .iter()
        .map(|sample| {
            let value = match &sample.value {
                Value::Counter(total) => total.to_string(),
                Value::Gauge(value) => value.to_string(),
                Value::Histogram(it) => format!("{} of {:?}", it.count(), it.max()),
            };
            let tags: Vec<_> = sample
                .tags
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("{} {} {value}", sample.name, tags.join(","))
        })
        .collect();

    assert_eq!(
        shown,
        [
            "fault.active route=web,fault_type=latency 2",
            "homepage.latency  1 of Some(40µs)",
            "proxy.responses route=web,class=2xx 7",
            "proxy.responses route=web,class=5xx 1",
            "telemetry.series_overflow  0",
        ]
    );
}

#[test]
fn series_beyond_the_limit_are_counted_together_as_other() {
    let metrics = Metrics::new();
    let overflow = metrics.counter(names::TELEMETRY_SERIES_OVERFLOW, &[]);
    for route in 1..Metrics::MAX_SERIES {
        metrics
            .counter(names::PROXY_REQUESTS, &[&route.to_string()])
            .add(1);
    }
    assert_eq!(overflow.total(), 0);

    for route in ["late", "later"] {
        metrics.counter(names::PROXY_REQUESTS, &[route]).add(1);
        metrics.gauge(names::FAULT_ACTIVE, &[route, "reset"]).add(1);
        metrics.counter_named(route).add(1);
    }

    assert_eq!(overflow.total(), 6);
    let other = metrics.counter(names::PROXY_REQUESTS, &["other"]);
    assert_eq!(other.total(), 2);
    let other = metrics.gauge(names::FAULT_ACTIVE, &["other", "other"]);
    assert_eq!(other.value(), 2);
    assert_eq!(metrics.counter_named("other").total(), 2);
    let early = metrics.counter(names::PROXY_REQUESTS, &["1"]);
    assert_eq!(early.total(), 1, "series that were there stay apart");
    assert_eq!(metrics.snapshot().len(), Metrics::MAX_SERIES + 3);
}

/// The series there are of routes.
fn routes(metrics: &Metrics) -> Vec<String> {
    let samples = metrics.snapshot();
    let tags = samples.iter().filter_map(|sample| sample.tags.first());
    tags.map(|(_, route)| route.to_string()).collect()
}

#[test]
fn a_group_gives_its_series_back_when_it_is_dropped() {
    let metrics = Metrics::new();
    let group = metrics.group();
    let requests = group.counter(names::PROXY_REQUESTS, &["web"]);
    requests.add(3);
    group.gauge(names::PROXY_IN_FLIGHT, &["web"]).add(1);
    group
        .histogram(names::PROXY_LATENCY, &["web"])
        .record(Duration::from_millis(1));
    assert_eq!(routes(&metrics), ["web"; 3]);

    drop(group);
    requests.add(1);

    assert_eq!(routes(&metrics), [""; 0]);
    let again = metrics.group();
    let again = again.counter(names::PROXY_REQUESTS, &["web"]);
    assert_eq!((again.total(), requests.total()), (0, 4));
}

#[test]
fn a_series_ends_with_the_last_group_that_it_was_asked_for_by() {
    let metrics = Metrics::new();
    let [old, new] = [(); 2].map(|()| metrics.group());
    old.counter(names::PROXY_REQUESTS, &["web"]).add(1);
    new.counter(names::PROXY_REQUESTS, &["web"]).add(2);
    new.counter(names::PROXY_BYTES_IN, &["web"]).add(1);
    metrics.counter(names::PROXY_BYTES_IN, &["web"]).add(1);

    drop(old);
    let kept = new.counter(names::PROXY_REQUESTS, &["web"]);
    assert_eq!(kept.total(), 3);
    drop(new);

    let left = metrics.snapshot();
    let left: Vec<_> = left.iter().map(|it| it.name.as_ref()).collect();
    assert_eq!(left, ["proxy.bytes_in", "telemetry.series_overflow"]);
}

#[test]
fn what_comes_and_goes_never_fills_the_table() {
    let metrics = Metrics::new();
    let overflow = metrics.counter(names::TELEMETRY_SERIES_OVERFLOW, &[]);

    for route in 0..3 * Metrics::MAX_SERIES {
        let group = metrics.group();
        let requests = group.counter(names::PROXY_REQUESTS, &[&route.to_string()]);
        requests.add(1);
        assert_eq!(requests.total(), 1, "a series of its own");
    }

    assert_eq!(overflow.total(), 0);
    assert_eq!(metrics.snapshot().len(), 1);
}

#[test]
fn what_a_full_table_counts_as_other_is_given_back_as_well() {
    let metrics = Metrics::new();
    let full = metrics.group();
    for route in 1..Metrics::MAX_SERIES {
        let route = route.to_string();
        drop(full.counter(names::PROXY_REQUESTS, &[&route]));
    }
    let [late, later] = [(); 2].map(|()| metrics.group());
    late.counter(names::PROXY_REQUESTS, &["late"]).add(1);
    later.counter(names::PROXY_REQUESTS, &["later"]).add(1);

    drop(late);
    assert!(routes(&metrics).contains(&"other".to_owned()));
    drop(later);
    assert!(!routes(&metrics).contains(&"other".to_owned()));
    drop(full);

    let group = metrics.group();
    drop(group.counter(names::PROXY_REQUESTS, &["late"]));
    assert_eq!(routes(&metrics), ["late"]);
}

#[test]
fn no_record_is_lost_while_a_histogram_is_read() {
    let histogram = Metrics::new().histogram(names::PROXY_LATENCY, &["web"]);

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for us in 0..50_000 {
                    histogram.record(Duration::from_micros(us));
                }
            });
        }
        let mut seen = 0;
        while seen < 200_000 {
            let count = histogram.distribution().count();
            assert!(count >= seen, "{seen} fell to {count}");
            seen = count;
        }
    });

    assert_eq!(histogram.distribution().count(), 200_000);
}
