//! What can be heard of a call while it goes on.

use std::time::Duration;

use brownout_resilience::{
    Answer, Attempt, Call, Cause, ErrorKind, Observer, Outcome, Rejected, Report,
};

use crate::upstream::{
    Script::{Fail, Status},
    Upstream, client, outcome,
};

/// Writes down what it hears.
#[derive(Debug, Default)]
struct Diary(Vec<String>);

impl Observer for Diary {
    fn attempt_started(&mut self, attempt: Attempt) {
        self.0.push(format!("attempt {}", attempt.number));
    }

    fn attempt_ended(&mut self, attempt: Attempt, outcome: Outcome) {
        self.0
            .push(format!("attempt {}: {outcome}", attempt.number));
    }

    fn rejected(&mut self, rejected: Rejected) {
        self.0.push(rejected.to_string());
    }

    fn backing_off(&mut self, after: Attempt, wait: Duration) {
        self.0.push(format!("after {} wait {wait:?}", after.number));
    }

    fn fell_back(&mut self, cause: Cause) {
        self.0.push(format!("fallback: {cause}"));
    }

    fn ended(&mut self, report: &Report) {
        self.0.push(format!(
            "{} after {}",
            report.answer.as_str(),
            report.attempts
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_told_from_its_first_attempt_to_its_end() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect), Status(200)]);
    let mut diary = Diary::default();

    let called = client("[retry]\n[breaker]")
        .call(Call::method("GET").observed_by(&mut diary), outcome, |it| {
            upstream.answer(it)
        })
        .await;

    assert_eq!(called.report.answer, Answer::RetriedOk);
    assert_eq!(
        diary.0,
        [
            "attempt 1",
            "attempt 1: connect",
            "after 1 wait 500ms",
            "attempt 2",
            "attempt 2: 200",
            "retried_ok after 2",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_no_attempt() {
    let upstream = Upstream::that([Status(200)]);
    let client = client("[breaker]\ninitial_state = 'forced_open'\n[fallback]");
    let mut diary = Diary::default();

    let call = Call::method("GET").observed_by(&mut diary).or_else(|_| 0);
    client
        .call(call, outcome, |attempt| upstream.answer(attempt))
        .await;

    assert_eq!(
        diary.0,
        [
            "the circuit breaker is forced_open",
            "fallback: circuit_breaker_open",
            "fallback after 0",
        ]
    );
}
