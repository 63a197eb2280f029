//! Whatever the policy and whatever the dependency does: what a call took, it gives back, and it keeps to its bounds.

use std::time::Duration;

use brownout_resilience::{Client, ErrorKind, Levels, Policy, Setup, State};
use proptest::prelude::*;
use tokio::time::{Instant, advance, timeout};

use crate::upstream::{
    Script::{self, After, CallersFault, Fail, Status},
    Upstream,
};

/// A subset of all protections, in either order.
fn policy() -> impl Strategy<Value = String> {
    let sections = [
        "[timeout]\nattempt = '80ms'\ntotal = '300ms'\n",
        "[retry]\nmax_attempts = 4\nbase = '10ms'\n",
        "[retry.budget]\nmin_per_sec = 1\n",
        "[breaker]\nsize = 4\nminimum_calls = 2\nprobes = 2\nwait = '50ms'\n",
        "[rate_limit]\nlimit = 6\nperiod = '40ms'\ntimeout = '90ms'\n",
        "[bulkhead]\nmax_concurrent = 3\nmax_wait = '20ms'\n",
        "[adaptive]\ninitial = 4\nmax = 4\nmin = 4\n",
        "[hedge]\nafter = '15ms'\nmax = 3\n",
        "[fallback]\n",
    ];
    let order = prop_oneof![Just("resilience4j"), Just("original")];
    (order, prop::collection::vec(any::<bool>(), sections.len())).prop_map(
        move |(order, mut chosen)| {
            // A budget is part of the retries.
            chosen[2] &= chosen[1];
            let chosen = sections.iter().zip(chosen).filter(|(_, chosen)| *chosen);
            let chosen: String = chosen.map(|(section, _)| *section).collect();
            format!("order = '{order}'\n{chosen}")
        },
    )
}

fn script() -> impl Strategy<Value = Script> {
    prop_oneof![
        Just(Status(200)),
        Just(Status(503)),
        Just(Fail(ErrorKind::Connect)),
        Just(CallersFault),
        (1u64..200).prop_map(|ms| After(Duration::from_millis(ms))),
    ]
}

/// What a client's guards have when nothing is under way and a new period has begun.
async fn at_rest(client: &Client) -> Levels {
    advance(Duration::from_secs(1)).await;
    client.levels()
}

async fn check(
    text: &str,
    scripts: Vec<Script>,
    leave_after: Vec<Option<u64>>,
) -> Result<(), TestCaseError> {
    let policy = Policy::from_toml("test", text).unwrap();
    let retries = policy.retry.as_ref().map_or(1, |it| it.max_attempts);
    let requests = policy.hedge.as_ref().map_or(1, |it| it.max);
    let total = policy.timeout.total;
    let client = Client::new("upstream", policy, Setup::seeded(1)).unwrap();
    let rest = at_rest(&client).await;
    let upstream = Upstream::that(scripts);

    for leave in leave_after {
        let (began, before) = (Instant::now(), upstream.attempts());
        let call = upstream.called_by(&client, "GET");
        match leave {
            Some(ms) => drop(timeout(Duration::from_millis(ms), call).await),
            None => {
                let report = call.await.report;
                let sent = upstream.attempts() - before;
                prop_assert_eq!(u64::from(report.attempts + report.hedges), sent as u64);
            }
        }
        let sent = upstream.attempts() - before;
        prop_assert!(sent <= (retries * requests) as usize, "{} requests", sent);
        if let Some(total) = total {
            prop_assert!(began.elapsed() <= total, "took {:?}", began.elapsed());
        }
    }

    prop_assert_eq!(at_rest(&client).await, rest);
    if let Some(breaker) = client.breaker() {
        breaker.transition_to(State::Open).unwrap();
        breaker.transition_to(State::HalfOpen).unwrap();
        let probes = [
            breaker.try_acquire(),
            breaker.try_acquire(),
            breaker.try_acquire(),
        ];
        prop_assert_eq!(probes.map(|probe| probe.is_ok()), [true, true, false]);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_call_keeps_to_its_bounds_and_gives_back_what_it_took(
        text in policy(),
        scripts in prop::collection::vec(script(), 1..30),
        leave_after in prop::collection::vec(prop::option::of(0u64..150), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(check(&text, scripts, leave_after))?;
    }
}
