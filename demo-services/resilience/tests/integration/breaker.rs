//! The breaker where the vectors do not reach: events, cancellation, late outcomes, threads.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use brownout_resilience::{
    Breaker, Event, EventKind, Permit, Setup, State, Verdict, policy::BreakerPolicy,
};
use proptest::prelude::*;
use tokio::time::{Instant, advance};

const SECOND: Duration = Duration::from_secs(1);

/// Trips at two calls of which one failed, then waits a second and sends two probes.
fn touchy() -> BreakerPolicy {
    BreakerPolicy {
        size: 2,
        minimum_calls: 2,
        probes: 2,
        wait: SECOND,
        ..BreakerPolicy::default()
    }
}

fn breaker(policy: &BreakerPolicy) -> Breaker {
    Breaker::new("upstream", policy, Setup::default()).unwrap()
}

/// A breaker, and what its listener has heard.
fn overheard(policy: &BreakerPolicy) -> (Breaker, Arc<Mutex<Vec<Event>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let setup = Setup::default().listening(move |event| ear.lock().unwrap().push(*event));
    (Breaker::new("upstream", policy, setup).unwrap(), heard)
}

fn kinds(heard: &Mutex<Vec<Event>>) -> Vec<EventKind> {
    let events = std::mem::take(&mut *heard.lock().unwrap());
    events.iter().map(|event| event.kind).collect()
}

fn call(breaker: &Breaker, verdict: Verdict) {
    breaker.try_acquire().unwrap().record(verdict);
}

fn trip(breaker: &Breaker) {
    call(breaker, Verdict::Failure);
    call(breaker, Verdict::Failure);
    assert_eq!(breaker.state(), State::Open);
}

fn half_open(breaker: &Breaker) {
    breaker.transition_to(State::Open).unwrap();
    breaker.transition_to(State::HalfOpen).unwrap();
}

fn transition(from: State, to: State, failure_rate: Option<f32>) -> EventKind {
    EventKind::StateTransition {
        from,
        to,
        failure_rate,
        slow_call_rate: failure_rate.map(|_| 0.0),
    }
}

#[tokio::test(start_paused = true)]
async fn a_trip_is_told_as_outcome_then_rate_then_transition() {
    let (breaker, heard) = overheard(&touchy());

    call(&breaker, Verdict::Ignored);
    call(&breaker, Verdict::Success);
    call(&breaker, Verdict::Failure);
    breaker.try_acquire().unwrap_err();

    assert_eq!(
        kinds(&heard),
        [
            EventKind::IgnoredError(Duration::ZERO),
            EventKind::Success(Duration::ZERO),
            EventKind::Error(Duration::ZERO),
            EventKind::FailureRateExceeded(50.0),
            transition(State::Closed, State::Open, Some(50.0)),
            EventKind::NotPermitted,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn both_rates_are_told_when_both_are_exceeded() {
    let policy = BreakerPolicy {
        slow_call_duration: SECOND,
        ..touchy()
    };
    let (breaker, heard) = overheard(&policy);
    let calls = [
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    ];

    advance(2 * SECOND).await;
    calls
        .into_iter()
        .for_each(|permit| permit.record(Verdict::Failure));

    assert_eq!(
        kinds(&heard)[2..4],
        [
            EventKind::FailureRateExceeded(100.0),
            EventKind::SlowCallRateExceeded(100.0)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn no_rate_is_told_when_a_half_open_breaker_opens_again() {
    let (breaker, heard) = overheard(&touchy());
    half_open(&breaker);
    kinds(&heard);

    call(&breaker, Verdict::Failure);
    call(&breaker, Verdict::Failure);

    assert_eq!(
        kinds(&heard),
        [
            EventKind::Error(Duration::ZERO),
            EventKind::Error(Duration::ZERO),
            transition(State::HalfOpen, State::Open, Some(100.0)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_only_tells_each_rate_once() {
    let policy = BreakerPolicy {
        initial_state: State::MetricsOnly,
        ..touchy()
    };
    let (breaker, heard) = overheard(&policy);

    (0..5).for_each(|_| call(&breaker, Verdict::Failure));

    let told = kinds(&heard);
    let rates = told
        .iter()
        .filter(|kind| matches!(kind, EventKind::FailureRateExceeded(_)));
    assert_eq!(rates.count(), 1);
    assert_eq!(breaker.state(), State::MetricsOnly);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_breaker_tells_only_transitions_and_resets() {
    let (breaker, heard) = overheard(&touchy());

    breaker.transition_to(State::Disabled).unwrap();
    call(&breaker, Verdict::Failure);
    call(&breaker, Verdict::Ignored);
    breaker.reset();

    assert_eq!(
        kinds(&heard),
        [
            transition(State::Closed, State::Disabled, None),
            transition(State::Disabled, State::Closed, None),
            EventKind::Reset,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_breaker_forced_open_are_told() {
    let (breaker, heard) = overheard(&touchy());
    breaker.transition_to(State::ForcedOpen).unwrap();
    kinds(&heard);

    let rejected = breaker.try_acquire().unwrap_err();

    assert_eq!(rejected.state, State::ForcedOpen);
    assert_eq!(kinds(&heard), [EventKind::NotPermitted]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_a_closed_breaker_is_no_transition() {
    let (breaker, heard) = overheard(&touchy());

    breaker.reset();

    assert_eq!(kinds(&heard), [EventKind::Reset]);
}

#[tokio::test(start_paused = true)]
async fn to_the_present_state_begins_anew_and_tells_nothing() {
    let (breaker, heard) = overheard(&touchy());
    call(&breaker, Verdict::Failure);
    kinds(&heard);

    breaker.transition_to(State::Closed).unwrap();

    assert_eq!(breaker.metrics().buffered_calls, 0);
    assert_eq!(kinds(&heard), []);
}

#[tokio::test(start_paused = true)]
async fn a_timed_transition_is_told_with_the_moment_it_was_due() {
    let policy = BreakerPolicy {
        automatic_transition: true,
        ..touchy()
    };
    let (breaker, heard) = overheard(&policy);
    let opened = Instant::now();
    trip(&breaker);
    heard.lock().unwrap().clear();

    advance(10 * SECOND).await;
    assert_eq!(breaker.state(), State::HalfOpen);

    assert_eq!(heard.lock().unwrap()[0].at, opened + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_ask_the_breaker() {
    let shared: Arc<Mutex<Option<Arc<Breaker>>>> = Arc::default();
    let inner = Arc::clone(&shared);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let states = Arc::clone(&seen);
    let setup = Setup::default().listening(move |_| {
        let breaker = inner.lock().unwrap().clone().unwrap();
        states.lock().unwrap().push(breaker.state());
    });
    let breaker = Arc::new(Breaker::new("upstream", &touchy(), setup).unwrap());
    *shared.lock().unwrap() = Some(Arc::clone(&breaker));

    breaker.transition_to(State::Open).unwrap();

    assert_eq!(*seen.lock().unwrap(), [State::Open]);
}

#[tokio::test(start_paused = true)]
async fn a_late_failure_shows_in_the_open_window_and_decides_nothing() {
    let breaker = breaker(&BreakerPolicy {
        size: 10,
        ..touchy()
    });
    let late = [(); 3].map(|()| breaker.try_acquire().unwrap());
    let [in_open, in_half_open, in_closed] = late;
    trip(&breaker);

    in_open.record(Verdict::Failure);
    assert_eq!(breaker.metrics().failed_calls, 3);

    advance(SECOND * 2).await;
    let probe = breaker.try_acquire().unwrap();
    assert_eq!(probe.state(), State::HalfOpen);
    in_half_open.record(Verdict::Failure);
    assert_eq!(breaker.metrics().buffered_calls, 0);

    probe.record(Verdict::Success);
    call(&breaker, Verdict::Success);
    assert_eq!(breaker.state(), State::Closed);
    in_closed.record(Verdict::Failure);
    assert_eq!(breaker.metrics().buffered_calls, 0);
}

#[tokio::test(start_paused = true)]
async fn late_calls_that_count_as_nothing_bring_no_further_probes() {
    let breaker = breaker(&BreakerPolicy {
        probes: 1,
        ..touchy()
    });
    let late = [
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    ];
    half_open(&breaker);
    let _probe = breaker.try_acquire().unwrap();

    late.into_iter()
        .for_each(|permit| permit.record(Verdict::Ignored));

    assert!(breaker.try_acquire().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_makes_room_for_another() {
    let breaker = breaker(&touchy());
    half_open(&breaker);
    let probes = [
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    ];
    assert!(breaker.try_acquire().is_err());

    drop(probes);

    let _again = [
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    ];
    assert!(breaker.try_acquire().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_earlier_half_open_does_not_count_in_a_later_one() {
    let breaker = breaker(&touchy());
    half_open(&breaker);
    let early = breaker.try_acquire().unwrap();
    half_open(&breaker);

    early.record(Verdict::Failure);

    assert_eq!(breaker.metrics().buffered_calls, 0);
}

#[tokio::test(start_paused = true)]
async fn open_for_waits_as_long_as_it_is_told() {
    let breaker = breaker(&touchy());
    breaker.open_for(10 * SECOND).unwrap();

    advance(10 * SECOND).await;
    assert!(breaker.try_acquire().is_err());
    advance(Duration::from_millis(1)).await;

    assert!(breaker.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn open_for_ever_is_no_overflow() {
    let breaker = breaker(&touchy());

    breaker.open_for(Duration::MAX).unwrap();

    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_left_alone_for_a_year_is_where_its_timers_would_have_brought_it() {
    let policy = BreakerPolicy {
        automatic_transition: true,
        max_wait_in_half_open: Some(Duration::from_millis(2)),
        wait: Duration::from_millis(1),
        initial_state: State::Open,
        ..touchy()
    };
    let breaker = breaker(&policy);
    let year = 365 * 24 * 3600 * SECOND;

    // Rounds of 3 ms: open for the first of each, half-open for the other two.
    advance(year).await;
    assert_eq!(breaker.state(), State::Open);
    advance(Duration::from_millis(1)).await;
    assert_eq!(breaker.state(), State::HalfOpen);
    advance(Duration::from_millis(2)).await;
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_randomized_wait_repeats_with_its_seed() {
    let policy = BreakerPolicy {
        randomized_wait_factor: 0.5,
        ..touchy()
    };
    let wait_of = async |seed| {
        let breaker = Breaker::new("upstream", &policy, Setup::seeded(seed)).unwrap();
        trip(&breaker);
        let opened = Instant::now();
        while breaker.try_acquire().is_err() {
            advance(Duration::from_millis(1)).await;
        }
        opened.elapsed()
    };

    let waits = [wait_of(1).await, wait_of(1).await, wait_of(2).await];

    assert_eq!(waits[0], waits[1]);
    assert_ne!(waits[0], waits[2]);
    for wait in waits {
        assert!(
            wait > SECOND / 2 && wait <= SECOND * 3 / 2 + Duration::from_millis(1),
            "{wait:?}"
        );
    }
}

proptest! {
    /// Against a half-open breaker that never has enough outcomes to decide, any mix of calls ended and dropped
    /// leaves exactly the probes that were not ended.
    #[test]
    fn permits_are_neither_lost_nor_made(
        probes in 1u32..8,
        steps in prop::collection::vec((0usize..8, 0u8..4), 0..60),
    ) {
        let policy = BreakerPolicy { size: 1000, minimum_calls: 1000, probes: probes + 1, ..touchy() };
        let breaker = breaker(&policy);
        half_open(&breaker);
        let mut held: Vec<Permit<'_>> = Vec::new();
        let mut recorded = 0;
        for (at, step) in steps {
            match step {
                0 | 1 => {
                    let free = held.len() + recorded < policy.probes as usize;
                    let permit = breaker.try_acquire();
                    prop_assert_eq!(permit.is_ok(), free);
                    held.extend(permit);
                }
                2 if at < held.len() => drop(held.swap_remove(at)),
                // The last free place is never recorded, so the breaker does not decide.
                3 if at < held.len() && recorded < probes as usize => {
                    held.swap_remove(at).record(Verdict::Success);
                    recorded += 1;
                }
                _ => {}
            }
        }
        drop(held);
        let free = std::iter::from_fn(|| breaker.try_acquire().ok()).take(100).collect::<Vec<_>>();
        prop_assert_eq!(free.len(), policy.probes as usize - recorded);
    }
}

#[test]
fn sixty_four_threads_never_get_more_than_the_permitted_probes() {
    const THREADS: usize = 64;
    const ROUNDS: usize = 100;
    let policy = BreakerPolicy {
        probes: 5,
        minimum_calls: 100,
        size: 100,
        ..BreakerPolicy::default()
    };
    let breaker = breaker(&policy);
    half_open(&breaker);
    let (admitted, gate) = (AtomicUsize::new(0), Barrier::new(THREADS));

    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (breaker, admitted, gate) = (&breaker, &admitted, &gate);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let permit = breaker.try_acquire().ok();
                    admitted.fetch_add(usize::from(permit.is_some()), Ordering::SeqCst);
                    gate.wait();
                    if thread == 0 {
                        assert_eq!(admitted.swap(0, Ordering::SeqCst), 5, "round {round}");
                    }
                    // Dropped or counting as nothing, every permit comes back for the next round.
                    match permit {
                        Some(permit) if round % 2 == 0 => permit.record(Verdict::Ignored),
                        permit => drop(permit),
                    }
                    gate.wait();
                }
            });
        }
    });

    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn sixty_four_threads_racing_through_half_open_keep_to_the_probes_of_each() {
    const THREADS: usize = 64;
    let policy = BreakerPolicy {
        probes: 3,
        minimum_calls: 3,
        size: 3,
        ..BreakerPolicy::default()
    };
    let breaker = breaker(&policy);
    let gate = Barrier::new(THREADS);

    for round in 0..20 {
        half_open(&breaker);
        let probes = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    gate.wait();
                    if let Ok(permit) = breaker.try_acquire() {
                        probes.fetch_add(
                            usize::from(permit.state() == State::HalfOpen),
                            Ordering::SeqCst,
                        );
                        permit.record(Verdict::Failure);
                    }
                });
            }
        });

        assert_eq!(probes.into_inner(), 3, "round {round}");
        assert_eq!(breaker.state(), State::Open);
    }
}
