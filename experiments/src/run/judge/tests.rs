mod chains;

use super::*;
use crate::{
    expectation::{Expectation, Names},
    forensics::{AttemptRecord, record},
    run::recording::{
        Page, PageOutcome,
        tests::{counted, page},
    },
    sample::ErrorKind,
};

const PHASE: Span = Span {
    from: 10 * SECOND,
    to: 20 * SECOND,
};
const STEADY: Span = Span {
    from: 0,
    to: 10 * SECOND,
};

/// A run of 20 s: ten calm and ten with a fault.
struct Run {
    recording: Recording,
    faults: BTreeMap<String, FaultState>,
    journal: Result<JournalPage, JournalError>,
}

impl Run {
    /// 10 pages a second, each 100 ms; the route `up` is asked once for each.
    fn calm() -> Self {
        let mut recording = Recording::default();
        for number in 0..200 {
            recording
                .of_mut(Asked::Load)
                .end(page(number, number * 100, 100, 200));
        }
        for tenth in 0..=200_u32 {
            let at = u64::from(tenth) * SECOND / 10;
            recording.counted(at, &counted(f64::from(tenth), 0.0));
        }
        Self {
            recording,
            faults: BTreeMap::new(),
            journal: Err(JournalError::NotThere),
        }
    }

    fn with_pages(mut self, pages: impl IntoIterator<Item = Page>) -> Self {
        for page in pages {
            self.recording.of_mut(Asked::Load).end(page);
        }
        self
    }

    fn judge(&self, text: &str) -> Judgement {
        let names = Names {
            load: Some("edge".to_owned()),
            watch: true,
            routes: vec!["up".to_owned()],
            faults: vec!["f".to_owned()],
            ..Names::default()
        };
        let expected = Expected {
            expectation: Expectation::parse(text, &names).unwrap(),
            line: 7,
            column: 3,
        };
        let predicates = [Predicate::parse("header x-degraded").unwrap()];
        let view = View {
            recording: &self.recording,
            asked: vec![(Asked::Load, "edge"), (Asked::Watch, "watch")],
            predicates: &predicates,
            span: PHASE,
            by_end: false,
            baseline: Some(STEADY),
            faults: &self.faults,
            phases: &[],
            calls: None,
            journal: self.journal.as_ref(),
            min_samples: 20,
            confidence: 0.95,
        };
        view.judge("slow", &expected)
    }

    #[track_caller]
    fn comes_to(&self, text: &str, verdict: Told, observed: &str) {
        let judged = self.judge(text);
        assert_eq!(
            (judged.verdict, judged.observed.as_str()),
            (verdict, observed),
            "{text}: {judged:?}"
        );
    }
}

fn failed(number: u64, intended_ms: u64) -> Page {
    Page {
        outcome: PageOutcome::Failed(ErrorKind::Reset),
        ..page(number, intended_ms, 5, 200)
    }
}

#[test]
fn numbers_are_compared_with_their_threshold() {
    let run = Run::calm();

    run.comes_to("edge.error_rate <= 0%", Told::Passed, "0%");
    run.comes_to("edge.p99 < 300ms", Told::Passed, "100ms");
    run.comes_to("edge.p50 < 100ms", Told::Failed, "100ms");
    run.comes_to("edge.requests == 100", Told::Passed, "100");
    run.comes_to("up.rate >= 9/s", Told::Passed, "10/s");
    run.comes_to("up.calls_per_page <= 1.1", Told::Passed, "1");
    run.comes_to("up.peak_rate <= 12/s", Told::Passed, "10/s");
}

#[test]
fn a_threshold_may_be_relative_to_the_baseline() {
    let run =
        Run::calm().with_pages((0..100).map(|it| page(1_000 + it, 10_050 + it * 90, 250, 200)));

    let judged = run.judge("edge.p99 < 1.5x baseline");

    assert_eq!(judged.verdict, Told::Failed);
    assert_eq!(judged.observed, "250ms");
    assert_eq!(judged.expected, "< 150ms (1.5x baseline)");
    assert_eq!(judged.baseline.as_deref(), Some("100ms"));
    assert!(
        (judged.margin.unwrap() + 2.0 / 3.0).abs() < 1e-6,
        "{judged:?}"
    );
}

#[test]
fn what_a_few_requests_cannot_tell_is_inconclusive() {
    let run = Run::calm().with_pages([failed(900, 15_000), failed(901, 15_100)]);

    let near = run.judge("edge.error_rate < 1%");
    assert_eq!(near.verdict, Told::Inconclusive);
    assert_eq!(
        near.why.as_deref(),
        Some("102 requests are too few to tell it from 1%; about 420 with the same share would")
    );
    let quantile = run.judge("edge.p99.9 < 1s");
    assert_eq!(quantile.verdict, Told::Inconclusive);
    assert_eq!(
        quantile.why.as_deref(),
        Some("of 100 requests that quantile is the longest; it needs 1000")
    );
    // One failure refutes "none at all", however few there are.
    assert_eq!(run.judge("edge.error_rate <= 0%").verdict, Told::Failed);
    assert_eq!(run.judge("edge.success_rate >= 100%").verdict, Told::Failed);
    // And many refute a bound that is far away.
    let many = Run::calm().with_pages((0..50).map(|it| failed(900 + it, 12_000 + it)));
    assert_eq!(many.judge("edge.error_rate < 1%").verdict, Told::Failed);
}

#[test]
fn a_page_that_the_caller_left_is_no_error() {
    let left = Page {
        outcome: PageOutcome::Left,
        ..page(900, 12_000, 100, 200)
    };

    Run::calm()
        .with_pages([left])
        .comes_to("edge.error_rate <= 0%", Told::Passed, "0%");
}

#[test]
fn within_means_from_a_moment_on_until_the_end() {
    // Slow for the first four seconds of the phase.
    let slow = (0..40).map(|it| page(2_000 + it, 10_000 + it * 100, 900, 200));
    let run = Run::calm().with_pages(slow);

    let in_time = run.judge("edge.max < 200ms within 5s");
    assert_eq!(
        (in_time.verdict, in_time.observed.as_str()),
        (Told::Passed, "100ms from 4.00s on")
    );
    let too_late = run.judge("edge.max < 200ms within 3s");
    assert_eq!(too_late.verdict, Told::Failed);
    assert_eq!(too_late.observed, "900ms even from 3s on");
}

#[test]
fn every_page_must_be_answered_in_time() {
    Run::calm().comes_to(
        "edge.answered within 1s",
        Told::Passed,
        "all 100 within 100ms",
    );
    let slow = [page(900, 12_000, 1_500, 503)];
    Run::calm().with_pages(slow).comes_to(
        "edge.answered within 1s",
        Told::Failed,
        "1 of 101 were not; the longest took 1.50s",
    );
}

#[test]
fn a_breaker_opens_when_calls_stop() {
    let mut run = Run::calm();
    run.recording = Recording::default();
    for tenth in 0..=200_u32 {
        // Calls stop three seconds into the phase.
        let requests = f64::from(tenth.min(130));
        run.recording
            .counted(u64::from(tenth) * SECOND / 10, &counted(requests, 0.0));
    }

    run.comes_to("up.breaker_opens within 5s", Told::Passed, "after 3.00s");
    run.comes_to("up.breaker_opens within 2s", Told::Failed, "after 3.00s");
    Run::calm().comes_to(
        "up.breaker_opens within 5s",
        Told::Failed,
        "never: never fewer than 10/s",
    );
}

#[test]
fn fallbacks_are_whole_answers_that_say_so() {
    let degraded = (0..50).map(|it| Page {
        fits: 1,
        ..page(3_000 + it, 12_000 + it, 20, 200)
    });

    let judged = Run::calm()
        .with_pages(degraded)
        .judge("edge.fallback_rate(header x-degraded) > 20%");

    assert_eq!(
        (judged.verdict, judged.observed.as_str()),
        (Told::Passed, "33.33%")
    );
    assert_eq!(judged.samples, 150);
}

#[test]
fn what_a_fault_did_is_known_or_not() {
    let mut run = Run::calm();
    assert_eq!(
        run.judge("fault(f).injected >= 20").verdict,
        Told::Inconclusive
    );
    let counters = brownout_wire::CountersAnswer {
        matched: 40,
        injected: 25,
        skipped: 15,
        overflow: 0,
        active: 0,
        client_gave_up: 3,
    };
    let state = FaultState {
        counters: Some(counters),
        ..FaultState::default()
    };
    run.faults.insert("f".to_owned(), state);

    run.comes_to("fault(f).injected >= 20", Told::Passed, "25");
    run.comes_to("fault(f).client_gave_up == 0", Told::Failed, "3");
}

/// An attempt of the client on the route `up`.
fn attempt(number: u64, at_ms: u64, took_ms: u64, status: u16, fp: u64) -> AttemptRecord {
    let mut attempt = record::tests::attempt(number, at_ms * 1_000, took_ms * 1_000);
    attempt.status = Some(status);
    attempt.fingerprint = fp.to_string();
    attempt
}

#[test]
fn single_attempts_need_the_journal() {
    let judged = Run::calm().judge("up.amplification <= 1.3");

    assert_eq!(judged.verdict, Told::Inconclusive);
    assert_eq!(
        judged.why.as_deref(),
        Some("needs GET /requests, which this proxy does not have")
    );
}

#[test]
fn a_journal_tells_of_single_attempts() {
    let mut run = Run::calm();
    run.recording = Recording::default();
    let mut attempts = Vec::new();
    for call in 0..20_u64 {
        // A failed attempt, and 40 to 97 ms later one that is answered.
        let at = 11_000 + call * 300;
        let page = page(call, at, 200, 200);
        run.recording.of_mut(Asked::Load).end(page);
        attempts.push(attempt(call * 2, at, 10, 503, call));
        attempts.push(attempt(
            call * 2 + 1,
            at + 10 + 40 + call * 3,
            10,
            200,
            call,
        ));
    }
    let page = JournalPage {
        attempts,
        ..JournalPage::default()
    };
    run.journal = Ok(page.clone());

    run.comes_to("up.amplification <= 1.3", Told::Failed, "2");
    run.comes_to("up.retry_gap.p50 >= 20ms", Told::Passed, "67ms");
    run.comes_to("up.retry_gap.spread >= 25%", Told::Passed, "67.16%");
    run.comes_to("up.p99 < 1s", Told::Passed, "10ms");
    run.comes_to("up.open_after(2s) == 0", Told::Passed, "0");
    run.journal = Ok(JournalPage { lost: 3, ..page });
    let lost = run.judge("up.amplification <= 1.3");
    assert_eq!(
        lost.why.as_deref(),
        Some("3 records were lost: the journal is too small")
    );
}

#[test]
fn only_attempts_that_are_open_for_longer_count_as_open_after_a_time() {
    // Under load some attempt is open at each moment, and each ends after 302 ms.
    let mut attempts: Vec<AttemptRecord> = (0..80)
        .map(|number| attempt(number, 10_000 + number * 100, 302, 503, number))
        .collect();
    let told = |attempts: &[AttemptRecord]| {
        let mut run = Run::calm();
        run.journal = Ok(JournalPage {
            attempts: attempts.to_vec(),
            ..JournalPage::default()
        });
        run
    };
    told(&attempts).comes_to("up.open_after(2s) == 0", Told::Passed, "0");
    told(&attempts).comes_to("up.open_after(300ms) == 0", Told::Failed, "80");

    // One that began late ends 2.1 s after it began.
    attempts.push(attempt(100, 19_000, 2_100, 200, 1));
    told(&attempts).comes_to("up.open_after(2s) == 0", Told::Failed, "1");

    // One that is still open may be so for 2 s later on.
    let open = |took: u64| {
        let mut open = attempt(100, 19_000, took, 200, 1);
        open.end = brownout_wire::RequestEnd::StillOpen;
        open
    };
    *attempts.last_mut().unwrap() = open(2_100);
    told(&attempts).comes_to("up.open_after(2s) == 0", Told::Failed, "1");
    *attempts.last_mut().unwrap() = open(1_900);
    let unknown = told(&attempts).judge("up.open_after(2s) == 0");
    assert_eq!(unknown.verdict, Told::Inconclusive);
    assert!(
        unknown
            .why
            .unwrap()
            .starts_with("1 of 81 attempts were still open")
    );
}

#[test]
fn a_guard_trips_on_what_ended_lately() {
    let hanging = (0..60).map(|it| Page {
        outcome: PageOutcome::Failed(ErrorKind::Timeout),
        // Sent long before, ended now.
        ..page(4_000 + it, 5_000, 14_000 + it * 10, 200)
    });
    let run = Run::calm().with_pages(hanging);
    let names = Names {
        load: Some("edge".to_owned()),
        watch: true,
        ..Names::default()
    };
    let guard = Expected {
        expectation: Expectation::parse("edge.error_rate > 20% for 5s", &names).unwrap(),
        line: 1,
        column: 1,
    };
    let faults = BTreeMap::new();
    let journal = Err(JournalError::NotThere);
    let view = |from, min_samples| View {
        recording: &run.recording,
        asked: vec![(Asked::Load, "edge")],
        predicates: &[],
        span: Span {
            from,
            to: 20 * SECOND,
        },
        by_end: true,
        baseline: None,
        faults: &faults,
        phases: &[],
        calls: None,
        journal: journal.as_ref(),
        min_samples,
        confidence: 0.95,
    };

    assert!(view(15 * SECOND, 50).trips(&guard).is_some());
    assert_eq!(view(15 * SECOND, 500).trips(&guard), None);
    assert_eq!(view(0, 50).trips(&guard).as_deref(), Some("23.08%"));
}

#[test]
fn each_caller_that_left_has_its_own_last_start() {
    // Two callers leave 100 ms after they came; for the first an attempt begins 700 ms later, for the second none.
    let leaves = |number: u64, at: u64| Page {
        outcome: PageOutcome::Left,
        ..page(number, at, 100, 200)
    };
    let mut run = Run::calm();
    run.recording = Recording::default();
    run.recording.of_mut(Asked::Load).end(leaves(1, 11_000));
    run.recording.of_mut(Asked::Load).end(leaves(2, 15_000));
    run.journal = Ok(JournalPage {
        attempts: vec![
            attempt(1, 11_010, 50, 503, 1),
            attempt(2, 11_800, 50, 503, 1),
            attempt(3, 15_020, 50, 503, 1),
        ],
        ..JournalPage::default()
    });

    run.comes_to("up.last_start_after_leave <= 1s", Told::Passed, "700ms");
    run.comes_to("up.last_start_after_leave <= 500ms", Told::Failed, "700ms");
}

#[test]
fn the_watched_endpoint_has_measures_of_its_own() {
    let mut run = Run::calm();
    for number in 0..100 {
        let page = page(number, 10_000 + number * 100, 40, 200);
        run.recording.of_mut(Asked::Watch).end(page);
    }

    run.comes_to("watch.p90 <= 50ms", Told::Passed, "40ms");
    run.comes_to("watch.requests == 100", Told::Passed, "100");
    run.comes_to(
        "watch.answered within 1s",
        Told::Passed,
        "all 100 within 40ms",
    );
    run.comes_to("edge.p50 < 100ms", Told::Failed, "100ms");
}
