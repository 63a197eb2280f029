//! The policies of the library's gate: the files in the repository's `policies/library/`, word for word.

use brownout_resilience::Policy;

use super::service::GateName;

const FALLBACK: &str = include_str!("../../../policies/library/fallback.toml");

/// How `gate` asks the primary, unless configured.
///
/// # Panics
/// Never: a test reads them all.
#[must_use]
pub fn gate_policy(gate: GateName) -> Policy {
    let (name, text) = file(gate);
    Policy::from_toml(name, text).expect("a test reads every policy")
}

/// How the gate asks the fallback.
pub(super) fn fallback() -> Policy {
    Policy::from_toml("fallback", FALLBACK).expect("a test reads every policy")
}

fn file(gate: GateName) -> (&'static str, &'static str) {
    match gate {
        GateName::G1 => (
            "gate-1",
            include_str!("../../../policies/library/gate-1.toml"),
        ),
        GateName::G2 => (
            "gate-2",
            include_str!("../../../policies/library/gate-2.toml"),
        ),
        GateName::G3 => (
            "gate-3",
            include_str!("../../../policies/library/gate-3.toml"),
        ),
        GateName::G4 => (
            "gate-4",
            include_str!("../../../policies/library/gate-4.toml"),
        ),
        GateName::G5 => (
            "gate-5",
            include_str!("../../../policies/library/gate-5.toml"),
        ),
    }
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
