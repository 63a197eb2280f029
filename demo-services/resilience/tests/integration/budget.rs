//! What bounds retries besides their number: a budget, what the answer asks, and who is still waiting.

use std::{cell::RefCell, time::Duration};

use brownout_resilience::{
    Attempt, Call, CallError, Client, ErrorKind, Observer, Outcome, Pushback, RetryEnd, State,
    TimeoutError,
};
use tokio::time::{Instant, advance};

use crate::upstream::{
    Script::{After, Fail, Status},
    Upstream, client, outcome,
};

const SECOND: Duration = Duration::from_secs(1);

/// A call to an upstream whose every answer is 503 and asks this.
async fn refused_asking(client: &Client, asks: Option<Pushback>) -> (u32, Duration, RetryEnd) {
    let began = Instant::now();
    let called = client
        .call(
            Call::method("GET"),
            |result: &Result<u16, ()>| match result {
                Ok(status) => Outcome::Status(*status).asking(asks),
                Err(()) => Outcome::Ignored.into(),
            },
            |_| async { Ok(503) },
        )
        .await;
    (
        called.report.attempts,
        began.elapsed(),
        called.report.retries,
    )
}

#[tokio::test(start_paused = true)]
async fn retries_end_when_the_budget_is_used_up_and_come_back_with_new_calls() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let policy =
        "[retry]\nbase = '0s'\nmax_attempts = 2\n[retry.budget]\nmin_per_sec = 0\nratio = 0.5";
    let client = client(policy);

    for _ in 0..100 {
        upstream.called_by(&client, "GET").await;
    }

    // Every other call had its retry, not every one.
    assert_eq!(upstream.attempts(), 150);

    advance(11 * SECOND).await;
    let called = upstream.called_by(&client, "GET").await;
    assert_eq!(called.report.attempts, 1, "what was paid in has expired");
    assert_eq!(called.report.retries, RetryEnd::FailedWithRetry);
}

#[tokio::test(start_paused = true)]
async fn workers_share_a_budget() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let policy =
        "[retry]\nbase = '0s'\nmax_attempts = 10\n[retry.budget]\nmin_per_sec = 1\nratio = 0";
    let client = client(policy);

    for worker in 0..5 {
        upstream.called_by(&client.for_worker(worker), "GET").await;
    }

    // One for each of the ten seconds that a budget lasts.
    assert_eq!(upstream.attempts(), 5 + 10);
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_that_the_budget_is_used_up() {
    struct Ear<'e>(&'e RefCell<u32>);
    impl Observer for Ear<'_> {
        fn retry_budget_exhausted(&mut self) {
            *self.0.borrow_mut() += 1;
        }
    }
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let client = client("[retry]\n[retry.budget]\nmin_per_sec = 0\nratio = 0");
    let heard = RefCell::new(0);

    let call = Call::method("GET").observed_by(Ear(&heard));
    client
        .call(call, outcome, |attempt| upstream.answer(attempt))
        .await;

    assert_eq!(heard.into_inner(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_asks_takes_the_place_of_the_back_off() {
    let asks = Some(Pushback::After(2 * SECOND));

    let honored = refused_asking(&client("[retry]"), asks).await;
    assert_eq!(honored, (3, 4 * SECOND, RetryEnd::FailedWithRetry));

    let not = refused_asking(&client("[retry]\nhonor_retry_after = false"), asks).await;
    assert_eq!(not, (3, SECOND, RetryEnd::FailedWithRetry));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_asks_for_too_long_or_for_no_retry_gets_none() {
    for (policy, asks) in [
        ("[retry]", Pushback::After(31 * SECOND)),
        (
            "[retry]\nretry_after_max = '1s'",
            Pushback::After(2 * SECOND),
        ),
        ("[retry]", Pushback::Never),
        (
            "[retry]\n[timeout]\ntotal = '2s'",
            Pushback::After(2 * SECOND),
        ),
    ] {
        let (attempts, took, _) = refused_asking(&client(policy), Some(asks)).await;

        assert_eq!(
            (attempts, took),
            (1, Duration::ZERO),
            "{policy}, asked {asks:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_opens_the_breaker_if_the_policy_wants_it() {
    let asks = Some(Pushback::After(3 * SECOND));
    let plain = client("[breaker]");
    refused_asking(&plain, asks).await;
    assert_eq!(plain.breaker().unwrap().state(), State::Closed);

    let opening = client("[breaker]\nopen_on_retry_after = true");
    refused_asking(&opening, asks).await;

    assert_eq!(opening.breaker().unwrap().state(), State::Open);
    advance(3 * SECOND + Duration::from_millis(1)).await;
    assert_eq!(
        opening.breaker().unwrap().try_acquire().unwrap().state(),
        State::HalfOpen
    );
}

#[tokio::test(start_paused = true)]
async fn the_caller_may_know_better_than_the_method() {
    let upstream = Upstream::that([Fail(ErrorKind::Connect)]);
    let client = client("[retry]");
    let send = async |call: Call<'_>| {
        let sent = client.call(call, outcome, |attempt| upstream.answer(attempt));
        sent.await.report.attempts
    };

    assert_eq!(send(Call::method("POST").repeatable(true)).await, 3);
    assert_eq!(send(Call::method("GET").repeatable(false)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_the_deadline_of_whom_it_is_made_for() {
    let upstream = Upstream::that([After(7 * SECOND)]);
    let client = client("[timeout]\nattempt = '5s'\n[retry]");
    let began = Instant::now();

    let call = Call::method("GET").before(Some(began + 2 * SECOND));
    let called = client
        .call(call, outcome, |attempt| upstream.answer(attempt))
        .await;

    assert_eq!(
        called.result,
        Err(CallError::Timeout(TimeoutError::Deadline))
    );
    assert_eq!((began.elapsed(), upstream.attempts()), (2 * SECOND, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_due_already_is_not_sent_and_no_fault_of_the_upstream() {
    let upstream = Upstream::that([Status(200)]);
    let client = client("[breaker]\n[retry]");

    let call = Call::method("GET").before(Some(Instant::now()));
    let called = client
        .call(call, outcome, |attempt| upstream.answer(attempt))
        .await;

    assert_eq!(
        called.result,
        Err(CallError::Timeout(TimeoutError::Deadline))
    );
    assert_eq!((upstream.attempts(), called.report.attempts), (0, 0));
    assert_eq!(client.breaker().unwrap().metrics().buffered_calls, 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_says_what_time_is_left_if_the_policy_wants_it_told() {
    let header = async |policy: &str| {
        let told = RefCell::new(None);
        client(policy)
            .call(Call::method("GET"), outcome, |attempt: Attempt| {
                *told.borrow_mut() = attempt.time_left_header();
                async { Ok(200) }
            })
            .await
            .result
            .unwrap();
        told.into_inner()
            .map(|(name, value)| format!("{name}: {value}"))
    };

    let both = "[timeout]\nattempt = '2s'\ntotal = '1500ms'\npropagate = true";
    assert_eq!(header("[timeout]\nattempt = '1s'").await, None);
    assert_eq!(
        header("[timeout]\nattempt = '1s'\npropagate = true").await,
        Some("x-timeout-ms: 1000".to_owned())
    );
    assert_eq!(
        told_under_a_deadline().await,
        Some("750".to_owned()),
        "a deadline that was told is passed on"
    );
    assert_eq!(
        header(&both.replace("'2s'", "'1200ms'")).await,
        Some("x-timeout-ms: 1200".to_owned())
    );
}

/// What is told of a call that nothing but its caller's deadline limits.
async fn told_under_a_deadline() -> Option<String> {
    let told = RefCell::new(None);
    let deadline = Instant::now() + Duration::from_millis(750);
    client("")
        .call(
            Call::method("GET").before(Some(deadline)),
            outcome,
            |attempt: Attempt| {
                *told.borrow_mut() = attempt.time_left_header();
                async { Ok(200) }
            },
        )
        .await
        .result
        .unwrap();
    told.into_inner().map(|(_, value)| value)
}
