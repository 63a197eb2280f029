//! Attempts of one logical request, told apart from those of other pages.

use super::*;

/// Pages of which each has an attempt that is told to wait for a second, and nothing else; 300 ms lie between two pages.
fn told_to_wait(took_ms: u64) -> (Run, Vec<AttemptRecord>) {
    let mut run = Run::calm();
    run.recording = Recording::default();
    let mut attempts = Vec::new();
    for number in 0..8 {
        let at = 11_000 + number * 300;
        let page = page(number, at, took_ms, 200);
        run.recording.of_mut(Asked::Load).end(page);
        let mut attempt = attempt(number, at + 2, 3, 503, 1);
        attempt.retry_after_us = Some(1_000_000);
        attempts.push(attempt);
    }
    (run, attempts)
}

impl Run {
    fn with(mut self, attempts: Vec<AttemptRecord>) -> Self {
        self.journal = Ok(JournalPage {
            attempts,
            ..JournalPage::default()
        });
        self
    }
}

#[test]
fn the_first_call_of_the_next_page_is_no_early_return() {
    let (run, attempts) = told_to_wait(100);
    let run = run.with(attempts);

    run.comes_to("up.retry_after_honoured >= 0%", Told::Passed, "100%");
    run.comes_to("up.amplification <= 1", Told::Passed, "1");
    let none = run.judge("up.retry_gap.p50 >= 20ms");
    assert_eq!(none.why.as_deref(), Some("there was no retry"));
}

#[test]
fn a_repeat_for_the_same_page_before_the_time_is_early() {
    let (run, mut attempts) = told_to_wait(100);
    // Two of eight pages try again after 50 ms.
    attempts.extend([
        attempt(20, 11_052, 3, 503, 1),
        attempt(21, 11_652, 3, 503, 1),
    ]);

    let run = run.with(attempts);

    run.comes_to("up.retry_after_honoured >= 100%", Told::Failed, "75%");
    run.comes_to("up.retry_gap.p50 >= 20ms", Told::Passed, "47ms");
}

#[test]
fn where_pages_overlap_only_ids_tell_whether_a_repeat_is_early() {
    let (run, attempts) = told_to_wait(400);
    // What they ask for is not enough: two pages may ask for the same.
    let mut differing = attempts.clone();
    for (it, kind) in differing.iter_mut().zip([1, 2, 3, 4].repeat(2)) {
        it.fingerprint = format!("{kind}");
    }

    let run = run.with(differing);
    let unknown = run.judge("up.retry_after_honoured >= 95%");

    assert_eq!(unknown.verdict, Told::Inconclusive);
    assert_eq!(
        unknown.why.as_deref(),
        Some(
            "pages overlap in time, and the client passes no traceparent or x-request-id on: use a serial load with enough patience, and no watch"
        )
    );
    let mut named = attempts;
    for it in &mut named {
        it.request_id = Some(format!("page-{}", it.number));
    }
    let run = run.with(named);
    run.comes_to("up.retry_after_honoured >= 0%", Told::Passed, "100%");
}

#[test]
fn a_page_from_before_the_phase_may_overlap_the_first_one_in_it() {
    let (mut run, attempts) = told_to_wait(100);
    let log = run.recording.of_mut(Asked::Load);
    log.end(page(100, 9_900, 1_110, 200));

    let unknown = run.with(attempts).judge("up.retry_after_honoured >= 0%");

    assert_eq!(unknown.verdict, Told::Inconclusive);
}

#[test]
fn a_few_attempts_of_pages_that_overlap_are_no_chain() {
    let (run, mut attempts) = told_to_wait(400);
    attempts.truncate(2);

    let unknown = run.with(attempts).judge("up.amplification <= 1.5");

    assert_eq!(unknown.verdict, Told::Inconclusive);
}

#[test]
fn attempts_that_cannot_be_told_apart_are_not_joined() {
    let mut run =
        Run::calm().with_pages((0..40).map(|it| page(5_000 + it, 11_000 + it * 10, 400, 200)));
    let mut attempts: Vec<AttemptRecord> = (0..40)
        .map(|number| attempt(number, 11_000 + number * 10, 10, 503, 1))
        .collect();
    run.journal = Ok(JournalPage {
        attempts: attempts.clone(),
        ..JournalPage::default()
    });
    let unknown = run.judge("up.amplification <= 1.3");
    assert_eq!(unknown.verdict, Told::Inconclusive);
    assert!(unknown.why.unwrap().contains("use a serial load"));

    for it in &mut attempts {
        it.request_id = Some(format!("page-{}", it.number / 2));
    }
    run.journal = Ok(JournalPage {
        attempts,
        ..JournalPage::default()
    });
    run.comes_to("up.amplification <= 1.3", Told::Failed, "2");
}
