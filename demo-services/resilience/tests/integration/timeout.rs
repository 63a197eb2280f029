//! Time limits: for one attempt as resilience4j has them (T1), and for all of them.

use std::time::Duration;

use brownout_resilience::{Answer, Call, CallError, Outcome, TimeoutError};
use tokio::time::Instant;

use crate::upstream::{
    Script::{After, Status},
    Upstream, client, outcome,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn t1_a_call_of_seven_seconds_is_dropped_after_one() {
    let upstream = Upstream::that([After(7 * SECOND)]);
    let start = Instant::now();

    let called = upstream
        .called_by(&client("[timeout]\nattempt = '1s'"), "GET")
        .await;

    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(upstream.dropped(), 1);
    assert_eq!(
        called.result,
        Err(CallError::Timeout(TimeoutError::Attempt(SECOND)))
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_nothing_limits_an_attempt() {
    let upstream = Upstream::that([After(86_400 * SECOND)]);

    let called = upstream.called_by(&client(""), "GET").await;

    assert_eq!(called.result, Ok(200));
    assert_eq!(upstream.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_total_holds_for_all_attempts_together() {
    let upstream = Upstream::that([After(7 * SECOND)]);
    let policy = "[timeout]\nattempt = '1s'\ntotal = '2s'\n[retry]\nmax_attempts = 10";
    let start = Instant::now();

    let called = upstream.called_by(&client(policy), "GET").await;

    // 1 s, half a second of waiting, and the half that is left.
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(called.report.attempts, 2);
    assert_eq!(
        called.result,
        Err(CallError::Timeout(TimeoutError::Total(2 * SECOND)))
    );
}

#[tokio::test(start_paused = true)]
async fn the_total_alone_limits_an_attempt_and_is_a_failure_to_the_breaker() {
    let upstream = Upstream::that([After(7 * SECOND)]);
    let client = client("[timeout]\ntotal = '2s'\n[breaker]");

    upstream.called_by(&client, "GET").await;

    assert_eq!(client.breaker().unwrap().metrics().failed_calls, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_knows_what_time_it_has() {
    let policy = "[timeout]\nattempt = '1s'\ntotal = '2s'\n[retry]\non_error = ['timeout']";
    let upstream = Upstream::that([After(7 * SECOND)]);
    let mut limits = Vec::new();

    client(policy)
        .call(Call::method("GET"), outcome, |attempt| {
            limits.push((attempt.number, attempt.time_limit));
            upstream.answer(attempt)
        })
        .await;

    assert_eq!(limits, [(1, Some(SECOND)), (2, Some(SECOND / 2))]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_an_answer() {
    let upstream = Upstream::that([Status(200)]);

    let called = upstream
        .called_by(&client("[timeout]\nattempt = '1ms'"), "GET")
        .await;

    assert_eq!(called.result, Ok(200));
    assert_eq!(called.report.answer, Answer::Ok);
}

#[test]
fn a_call_is_send_if_its_parts_are() {
    fn is_send(_: impl Send) {}
    let client = client("[timeout]\nattempt = '1ms'\n[retry]\n[breaker]");

    is_send(client.call(
        Call::method("GET").or_else(|_| 0),
        |_: &Result<u32, ()>| Outcome::Success,
        |_| async { Ok(1) },
    ));
}
