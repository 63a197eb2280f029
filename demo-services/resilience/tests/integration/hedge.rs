//! Hedges: a second request while the first may still be answered.

use std::{cell::RefCell, time::Duration};

use brownout_resilience::{Attempt, Call, ErrorKind, Observer, Outcome, Pushback};
use tokio::time::Instant;

use crate::upstream::{
    Script::{After, Fail, Status},
    Upstream, client, outcome,
};

const SECOND: Duration = Duration::from_secs(1);
const HEDGE: &str = "[hedge]\nafter = '100ms'\n";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn h1_the_second_answer_comes_first_and_the_first_request_is_dropped() {
    let upstream = Upstream::that([After(10 * SECOND), After(ms(50))]);
    let began = Instant::now();

    let called = upstream.called_by(&client(HEDGE), "GET").await;

    assert_eq!(began.elapsed(), ms(150));
    assert_eq!((upstream.attempts(), upstream.dropped()), (2, 1));
    assert_eq!(called.result, Ok(200));
    assert_eq!((called.report.attempts, called.report.hedges), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_delay_needs_no_hedge() {
    let upstream = Upstream::that([After(ms(99))]);

    let called = upstream.called_by(&client(HEDGE), "GET").await;

    assert_eq!((upstream.attempts(), called.report.hedges), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_requests_than_the_policy_says() {
    let upstream = Upstream::that([After(SECOND)]);
    let began = Instant::now();

    upstream
        .called_by(&client(&format!("{HEDGE}max = 3")), "GET")
        .await;

    assert_eq!(upstream.pauses_ms(), [100, 100]);
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(upstream.dropped(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_sends_the_next_at_once() {
    let upstream = Upstream::that([Fail(ErrorKind::Reset), Status(200)]);
    let began = Instant::now();

    let called = upstream.called_by(&client(HEDGE), "GET").await;

    assert_eq!(called.result, Ok(200));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_the_attempts() {
    let upstream = Upstream::that([Fail(ErrorKind::Reset), Status(503)]);

    let called = upstream.called_by(&client(HEDGE), "GET").await;

    assert_eq!(called.result, Ok(503));
    assert_eq!(upstream.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_asks_to_wait_ends_the_hedging() {
    let sent = RefCell::new(0);
    let asks = Some(Pushback::After(SECOND));

    client(HEDGE)
        .call(
            Call::method("GET"),
            |_: &Result<u16, ()>| Outcome::Status(503).asking(asks),
            |_| {
                *sent.borrow_mut() += 1;
                async { Ok(503) }
            },
        )
        .await;

    assert_eq!(sent.into_inner(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_made_twice_is_not_hedged() {
    let upstream = Upstream::that([After(SECOND)]);

    upstream.called_by(&client(HEDGE), "POST").await;

    assert_eq!(upstream.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn hedges_end_when_their_budget_is_used_up() {
    let upstream = Upstream::that([After(ms(200))]);
    let client = client(&format!("{HEDGE}min_per_sec = 0\nbudget = 0.5"));

    for _ in 0..20 {
        upstream.called_by(&client, "GET").await;
    }

    assert_eq!(upstream.attempts(), 20 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_hedged_attempt_is_one_outcome_to_the_breaker() {
    let upstream = Upstream::that([After(10 * SECOND), After(ms(50))]);
    let client = client(&format!("{HEDGE}[breaker]"));

    upstream.called_by(&client, "GET").await;

    assert_eq!(client.breaker().unwrap().metrics().buffered_calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_needs_a_place_in_the_bulkhead_and_does_not_wait_for_it() {
    let upstream = Upstream::that([After(SECOND)]);
    let client = client(&format!(
        "{HEDGE}[bulkhead]\nmax_concurrent = 1\nmax_wait = '5s'"
    ));

    let called = upstream.called_by(&client, "GET").await;

    assert_eq!((called.result, upstream.attempts()), (Ok(200), 1));
}

#[tokio::test(start_paused = true)]
async fn the_attempts_timeout_ends_its_hedges() {
    let upstream = Upstream::that([After(10 * SECOND)]);
    let began = Instant::now();

    let called = upstream
        .called_by(
            &client(&format!("{HEDGE}[timeout]\nattempt = '300ms'")),
            "GET",
        )
        .await;

    assert!(called.result.is_err());
    assert_eq!((began.elapsed(), upstream.dropped()), (ms(300), 2));
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_each_request_and_of_the_loser() {
    struct Ear<'e>(&'e RefCell<Vec<String>>);
    impl Observer for Ear<'_> {
        fn attempt_started(&mut self, attempt: Attempt) {
            self.0.borrow_mut().push(format!("start {}", attempt.hedge));
        }
        fn attempt_ended(&mut self, attempt: Attempt, outcome: Outcome) {
            let heard = format!("end {} {outcome}", attempt.hedge);
            self.0.borrow_mut().push(heard);
        }
        fn attempt_cancelled(&mut self, attempt: Attempt) {
            self.0
                .borrow_mut()
                .push(format!("cancel {}", attempt.hedge));
        }
    }
    let upstream = Upstream::that([After(10 * SECOND), After(ms(50))]);
    let heard = RefCell::default();

    let call = Call::method("GET").observed_by(Ear(&heard));
    client(HEDGE)
        .call(call, outcome, |attempt| upstream.answer(attempt))
        .await;

    assert_eq!(
        heard.into_inner(),
        ["start 0", "start 1", "end 1 200", "cancel 0"]
    );
}
