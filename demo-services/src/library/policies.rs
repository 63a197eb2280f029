//! The policies of the library's gate: the built-in ones of `policies/library/`.

use brownout_resilience::Policy;

use super::service::GateName;
use crate::policies;

/// How `gate` asks the primary, unless configured: `library/gate-1` for the first.
///
/// # Panics
/// Never: a test reads them all.
#[must_use]
pub fn gate_policy(gate: GateName) -> Policy {
    named(match gate {
        GateName::G1 => "library/gate-1",
        GateName::G2 => "library/gate-2",
        GateName::G3 => "library/gate-3",
        GateName::G4 => "library/gate-4",
        GateName::G5 => "library/gate-5",
    })
}

/// How the gate asks the fallback.
pub(super) fn fallback() -> Policy {
    named("library/fallback")
}

fn named(name: &str) -> Policy {
    policies::named(name).expect("a test reads every policy of the library")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use brownout_resilience::policy::{BreakerPolicy, WindowKind};

    use super::*;

    fn breaker(gate: GateName) -> BreakerPolicy {
        gate_policy(gate).breaker.unwrap()
    }

    #[test]
    fn every_policy_can_be_read() {
        for gate in GateName::ALL {
            gate_policy(gate).check().unwrap();
        }
        fallback().check().unwrap();
    }

    #[test]
    fn the_gates_differ_in_what_they_are_about() {
        let first = breaker(GateName::G1);
        assert_eq!(first.window, WindowKind::Count);
        assert_eq!((first.size, first.minimum_calls, first.probes), (10, 5, 10));
        assert_eq!(first.wait, Duration::from_secs(1));
        assert!(first.automatic_transition);

        let second = BreakerPolicy {
            automatic_transition: false,
            ..first.clone()
        };
        let third = BreakerPolicy {
            slow_call_duration: Duration::from_millis(100),
            ..first.clone()
        };
        let fourth = BreakerPolicy {
            probes: 2,
            ..first.clone()
        };
        let fifth = BreakerPolicy {
            window: WindowKind::Time,
            size: 1,
            ..first
        };
        assert_eq!(breaker(GateName::G2), second);
        assert_eq!(breaker(GateName::G3), third);
        assert_eq!(breaker(GateName::G4), fourth);
        assert_eq!(breaker(GateName::G5), fifth);
    }
}
