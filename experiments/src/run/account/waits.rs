//! How long clients waited before they tried a failed call again.

use std::collections::HashMap;

use super::{Call, FaultPhase, RetryWaits, Seen};
use crate::forensics::derive::CHAIN_GAP_US;

/// More waits of a route are left out.
const WAITS_MAX: usize = 1_000;

/// The waits on each route with faults, where calls are joined to pages: only then a call is known to repeat another one.
pub(super) fn of(seen: &Seen<'_>, phase: &FaultPhase) -> Vec<RetryWaits> {
    let waits = phase.routes.iter().filter_map(|route| {
        let own = std::slice::from_ref(route);
        if seen.not_joined(own).is_some() {
            return None;
        }
        let mut waits_ms = waits(&seen.calls_on(own, phase.span));
        waits_ms.truncate(WAITS_MAX);
        (!waits_ms.is_empty()).then(|| RetryWaits {
            route: route.clone(),
            waits_ms,
        })
    });
    waits.collect()
}

/// From the end of a failed call to the start of the next one for the same page that asks for the same, in ms.
fn waits(calls: &[&Call]) -> Vec<f64> {
    let mut before: HashMap<(u64, u64), &Call> = HashMap::new();
    let mut waits = Vec::new();
    for call in calls {
        let Some(page) = call.page else { continue };
        let Some(last) = before.insert((page, call.asks), call) else {
            continue;
        };
        let wait = call.start.checked_sub(last.end);
        let wait = wait.filter(|it| last.failed && *it <= CHAIN_GAP_US);
        waits.extend(wait.map(|it| it as f64 / 1_000.0));
    }
    waits
}
