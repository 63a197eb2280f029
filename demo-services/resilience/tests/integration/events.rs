//! The log of a breaker's events, and answers that open a breaker by themselves.

use std::{sync::Arc, time::Duration};

use brownout_resilience::{
    Breaker, EventLog, Setup, State, Verdict,
    policy::{BreakerPolicy, WindowKind},
};
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

fn logged(policy: &BreakerPolicy) -> (Breaker, Arc<EventLog>) {
    let log = Arc::new(EventLog::new("upstream", policy.event_buffer));
    let heard = Arc::clone(&log);
    let setup = Setup::seeded(1).listening(move |event| heard.hear(event));
    (Breaker::new("upstream", policy, setup).unwrap(), log)
}

fn kinds(log: &EventLog) -> Vec<&'static str> {
    log.records().iter().map(|record| record.kind).collect()
}

/// V08 of the vectors, with what resilience4j was seen to publish.
#[tokio::test(start_paused = true)]
async fn a_trip_is_logged_as_resilience4j_logs_it() {
    let policy = BreakerPolicy {
        window: WindowKind::Time,
        size: 20,
        minimum_calls: 5,
        ..BreakerPolicy::default()
    };
    let (breaker, log) = logged(&policy);

    for verdict in [Verdict::Failure, Verdict::Failure, Verdict::Failure] {
        breaker.try_acquire().unwrap().record(verdict);
    }
    breaker.try_acquire().unwrap().record(Verdict::Success);
    breaker.try_acquire().unwrap().record(Verdict::Success);
    breaker.try_acquire().unwrap_err();

    assert_eq!(
        kinds(&log),
        [
            "ERROR",
            "ERROR",
            "ERROR",
            "SUCCESS",
            "SUCCESS",
            "FAILURE_RATE_EXCEEDED",
            "STATE_TRANSITION",
            "NOT_PERMITTED"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_has_the_fields_of_the_original() {
    let (breaker, log) = logged(&BreakerPolicy::default());
    let permit = breaker.try_acquire().unwrap();
    advance(Duration::from_millis(250)).await;
    permit.record(Verdict::Failure);
    breaker.transition_to(State::Open).unwrap();

    let records = serde_json::to_value(log.records()).unwrap();

    assert_eq!(records[0]["circuitBreakerName"], "upstream");
    assert_eq!(records[0]["type"], "ERROR");
    assert_eq!(records[0]["durationInMs"], 250);
    assert!(records[0]["errorMessage"].is_null() && records[0]["stateTransition"].is_null());
    assert_eq!(records[1]["stateTransition"], "CLOSED_TO_OPEN");
    assert!(records[1]["durationInMs"].is_null());
    let time = |n: usize| records[n]["creationTime"].as_str().unwrap().to_owned();
    assert!(time(0).ends_with('Z') && time(0) <= time(1));
    assert_eq!(time(0).len(), "2026-11-22T03:36:08.000000Z".len());
}

#[tokio::test(start_paused = true)]
async fn a_full_log_lets_go_of_the_oldest() {
    let policy = BreakerPolicy {
        event_buffer: 3,
        ..BreakerPolicy::default()
    };
    let (breaker, log) = logged(&policy);

    breaker.try_acquire().unwrap().record(Verdict::Failure);
    for _ in 0..3 {
        breaker.try_acquire().unwrap().record(Verdict::Success);
    }

    assert_eq!(kinds(&log), ["SUCCESS"; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_open_the_breaker_for_as_long_as_it_asks() {
    let (breaker, _) = logged(&BreakerPolicy::default());

    breaker
        .try_acquire()
        .unwrap()
        .record_and_open(Verdict::Failure, 5 * SECOND);

    assert_eq!(breaker.metrics().failed_calls, 1);
    advance(5 * SECOND).await;
    breaker.try_acquire().unwrap_err();
    advance(Duration::from_millis(1)).await;
    assert_eq!(breaker.try_acquire().unwrap().state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_asks_for_replaces_the_wait_that_its_failure_causes() {
    let policy = BreakerPolicy {
        size: 1,
        minimum_calls: 1,
        wait: 60 * SECOND,
        ..BreakerPolicy::default()
    };
    let (breaker, log) = logged(&policy);

    breaker
        .try_acquire()
        .unwrap()
        .record_and_open(Verdict::Failure, SECOND);

    assert_eq!(
        kinds(&log),
        ["ERROR", "FAILURE_RATE_EXCEEDED", "STATE_TRANSITION"]
    );
    advance(SECOND + Duration::from_millis(1)).await;
    assert_eq!(breaker.try_acquire().unwrap().state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_and_a_state_left_by_hand_are_not_opened() {
    let (breaker, _) = logged(&BreakerPolicy::default());
    let late = breaker.try_acquire().unwrap();
    breaker.reset();
    late.record_and_open(Verdict::Failure, SECOND);
    assert_eq!(breaker.state(), State::Closed);

    breaker.transition_to(State::MetricsOnly).unwrap();
    let permit = breaker.try_acquire().unwrap();
    permit.record_and_open(Verdict::Failure, SECOND);
    assert_eq!(breaker.state(), State::MetricsOnly);
    assert_eq!(breaker.metrics().failed_calls, 1);
}
