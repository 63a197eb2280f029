//! The policies that come with brownout, and the sections that bound what a client sends.

use std::{fs, path::Path, time::Duration};

use brownout_resilience::Policy;

/// The policy in a file of the repository.
fn shipped(name: &str) -> Policy {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    Policy::from_file(folder.join(format!("{name}.toml"))).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_shipped_policy_prints_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut read = 0;
    for folder in [folder.join("library"), folder] {
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|it| it == "toml") {
                let policy = Policy::from_file(&path).unwrap_or_else(|error| panic!("{error}"));
                let printed = policy.to_toml();
                assert_eq!(Policy::from_toml(&policy.name, &printed), Ok(policy));
                read += 1;
            }
        }
    }
    assert!(read >= 15, "{read}");
}

#[test]
fn the_shipped_policies_are_the_originals_flags() {
    let half_a_second = Some(Duration::from_millis(500));

    for (name, timeout, retries, circuit_breakers) in [
        ("none", None, false, false),
        ("timeout", half_a_second, false, false),
        ("retries", None, true, false),
        ("circuit-breakers", None, false, true),
        ("gold", half_a_second, false, true),
    ] {
        let original = Policy {
            name: name.to_owned(),
            ..Policy::original(timeout, retries, circuit_breakers)
        };
        assert_eq!(shipped(name), original);
    }
}

#[test]
fn every_key_of_the_guards_is_read() {
    let text = "[timeout]\nattempt = '1s'\npropagate = true
[retry]\nhonor_retry_after = false\nretry_after_max = '5s'
[retry.budget]\nttl = '20s'\nmin_per_sec = 3\nratio = 0.5
[breaker]\nopen_on_retry_after = true\nevent_buffer = 7\nhealth = 'may_fail'
[rate_limit]\nlimit = 5\nperiod = '2s'\ntimeout = '10ms'
[bulkhead]\nmax_concurrent = 4\nmax_wait = '30ms'
[adaptive]\nalgorithm = 'vegas'\ninitial = 6\nmin = 2\nmax = 60
[hedge]\nafter = '80ms'\npercentile = 99.5\nmax = 3\nbudget = 0.2\nmin_per_sec = 8\nmethods = ['GET']
[fallback]\nkind = 'upstream'\n";

    let policy = Policy::from_toml("test", text).unwrap();

    let printed = policy.to_toml();
    for line in text.replace('\'', "\"").lines() {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
    assert_eq!(Policy::from_toml("test", &printed), Ok(policy));
}

#[test]
fn each_wrong_value_of_a_guard_is_refused_with_its_key() {
    for (text, problem) in [
        (
            "[retry.budget]\nttl = '500ms'",
            "retry.budget.ttl: 500ms is outside 1s to 1m",
        ),
        (
            "[retry.budget]\nratio = -1.0",
            "retry.budget.ratio: -1.0 is outside 0.0 to 1000.0",
        ),
        (
            "[retry]\nbudget = 5",
            "retry.budget: is a number, expected a table [retry.budget]",
        ),
        (
            "[breaker]\nevent_buffer = 0",
            "breaker.event_buffer: 0 is outside 1 to 10000",
        ),
        (
            "[breaker]\nregister_health_indicator = true",
            "breaker.register_health_indicator: unknown key; did you mean `health`?",
        ),
        (
            "[rate_limit]\nlimit = 0",
            "rate_limit.limit: 0 is outside 1 to 1000000",
        ),
        (
            "[rate_limit]\nperiod = '0s'",
            "rate_limit.period: 0s is outside 1ms to 1h",
        ),
        (
            "[bulkhead]\nmax_concurent = 4",
            "bulkhead.max_concurent: unknown key; did you mean `max_concurrent`?",
        ),
        (
            "[bulkhead]\nmax_concurrent = 0",
            "bulkhead.max_concurrent: 0 is outside 1 to 100000",
        ),
        (
            "[adaptive]\ninitial = 5\nmin = 6",
            "adaptive.initial: 5 is outside 6 to 1000",
        ),
        (
            "[adaptive]\nalgorithm = 'gradient'",
            "adaptive.algorithm: `gradient` is unknown; known are \"vegas\"",
        ),
        ("[hedge]\nmax = 1", "hedge.max: 1 is outside 2 to 10"),
        (
            "[hedge]\npercentile = 100",
            "hedge.percentile: 100.0 is not above 0 and below 100",
        ),
        (
            "[rate_limiter]",
            "rate_limiter: unknown key; did you mean `rate_limit`?",
        ),
    ] {
        let refused = Policy::from_toml("test", text).unwrap_err();

        let mut found = refused.problems[0].clone();
        found.line = None;
        assert_eq!(found.to_string(), problem);
    }
}
