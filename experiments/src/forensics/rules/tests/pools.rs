//! Places that are used up: in a pool by error answers, in the service by slow calls.

use super::{
    load::{outage, outages},
    serial::{hanging, with_hang},
    *,
};

/// An outage of 503s after which no call is made, and pages take so long.
fn no_call_after_503s(page: u64) -> Trial {
    let mut trial = outage(Ends::With(503), 503, |at| at < 1_300);
    for it in trial
        .pages
        .iter_mut()
        .filter(|it| it.intended >= 1_300 * MS)
    {
        it.ended = Some(it.intended + page * MS);
        it.status = Some(503);
    }
    trial
}

/// Seen of httpx with `stream=True` and six connections, whose error answers are never closed: calls come back after
/// resets, and never after 503s.
#[test]
fn a_pool_that_unread_error_answers_use_up_leaks() {
    for client in CLIENTS {
        let leaks = |page: u64, places: Option<u64>| Battery {
            pool_places_503: places,
            storm_404: Some(outage(Ends::With(404), 503, |at| at < 1_300)),
            hang: vec![hanging(client, 1, Some(client.timeout))],
            ..outages(no_call_after_503s(page), outage(Ends::Reset, 503, |_| true))
        };
        let page = client.timeout.max(client.page * 7);

        let found = told(client, &leaks(page, Some(6)), Id::PoolLeak);

        assert_eq!(found.verdict, Verdict::Defect, "{found:?}");
        assert!(found.sentence.starts_with("6 answers of 503"), "{found:?}");
        for id in [
            Id::NoEffectiveBreaker,
            Id::BreakerIgnores5xx,
            Id::BreakerNeverCloses,
            Id::BreakerOpensOn4xx,
            Id::SlowFallback,
        ] {
            let found = told(client, &leaks(page, Some(6)), id);
            assert_eq!(found.verdict, Verdict::NotApplicable, "{found:?}");
            assert!(found.why.contains("pool-leak"), "{found:?}");
        }
        // A semaphore that is not waited for leaks as well.
        let at_once = leaks(client.page.min(20), Some(6));
        assert_told(client, &at_once, Id::PoolLeak, Verdict::Defect);
    }
}

/// Where single failures among good pages do not end all calls, it is a breaker that does not close; so it is if calls come back once
/// nobody asks.
#[test]
fn what_single_failures_do_not_use_up_is_no_pool() {
    let client = CLIENTS[0];
    let never = |pause: bool| Trial {
        back_after_a_pause: pause,
        ..no_call_after_503s(client.page)
    };
    let battery = |pause, places| Battery {
        pool_places_503: places,
        after_failure: Some(outage(Ends::With(503), 200, |_| true)),
        ..outages(never(pause), never(pause))
    };

    for battery in [battery(false, None), battery(true, Some(6))] {
        assert_told(client, &battery, Id::PoolLeak, Verdict::NotApplicable);
        assert_told(client, &battery, Id::BreakerNeverCloses, Verdict::Defect);
    }
}

/// As where a place is given back on every error but not when a time-out cancels the call.
#[test]
fn a_pool_that_calls_that_hang_use_up_leaks() {
    let client = CLIENTS[0];
    let comes = |ends| outage(ends, 200, |_| true);
    let battery = |lost: bool, after_one: bool| Battery {
        after_hang: Some(outage(Ends::ByClient, 200, move |at| {
            at < 1_100 || (after_one && at >= 8_000)
        })),
        after_failure: Some(comes(Ends::With(503))),
        lost_after_hangs: lost,
        ..outages(comes(Ends::With(503)), comes(Ends::Reset))
    };

    let id = Id::PoolLeak;
    assert_told(client, &battery(true, true), id, Verdict::Defect);
    assert_told(client, &battery(false, true), id, Verdict::Ok);
    // One is enough: that is a connection, not a pool.
    assert_told(client, &battery(true, false), id, Verdict::Ok);
    let pinned = Id::PinnedConnection;
    assert_told(client, &battery(true, false), pinned, Verdict::Defect);
}

/// Seen of a breaker that keeps its one place for a probe after the probe went well: it lets one call through after an outage, and
/// none after calls that hung.
#[test]
fn a_breaker_that_calls_once_after_each_outage_is_no_pool() {
    let client = CLIENTS[0];
    let probes_once = |ends| {
        outage(ends, 503, |at| {
            at < 1_500 || (at % 1_500 == 0 && at <= 9_000)
        })
    };
    let battery = Battery {
        after_hang: Some(outage(Ends::ByClient, 200, |_| true)),
        after_failure: Some(outage(Ends::With(503), 200, |_| true)),
        lost_after_hangs: true,
        ..outages(probes_once(Ends::With(503)), probes_once(Ends::Reset))
    };

    assert_told(client, &battery, Id::BreakerNeverCloses, Verdict::Defect);
    assert_told(client, &battery, Id::PoolLeak, Verdict::NotApplicable);
}

/// Pages of another endpoint, at 10 a second, 12 of them before the dependency is slow.
fn watched(before: u64, slow: u64) -> Trial {
    let mut records = Records::armed(1_200).form("200ms");
    for page in 0..60 {
        records.page(page * 50, Some(220), 200, false);
        records.attempt(page * 50, 200, Ends::With(200), page);
    }
    let mut trial = records.until(20_000);
    let pages = (0..42).map(|number| {
        let took = if number < 12 { before } else { slow };
        PageRecord {
            number,
            intended: number * 100 * MS,
            sent: number * 100 * MS,
            ended: Some((number * 100 + took) * MS),
            status: Some(200),
            ..PageRecord::default()
        }
    });
    trial.watched = pages.collect();
    trial
}

/// Seen on a machine with a load of 14: the other endpoint took 220 ms in one trial, and 3 ms a minute later.
#[test]
fn other_endpoints_must_be_held_up_twice_to_lack_a_bulkhead() {
    let client = CLIENTS[0];
    let battery = |trials: Vec<Trial>| Battery {
        slow_under_load: trials,
        ..with_hang(hanging(client, 1, Some(client.timeout)))
    };
    let id = Id::NoBulkhead;

    let once = battery(vec![watched(3, 450), watched(3, 3)]);
    let twice = battery(vec![watched(3, 450), watched(3, 420)]);

    let found = told(client, &once, id);
    assert_eq!(found.verdict, Verdict::Undetermined, "{found:?}");
    assert_eq!(
        found.why,
        "another endpoint took 450ms and then 3.0ms, which may be the machine"
    );
    assert_told(client, &twice, id, Verdict::Defect);
}

/// What held a page up before it was sent is this machine, not the service.
#[test]
fn our_own_lateness_is_no_lack_of_a_bulkhead() {
    let client = CLIENTS[0];
    let mut late = watched(3, 450);
    for page in &mut late.watched {
        page.sent = page.ended.unwrap() - 3 * MS;
    }
    let battery = Battery {
        slow_under_load: vec![late],
        ..Battery::default()
    };

    assert_told(client, &battery, Id::NoBulkhead, Verdict::Ok);
}
