//! Bulkhead, rate limit and adaptive bound, around calls.

use std::time::Duration;

use brownout_resilience::{Answer, CallError, Cause, Client, ErrorKind, Guard, Levels, State};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::upstream::{
    Script::{After, Fail, Status},
    Upstream, client,
};

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// So many calls at once, each with its result and when it ended.
async fn at_once(
    client: &Client,
    upstream: &Upstream,
    calls: usize,
) -> Vec<(Result<u16, CallError<Option<ErrorKind>>>, Duration)> {
    let began = Instant::now();
    let call = async || {
        let called = upstream.called_by(client, "GET").await;
        (called.result, began.elapsed())
    };
    join_all((0..calls).map(|_| call())).await
}

#[tokio::test(start_paused = true)]
async fn b1_a_call_that_finds_no_place_in_time_is_refused() {
    let upstream = Upstream::that([After(SECOND)]);
    let client = client("[bulkhead]\nmax_concurrent = 2\nmax_wait = '100ms'");

    let ended = at_once(&client, &upstream, 3).await;

    assert_eq!(
        ended,
        [
            (Ok(200), SECOND),
            (Ok(200), SECOND),
            (Err(CallError::Refused(Guard::Bulkhead)), ms(100)),
        ]
    );
    assert_eq!(upstream.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_free_goes_to_whoever_waits() {
    let upstream = Upstream::that([After(ms(60))]);
    let client = client("[bulkhead]\nmax_concurrent = 1\nmax_wait = '100ms'");

    let ended = at_once(&client, &upstream, 3).await;

    let times: Vec<_> = ended.iter().map(|(_, at)| at.as_millis()).collect();
    assert_eq!(times, [60, 120, 100]);
    assert_eq!(ended[1].0, Ok(200));
    assert_eq!(ended[2].0, Err(CallError::Refused(Guard::Bulkhead)));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_place_is_part_of_the_attempts_time() {
    let upstream = Upstream::that([After(SECOND)]);
    let client =
        client("[timeout]\nattempt = '80ms'\n[bulkhead]\nmax_concurrent = 1\nmax_wait = '10s'");

    let ended = at_once(&client, &upstream, 2).await;

    assert!(ended.iter().all(|(_, at)| *at == ms(80)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_no_failure_to_the_breaker_is_not_tried_again_and_falls_back() {
    let upstream = Upstream::that([After(SECOND)]);
    let policy = "[bulkhead]\nmax_concurrent = 1\n[breaker]\n[retry]\n[fallback]";
    let client = client(policy);
    let first = upstream.called_by(&client, "GET");
    let second = async {
        let call = brownout_resilience::Call::method("GET").or_else(|cause| {
            assert_eq!(cause, Cause::Refused(Guard::Bulkhead));
            assert_eq!(cause.to_string(), "bulkhead_full");
            0
        });
        client
            .call(call, crate::upstream::outcome, |attempt| {
                upstream.answer(attempt)
            })
            .await
    };

    let (_, second) = tokio::join!(first, second);

    assert_eq!(second.result, Ok(0));
    assert_eq!(second.report.answer, Answer::Fallback);
    assert_eq!(second.report.attempts, 0);
    assert_eq!(client.breaker().unwrap().metrics().buffered_calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_frees_its_place() {
    let upstream = Upstream::that([After(SECOND)]);
    let client = client("[bulkhead]\nmax_concurrent = 1\n[adaptive]\ninitial = 1");
    let free = |client: &Client| client.levels().bulkhead_free;

    let call = upstream.called_by(&client, "GET");
    assert!(timeout(ms(10), call).await.is_err());

    assert_eq!(free(&client), Some(1));
    assert_eq!(upstream.called_by(&client, "GET").await.result, Ok(200));
}

#[tokio::test(start_paused = true)]
async fn rl4_a_period_has_its_permits_and_no_more() {
    let upstream = Upstream::that([Status(200)]);
    let client = client("[rate_limit]\nlimit = 10\nperiod = '1s'\ntimeout = '0s'");
    let admitted = async || {
        let ended = at_once(&client, &upstream, 12).await;
        ended.iter().filter(|(result, _)| result.is_ok()).count()
    };

    sleep(ms(500)).await;
    let first = admitted().await;
    sleep(ms(500)).await;
    let second = admitted().await;

    assert_eq!((first, second), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_can_wait_gets_a_permit_of_a_later_period() {
    let upstream = Upstream::that([Status(200)]);
    let client = client("[rate_limit]\nlimit = 1\nperiod = '250ms'\ntimeout = '250ms'");

    let ended = at_once(&client, &upstream, 3).await;

    assert_eq!(
        ended,
        [
            (Ok(200), ms(0)),
            (Ok(200), ms(250)),
            (Err(CallError::Refused(Guard::RateLimit)), ms(0)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_gives_its_permit_back() {
    let upstream = Upstream::that([Status(200)]);
    let client = client("[rate_limit]\nlimit = 1\nperiod = '1s'\ntimeout = '1s'");
    upstream.called_by(&client, "GET").await;
    let waiting = timeout(ms(10), upstream.called_by(&client, "GET"));
    assert!(waiting.await.is_err());

    let levels = client.levels();

    assert_eq!(
        levels,
        Levels {
            rate_permits: Some(0),
            rate_waiting: Some(0),
            rate_wait: Some(SECOND - ms(10)),
            ..Levels::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_above_the_adaptive_bound_is_shed_at_once() {
    let upstream = Upstream::that([After(SECOND)]);
    let client = client("[adaptive]\ninitial = 4\nmin = 2\nmax = 8");

    let ended = at_once(&client, &upstream, 6).await;

    let shed: Vec<_> = ended
        .iter()
        .filter(|(result, _)| *result == Err(CallError::Refused(Guard::Adaptive)))
        .collect();
    assert_eq!(shed.len(), 2);
    assert!(shed.iter().all(|(_, at)| at.is_zero()));
}

#[tokio::test(start_paused = true)]
async fn the_adaptive_bound_shrinks_when_answers_are_503_and_not_when_connections_fail() {
    let client = client("[adaptive]\ninitial = 20");
    let limit = || client.levels().concurrency_limit.unwrap();

    let gone = Upstream::that([Fail(ErrorKind::Connect)]);
    at_once(&client, &gone, 20).await;
    assert_eq!(limit(), 20);

    let overloaded = Upstream::that([Status(503)]);
    at_once(&client, &overloaded, 5).await;

    assert_eq!(limit(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_client_under_a_new_policy_keeps_what_has_not_changed() {
    let old = client("[breaker]\n[bulkhead]\nmax_concurrent = 2");
    old.breaker().unwrap().transition_to(State::Open).unwrap();

    let same = client("[timeout]\nattempt = '1s'\n[breaker]\n[bulkhead]\nmax_concurrent = 2");
    let same = same.keeping(&old);
    assert_eq!(same.breaker().unwrap().state(), State::Open);

    let other = client("[breaker]\nsize = 10\n[bulkhead]\nmax_concurrent = 3").keeping(&old);
    assert_eq!(other.breaker().unwrap().state(), State::Closed);
    assert_eq!(other.levels().bulkhead_free, Some(3));

    let none = client("").keeping(&old);
    assert!(none.breaker().is_none());
}
