use super::*;

pub(crate) fn page(number: u64, intended_ms: u64, latency_ms: u64, status: u16) -> Page {
    Page {
        number,
        intended: intended_ms * 1_000,
        sent: intended_ms * 1_000,
        ended: (intended_ms + latency_ms) * 1_000,
        outcome: PageOutcome::Answered(StatusCode::from_u16(status).unwrap()),
        fits: 0,
    }
}

pub(crate) fn counted(requests: f64, errors: f64) -> BTreeMap<String, HopCounters> {
    let counters = HopCounters {
        requests,
        ended: requests,
        errors,
        latency_sum: requests * 0.02,
        latency_count: requests,
    };
    BTreeMap::from([("up".to_owned(), counters)])
}

#[test]
fn a_page_belongs_to_the_phase_in_which_it_was_to_be_sent() {
    let mut recording = Recording::default();
    recording.load.begin(1, 900_000);
    recording.load.begin(2, 1_100_000);
    assert!(recording.is_waiting_for_pages_before(1_000_000));
    recording.load.end(page(1, 900, 5_000, 200));
    assert!(!recording.is_waiting_for_pages_before(1_000_000));
    recording.load.end(page(2, 1_100, 10, 503));

    let first = Span {
        from: 0,
        to: SECOND,
    };
    let summary = recording.load.summary("edge", first);

    assert_eq!((summary.requests, summary.error_rate), (1, 0.0));
    assert_eq!(summary.quantiles.last(), Some(&(1.0, 5_000.0)));
}

#[test]
fn counters_between_two_looks_are_taken_to_be_even() {
    let mut recording = Recording::default();
    recording.counted(0, &counted(10.0, 0.0));
    recording.counted(SECOND, &counted(110.0, 10.0));

    let middle = Span {
        from: 250_000,
        to: 750_000,
    };
    let inside = recording.hop_in("up", middle).unwrap();
    let summary = recording
        .route_summary(
            "up",
            Span {
                from: 0,
                to: SECOND,
            },
        )
        .unwrap();

    assert_eq!((inside.requests, inside.errors), (50.0, 5.0));
    assert_eq!((summary.requests, summary.error_rate), (100, 0.1));
    assert!((summary.mean_ms.unwrap() - 20.0).abs() < 1e-9);
    assert_eq!(recording.hop_in("other", middle), None);
}

#[test]
fn no_call_is_counted_before_the_load_began() {
    let mut recording = Recording::default();
    recording.counted(0, &counted(10.0, 0.0));
    recording.load_begins(90_000);
    recording.counted(100_000, &counted(50.0, 0.0));

    let phase = Span {
        from: 90_000,
        to: SECOND,
    };
    assert_eq!(recording.route_summary("up", phase).unwrap().requests, 40);
}

#[test]
fn what_ends_after_the_end_of_a_run_is_cut_off() {
    let mut recording = Recording::default();
    recording.load.end(page(1, 0, 400, 200));
    // The run removes its own routes then.
    recording.load.end(page(2, 300, 500, 502));
    recording.load.begin(3, 350_000);

    recording.load.cut(600_000);

    let whole = Span {
        from: 0,
        to: SECOND,
    };
    let summary = recording.load.summary("edge", whole);
    assert_eq!((summary.requests, summary.error_rate), (1, 0.0));
    let mut cut_off = recording.unfinished_pages();
    cut_off.sort_unstable();
    assert_eq!(cut_off.iter().map(|it| it.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_second_has_what_ended_in_it() {
    let mut recording = Recording::default();
    recording.load.end(page(1, 0, 400, 200));
    recording.load.end(page(2, 500, 600, 500));
    recording.load.end(page(3, 1_200, 100, 200));

    let second = &recording.second(1, &[(Asked::Load, "edge")], &[])[0];

    assert_eq!((second.requests, second.errors), (2.0, 1.0));
    assert_eq!(second.p99_ms, Some(600.0));
}
