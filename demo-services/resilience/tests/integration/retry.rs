//! Retries as resilience4j has them (R1 to R5), and when there are none.

use std::time::Duration;

use brownout_resilience::{CallError, ErrorKind, RetryEnd};
use tokio::time::Instant;

use crate::upstream::{
    Script::{After, CallersFault, Fail, Status},
    Upstream, client,
};

#[tokio::test(start_paused = true)]
async fn r1_three_attempts_half_a_second_apart_then_the_last_error() {
    let upstream = Upstream::that([
        Fail(ErrorKind::Connect),
        Fail(ErrorKind::Connect),
        Fail(ErrorKind::Reset),
    ]);

    let called = upstream.called_by(&client("[retry]"), "GET").await;

    assert_eq!(upstream.pauses_ms(), [500, 500]);
    assert_eq!(called.report.attempts, 3);
    assert_eq!(called.report.retries, RetryEnd::FailedWithRetry);
    assert_eq!(
        called.result,
        Err(CallError::Failed(Some(ErrorKind::Reset)))
    );
}

#[tokio::test(start_paused = true)]
async fn r2_a_single_attempt_that_fails_has_failed_with_retry() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);

    let called = upstream
        .called_by(&client("[retry]\nmax_attempts = 1"), "GET")
        .await;

    assert_eq!(called.report.attempts, 1);
    assert_eq!(called.report.retries, RetryEnd::FailedWithRetry);
}

#[tokio::test(start_paused = true)]
async fn r3_a_second_attempt_that_succeeds_ends_it() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect), Status(200)]);

    let called = upstream.called_by(&client("[retry]"), "GET").await;

    assert_eq!(upstream.pauses_ms(), [500]);
    assert_eq!(called.report.retries, RetryEnd::SuccessfulWithRetry);
    assert_eq!(called.result, Ok(200));
}

#[tokio::test(start_paused = true)]
async fn r4_an_ignored_error_is_not_tried_again() {
    let upstream = Upstream::that([CallersFault]);

    let called = upstream.called_by(&client("[retry]"), "GET").await;

    assert_eq!(called.report.attempts, 1);
    assert_eq!(called.report.retries, RetryEnd::FailedWithoutRetry);
    assert_eq!(called.result, Err(CallError::Failed(None)));
}

#[tokio::test(start_paused = true)]
async fn r5_of_answers_that_are_tried_again_the_last_is_given_back() {
    let upstream = Upstream::that([Status(502), Status(503), Status(504)]);

    let called = upstream.called_by(&client("[retry]"), "GET").await;

    assert_eq!(called.report.attempts, 3);
    assert_eq!(called.report.retries, RetryEnd::FailedWithRetry);
    assert_eq!(called.result, Ok(504));
}

#[tokio::test(start_paused = true)]
async fn r5_or_an_error_if_the_policy_wants_one() {
    let upstream = Upstream::that([Status(503)]);
    let policy = "[retry]\nfail_after_max_attempts = true";

    let called = upstream.called_by(&client(policy), "GET").await;

    assert_eq!(called.result, Err(CallError::MaxAttempts { attempts: 3 }));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_listed_is_not_tried_again() {
    let upstream = Upstream::that([Status(500)]);

    let called = upstream.called_by(&client("[retry]"), "GET").await;

    assert_eq!(upstream.attempts(), 1);
    assert_eq!(called.report.retries, RetryEnd::FailedWithoutRetry);
}

#[tokio::test(start_paused = true)]
async fn a_post_is_not_made_twice_unless_the_policy_says_so() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);

    upstream.called_by(&client("[retry]"), "POST").await;
    assert_eq!(upstream.attempts(), 1);

    upstream
        .called_by(&client("[retry]\nmethods = ['POST']"), "POST")
        .await;
    assert_eq!(upstream.attempts(), 1 + 3);

    upstream
        .called_by(&client("[retry]\nmethods = ['*']"), "POST")
        .await;
    assert_eq!(upstream.attempts(), 1 + 3 + 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_is_tried_again() {
    let upstream = Upstream::that([After(Duration::from_secs(7)), Status(200)]);
    let policy = "[timeout]\nattempt = '1s'\n[retry]";

    let called = upstream.called_by(&client(policy), "GET").await;

    assert_eq!(upstream.pauses_ms(), [1500]);
    assert_eq!(called.result, Ok(200));
}

#[tokio::test(start_paused = true)]
async fn no_wait_is_begun_that_would_use_up_the_total_timeout() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let policy = "[timeout]\ntotal = '900ms'\n[retry]\nmax_attempts = 10";
    let start = Instant::now();

    let called = upstream.called_by(&client(policy), "GET").await;

    assert_eq!(start.elapsed(), Duration::from_millis(500));
    assert_eq!(called.report.attempts, 2);
    assert_eq!(
        called.result,
        Err(CallError::Failed(Some(ErrorKind::Connect)))
    );
}

#[tokio::test(start_paused = true)]
async fn jitter_repeats_with_the_seed_and_differs_from_call_to_call() {
    let policy = "[retry]\nmax_attempts = 4\nbackoff = 'exponential'\njitter = 'full'";
    let pauses = async |client: &brownout_resilience::Client| {
        let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
        upstream.called_by(client, "GET").await;
        upstream.pauses_ms()
    };
    let (one, other) = (client(policy), client(policy));

    let first = pauses(&one).await;

    assert_eq!(first, pauses(&other).await);
    assert_ne!(first, pauses(&one).await);
    assert_ne!(first, pauses(&one.for_worker(1)).await);
}
