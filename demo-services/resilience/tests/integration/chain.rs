//! The two orders of the chain, who shares a breaker, fallbacks, and calls that are dropped.

use std::{sync::Arc, time::Duration};

use brownout_resilience::{
    Answer, Call, CallError, Cause, Client, ErrorKind, Outcome, Policy, Rejected, RetryEnd, Setup,
    State,
};
use tokio::time::{advance, timeout};

use crate::upstream::{
    Script::{After, Fail, Status},
    Upstream, client, outcome,
};

const SECOND: Duration = Duration::from_secs(1);
const OPEN: Rejected = Rejected { state: State::Open };

#[tokio::test(start_paused = true)]
async fn in_resilience4j_order_every_attempt_counts_for_the_breaker() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let client = client("[retry]\nmax_attempts = 4\n[breaker]\nsize = 10");

    upstream.called_by(&client, "GET").await;

    assert_eq!(client.breaker().unwrap().metrics().failed_calls, 4);
}

#[tokio::test(start_paused = true)]
async fn in_resilience4j_order_an_open_breaker_stops_the_retries() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let client = client("[retry]\nmax_attempts = 4\n[breaker]\nsize = 2");

    let called = upstream.called_by(&client, "GET").await;

    assert_eq!(upstream.attempts(), 2);
    assert_eq!(called.result, Err(CallError::Rejected(OPEN)));
    assert_eq!(called.report.answer, Answer::Rejected);
    assert_eq!(called.report.breaker, Some(State::Open));
}

#[tokio::test(start_paused = true)]
async fn in_original_order_all_attempts_of_a_call_count_as_one() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let client = client("order = 'original'\n[retry]\nmax_attempts = 4\n[breaker]\nsize = 2");

    upstream.called_by(&client, "GET").await;
    assert_eq!(client.breaker().unwrap().metrics().failed_calls, 1);
    let called = upstream.called_by(&client, "GET").await;

    assert_eq!(upstream.attempts(), 8);
    assert_eq!(called.report.attempts, 4);
    assert_eq!(client.breaker().unwrap().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn in_original_order_a_retry_that_succeeds_is_a_success() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect), Status(200)]);
    let client = client("order = 'original'\n[retry]\n[breaker]\nsize = 2");

    let called = upstream.called_by(&client, "GET").await;

    let metrics = client.breaker().unwrap().metrics();
    assert_eq!((metrics.buffered_calls, metrics.failed_calls), (1, 0));
    assert_eq!(called.report.answer, Answer::RetriedOk);
}

#[tokio::test(start_paused = true)]
async fn the_originals_breaker_opens_at_the_fifth_failure_and_tries_again_after_half_a_minute() {
    let upstream = Upstream::that([After(10 * SECOND)]);
    let policy = Policy::original(Some(SECOND / 2), false, true);
    let client = Client::new("recommendations", policy, Setup::default()).unwrap();

    for _ in 0..5 {
        upstream.called_by(&client, "GET").await;
    }
    let called = upstream.called_by(&client, "GET").await;
    assert_eq!(called.result, Err(CallError::Rejected(OPEN)));
    assert_eq!((called.report.attempts, upstream.attempts()), (0, 5));

    upstream.becomes(Status(200));
    advance(30 * SECOND + Duration::from_millis(1)).await;
    let called = upstream.called_by(&client, "GET").await;

    assert_eq!(called.result, Ok(200));
    assert_eq!(called.report.breaker, Some(State::HalfOpen));
    assert_eq!(client.breaker().unwrap().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_error_status_is_no_failure_to_the_originals_breaker() {
    let upstream = Upstream::that([Status(500)]);
    let policy = Policy::original(None, false, true);
    let client = Client::new("recommendations", policy, Setup::default()).unwrap();

    for _ in 0..10 {
        upstream.called_by(&client, "GET").await;
    }

    assert_eq!(upstream.attempts(), 10);
}

#[test]
fn workers_share_a_breaker_or_have_their_own_as_the_scope_says() {
    let breaker = |client: &Client| Arc::clone(client.breaker().unwrap());

    let shared = client("[breaker]\nscope = 'shared'");
    assert!(Arc::ptr_eq(
        &breaker(&shared),
        &breaker(&shared.for_worker(1))
    ));

    let own = client("[breaker]\nscope = 'worker'");
    assert!(!Arc::ptr_eq(&breaker(&own), &breaker(&own.for_worker(1))));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_takes_the_place_of_every_failure() {
    let policy = "[timeout]\nattempt = '1s'\n[breaker]\nsize = 1\n[fallback]\non_status = ['404']";
    for (script, cause) in [
        (
            Fail(ErrorKind::Reset),
            Cause::Outcome(Outcome::Error(ErrorKind::Reset)),
        ),
        (
            After(2 * SECOND),
            Cause::Outcome(Outcome::Error(ErrorKind::Timeout)),
        ),
        (Status(404), Cause::Outcome(Outcome::Status(404))),
    ] {
        let (client, upstream) = (client(policy), Upstream::that([script]));

        let called = client
            .call(Call::method("GET").or_else(|_| 0), outcome, |attempt| {
                upstream.answer(attempt)
            })
            .await;

        assert_eq!(called.result, Ok(0));
        assert_eq!(called.report.answer, Answer::Fallback);
        assert_eq!(called.report.cause, Some(cause));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_takes_the_place_of_a_refusal_and_is_told_why() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let client = client("[breaker]\nsize = 1\n[fallback]");
    upstream.called_by(&client, "GET").await.result.unwrap_err();
    let mut told = None;

    let call = Call::method("GET").or_else(|cause| {
        told = Some(cause);
        0
    });
    let called = client
        .call(call, outcome, |attempt| upstream.answer(attempt))
        .await;

    assert_eq!(called.result, Ok(0));
    assert_eq!(called.report.cause, Some(Cause::Rejected));
    assert_eq!(told.unwrap().to_string(), "circuit_breaker_open");
}

#[tokio::test(start_paused = true)]
async fn without_a_fallback_in_the_policy_a_failure_stays_one() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);

    let called = client("")
        .call(Call::method("GET").or_else(|_| 0), outcome, |attempt| {
            upstream.answer(attempt)
        })
        .await;

    assert_eq!(
        called.result,
        Err(CallError::Failed(Some(ErrorKind::Connect)))
    );
    assert_eq!(called.report.answer, Answer::Failed);
    assert_eq!(called.report.retries, RetryEnd::FailedWithoutRetry);
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_is_not_replaced() {
    let upstream = Upstream::that([Status(404)]);

    let called = client("[fallback]")
        .call(Call::method("GET").or_else(|_| 0), outcome, |attempt| {
            upstream.answer(attempt)
        })
        .await;

    assert_eq!(called.result, Ok(404));
    assert_eq!(called.report.answer, Answer::Ok);
    assert_eq!(called.report.cause, None);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_probe_back() {
    for (order, script) in [
        ("resilience4j", After(10 * SECOND)),
        ("original", After(10 * SECOND)),
        ("original", Fail(ErrorKind::Connect)),
    ] {
        let upstream = Upstream::that([script]);
        let client = client(&format!(
            "order = '{order}'\n[retry]\nbase = '1m'\n[breaker]\nprobes = 1\ninitial_state = 'half_open'"
        ));
        let breaker = client.breaker().unwrap();

        // Dropped in the middle of an attempt, or of the wait for the next.
        let call = upstream.called_by(&client, "GET");
        timeout(SECOND, async {
            tokio::select! {
                _ = call => unreachable!("it takes longer"),
                () = async {
                    tokio::task::yield_now().await;
                    assert!(breaker.try_acquire().is_err());
                    std::future::pending::<()>().await;
                } => {}
            }
        })
        .await
        .unwrap_err();

        assert_eq!(breaker.metrics().buffered_calls, 0);
        assert!(breaker.try_acquire().is_ok(), "{order}: the probe is lost");
    }
}
