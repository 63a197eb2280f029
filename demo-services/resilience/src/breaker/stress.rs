//! Many threads at one breaker: no stay in half-open ever has more probes out or ended than are permitted.

use std::{
    sync::atomic::{AtomicI32, AtomicU32, Ordering},
    thread,
};

use rand::RngExt;

use super::{Breaker, Setup, State, Verdict};
use crate::{chance, policy::BreakerPolicy};

const PROBES: u32 = 2;
const THREADS: u32 = 64;
const ROUNDS: u32 = 100_000;

/// Probes of one stay that are out or have ended with an outcome. Counted up after the admission and down before the
/// return, so what is seen is at most what is true.
#[derive(Default)]
struct Stays(Vec<AtomicI32>);

impl Stays {
    fn of(&self, generation: u64) -> &AtomicI32 {
        let stays = self.0.len() as u64;
        let index = usize::try_from(generation % stays).expect("an index");
        &self.0[index]
    }
}

#[test]
fn half_open_never_admits_more_than_permitted() {
    let policy = BreakerPolicy {
        size: 2,
        minimum_calls: 2,
        probes: PROBES,
        ..BreakerPolicy::default()
    };
    let breaker = Breaker::new("raced", &policy, Setup::default()).unwrap();
    breaker.transition_to(State::Open).unwrap();
    breaker.transition_to(State::HalfOpen).unwrap();
    let (rounds, admitted, cancelled) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    // Each round begins a few generations; far more room than they take.
    let stays = Stays((0..ROUNDS * 16).map(|_| AtomicI32::new(0)).collect());

    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (breaker, rounds, stays) = (&breaker, &rounds, &stays);
            let (admitted, cancelled) = (&admitted, &cancelled);
            scope.spawn(move || {
                let mut chance = chance::draw(42, thread.into(), 0);
                while rounds.load(Ordering::SeqCst) < ROUNDS {
                    let Ok(permit) = breaker.try_acquire() else {
                        if breaker.state() == State::Open
                            && breaker.transition_to(State::HalfOpen).is_ok()
                        {
                            rounds.fetch_add(1, Ordering::SeqCst);
                        }
                        // Whoever holds the probes is to have its turn.
                        thread::yield_now();
                        continue;
                    };
                    if permit.state() != State::HalfOpen {
                        drop(permit);
                        breaker.transition_to(State::Open).unwrap();
                        continue;
                    }
                    admitted.fetch_add(1, Ordering::SeqCst);
                    let generation = permit.ticket.as_ref().expect("it is held").generation;
                    let probes = stays.of(generation);
                    let now = probes.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= 2, "{now} probes in one stay");
                    if chance.random_bool(0.1) {
                        thread::yield_now();
                    }
                    match chance.random_range(0..4) {
                        0 => permit.record(Verdict::Success),
                        1 => permit.record(Verdict::Failure),
                        how => {
                            cancelled.fetch_add(1, Ordering::SeqCst);
                            probes.fetch_sub(1, Ordering::SeqCst);
                            if how == 2 {
                                permit.record(Verdict::Ignored);
                            } else {
                                drop(permit);
                            }
                        }
                    }
                }
            });
        }
    });

    // It was a race: probes were admitted, and many of them cancelled.
    assert!(admitted.into_inner() >= ROUNDS);
    assert!(cancelled.into_inner() >= ROUNDS / 4);
    // And nothing was lost on the way: the probes are all there.
    breaker.transition_to(State::Open).unwrap();
    breaker.transition_to(State::HalfOpen).unwrap();
    let free: Vec<_> = std::iter::from_fn(|| breaker.try_acquire().ok())
        .take(100)
        .collect();
    assert_eq!(free.len(), 2);
}
