//! Policies as people write them.

use std::time::Duration;

use brownout_resilience::{
    Backoff, Client, ErrorKind, Growth, Jitter, Order, Outcome, Policy, Setup, State, Verdict,
    policy::{
        AfterMaxWait, BreakerPolicy, ErrorSet, FallbackPolicy, RetryPolicy, Scope, StatusSet,
        TimeoutPolicy, WindowKind,
    },
};
use proptest::prelude::*;

/// What is wrong with a text, one line for each problem.
fn problems(text: &str) -> Vec<String> {
    let refused = Policy::from_toml("test", text).unwrap_err();
    refused.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_is_no_protection() {
    assert_eq!(Policy::from_toml("none", ""), Ok(Policy::none("none")));
}

#[test]
fn an_empty_section_is_its_defaults() {
    let policy = Policy::from_toml("test", "[retry]\n[breaker]\n[fallback]").unwrap();

    assert_eq!(policy.order, Order::Resilience4j);
    assert_eq!(policy.timeout, TimeoutPolicy::default());
    assert_eq!(policy.retry, Some(RetryPolicy::default()));
    assert_eq!(policy.breaker, Some(BreakerPolicy::default()));
    assert_eq!(policy.fallback, Some(FallbackPolicy::default()));
}

#[test]
fn every_key_is_read() {
    let text = r#"
        order = "original"
        [timeout]
        attempt = "500ms"
        total = "1m"
        [retry]
        max_attempts = 7
        backoff = "exponential"
        base = "1s"
        multiplier = 2
        cap = "1h"
        jitter = "randomized"
        randomized_wait_factor = 0.25
        on_status = ["5xx", 429]
        on_error = "connect"
        ignore_status = [501]
        ignore_error = ["other"]
        methods = ["GET", "POST"]
        fail_after_max_attempts = true
        [breaker]
        scope = "worker"
        window = "time"
        size = 20
        minimum_calls = 30
        failure_rate = 33.3
        slow_call_rate = 80
        slow_call_duration = "100ms"
        probes = 2
        wait = "10s"
        wait_multiplier = 1.5
        wait_cap = "1m30s"
        randomized_wait_factor = 0.5
        max_wait_in_half_open = "5s"
        after_max_wait = "closed"
        automatic_transition = true
        initial_state = "metrics_only"
        failure_status = ["500"]
        failure_error = ["timeout"]
        ignore_status = ["404"]
        ignore_error = ["protocol"]
        [fallback]
        kind = "empty"
        on_status = ["4xx"]
    "#;

    let policy = Policy::from_toml("test", text).unwrap();

    let retry = policy.retry.clone().unwrap();
    assert_eq!(policy.order, Order::Original);
    assert_eq!(policy.timeout.attempt, Some(Duration::from_millis(500)));
    assert_eq!(policy.timeout.total, Some(Duration::from_secs(60)));
    assert_eq!(retry.max_attempts, 7);
    assert_eq!(
        retry.backoff,
        Backoff {
            base: Duration::from_secs(1),
            growth: Growth::Exponential {
                multiplier: 2.0,
                cap: Some(Duration::from_secs(3600)),
            },
            jitter: Jitter::Randomized { factor: 0.25 },
        }
    );
    assert_eq!(
        retry.on.status,
        StatusSet::from_words(["429", "5xx"]).unwrap()
    );
    assert_eq!(retry.on.error, ErrorSet::of(&[ErrorKind::Connect]));
    assert_eq!(retry.ignore.status.words(), ["501"]);
    assert_eq!(retry.ignore.error.words(), ["other"]);
    assert_eq!(retry.methods, ["GET", "POST"]);
    assert!(retry.fail_after_max_attempts);
    let breaker = policy.breaker.clone().unwrap();
    assert_eq!(breaker.scope, Scope::Worker);
    assert_eq!(breaker.window, WindowKind::Time);
    assert_eq!(
        (breaker.size, breaker.minimum_calls, breaker.probes),
        (20, 30, 2)
    );
    assert_eq!((breaker.failure_rate, breaker.slow_call_rate), (33.3, 80.0));
    assert_eq!(breaker.slow_call_duration, Duration::from_millis(100));
    assert_eq!(breaker.wait, Duration::from_secs(10));
    assert_eq!(breaker.wait_cap, Some(Duration::from_secs(90)));
    assert_eq!(
        (breaker.wait_multiplier, breaker.randomized_wait_factor),
        (1.5, 0.5)
    );
    assert_eq!(breaker.max_wait_in_half_open, Some(Duration::from_secs(5)));
    assert_eq!(breaker.after_max_wait, AfterMaxWait::Closed);
    assert!(breaker.automatic_transition);
    assert_eq!(breaker.initial_state, State::MetricsOnly);
    assert_eq!(breaker.failure.status.words(), ["500"]);
    assert_eq!(breaker.failure.error.words(), ["timeout"]);
    assert_eq!(breaker.ignore.status.words(), ["404"]);
    assert_eq!(breaker.ignore.error.words(), ["protocol"]);
    assert_eq!(policy.fallback.unwrap().on_status.words(), ["4xx"]);
    assert_eq!(Policy::from_toml("test", &policy.to_toml()), Ok(policy));
}

#[test]
fn a_policy_prints_itself_with_all_its_defaults() {
    let policy = Policy::from_toml("test", "[timeout]\nattempt = '1s'\n[retry]").unwrap();

    assert_eq!(
        policy.to_toml(),
        r#"order = "resilience4j"

[timeout]
attempt = "1s"
total = "none"
propagate = false

[retry]
max_attempts = 3
backoff = "fixed"
base = "500ms"
jitter = "none"
on_status = ["502", "503", "504"]
on_error = ["connect", "reset", "timeout", "incomplete"]
ignore_status = []
ignore_error = []
methods = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]
fail_after_max_attempts = false
honor_retry_after = true
retry_after_max = "30s"

# no [breaker]: every call is made

# no [rate_limit]: as many a second as there are

# no [bulkhead]: as many at once as there are

# no [adaptive]: nothing is shed

# no [hedge]: one request for each attempt

# no [fallback]: a failure stays a failure
"#
    );
}

#[test]
fn all_problems_are_told_at_once_with_their_lines() {
    let text = r#"order = "orginal"
[timeout]
attempt = 500
[retry]
max_atempts = 4
max_attempts = 0
[breaker]
size = 5
minimum_calls = 10
[cache]
"#;

    assert_eq!(
        problems(text),
        [
            r#"line 1: order: `orginal` is unknown; did you mean "original"?"#,
            r#"line 3: timeout.attempt: 500 has no unit; write "500ms" or "500s""#,
            "line 5: retry.max_atempts: unknown key; did you mean `max_attempts`?",
            "line 6: retry.max_attempts: 0 is outside 1 to 100",
            "line 9: breaker.minimum_calls: 10 calls never fit into a window of `size` 5",
            "line 10: cache: unknown key; known are base, order, timeout, retry, breaker, rate_limit, bulkhead, adaptive, \
             hedge, fallback",
        ]
    );
}

#[test]
fn a_refused_policy_shows_its_name_and_its_problems() {
    let refused = Policy::from_toml("gold", "[timeout]\nattempt = 1.5").unwrap_err();

    assert_eq!(
        refused.to_string(),
        "policy `gold` is not valid\n  \
         line 2: timeout.attempt: 1.5 has no unit; write \"1.5ms\" or \"1.5s\""
    );
}

#[test]
fn each_wrong_value_is_refused_with_its_key() {
    let cases = [
        ("[timeout]", "timeout: needs `attempt`, `total` or both"),
        (
            "[timeout]\nattempt = '0s'",
            "timeout.attempt: 0s is outside 1ms to 1h",
        ),
        (
            "[timeout]\nattempt = '2h'",
            "timeout.attempt: 2h is outside 1ms to 1h",
        ),
        (
            "[timeout]\nattempt = '-1s'",
            "timeout.attempt: `-1s` is negative",
        ),
        (
            "[timeout]\nattempt = '500'",
            "timeout.attempt: 500 has no unit; write \"500ms\" or \"500s\"",
        ),
        (
            "[timeout]\nattempt = '1.5ms'",
            "timeout.attempt: 1.5ms is finer than a millisecond",
        ),
        (
            "[timeout]\nattempt = 'soon'",
            "timeout.attempt: `soon` is not a duration; write it like \"250ms\", \"1.5s\" or \"2m\"",
        ),
        (
            "[timeout]\nattempt = true",
            "timeout.attempt: is true or false, expected a duration such as \"250ms\"",
        ),
        (
            "[timeout]\nattempt = '2s'\ntotal = '1s'",
            "timeout.attempt: 2s is above `total` (1s)",
        ),
        (
            "timeout = '1s'",
            "timeout: is a text, expected a table [timeout]",
        ),
        (
            "[retry]\nmax_attempts = -1",
            "retry.max_attempts: -1 is outside 0 to 4294967295",
        ),
        (
            "[retry]\nmax_attempts = 1.0",
            "retry.max_attempts: is a number, expected a whole number",
        ),
        (
            "[retry]\nmultiplier = 2",
            "retry.multiplier: has no effect unless backoff = \"exponential\"",
        ),
        (
            "[retry]\nrandomized_wait_factor = 0.1",
            "retry.randomized_wait_factor: has no effect unless jitter = \"randomized\"",
        ),
        (
            "[retry]\nbackoff = 'exponential'\nmultiplier = nan",
            "retry.multiplier: NaN is outside 1.0 to 10.0",
        ),
        (
            "[retry]\nbackoff = 'exponential'\ncap = '1ms'",
            "retry.cap: 1ms is outside 500ms to 1h",
        ),
        (
            "[retry]\njitter = 'decorrelated'",
            "retry.jitter: decorrelated needs backoff = \"exponential\"",
        ),
        (
            "[retry]\non_status = ['6xx']",
            "retry.on_status: `6xx` is neither a status from 100 to 599 nor a class such as \"5xx\"",
        ),
        (
            "[retry]\non_error = ['conect']",
            "retry.on_error: `conect` is unknown; did you mean \"connect\"?",
        ),
        (
            "[retry]\nmethods = ['GET /']",
            "retry.methods: `GET /` is not a method",
        ),
        (
            "[retry]\nwait_duration = '1s'",
            "retry.wait_duration: unknown key; did you mean `base`?",
        ),
        (
            "[breaker]\nfailureRateThreshold = 50",
            "breaker.failureRateThreshold: unknown key; did you mean `failure_rate`?",
        ),
        (
            "[breaker]\nfailure-rate-threshold = 50",
            "breaker.failure-rate-threshold: unknown key; did you mean `failure_rate`?",
        ),
        (
            "[breaker]\nslow-call-rate = 50",
            "breaker.slow-call-rate: unknown key; did you mean `slow_call_rate`?",
        ),
        (
            "[retry]\nmaxAttempts = 3",
            "retry.maxAttempts: unknown key; did you mean `max_attempts`?",
        ),
        (
            "[breaker]\nsize = 0",
            "breaker.size: 0 is outside 1 to 100000",
        ),
        (
            "[breaker]\nwindow = 'time'\nsize = 3601",
            "breaker.size: 3601 is outside 1 to 3600",
        ),
        (
            "[breaker]\nfailure_rate = 0",
            "breaker.failure_rate: 0.0 is not above 0 and up to 100",
        ),
        (
            "[breaker]\nfailure_rate = 'high'",
            "breaker.failure_rate: is a text, expected a number",
        ),
        (
            "[breaker]\nslow_call_rate = 100.1",
            "breaker.slow_call_rate: 100.1 is not above 0 and up to 100",
        ),
        (
            "[breaker]\nwait_cap = '1s'",
            "breaker.wait_cap: 1s is outside 1m to 24h",
        ),
        (
            "[breaker]\nsliding_window_size = 5",
            "breaker.sliding_window_size: unknown key; did you mean `size`?",
        ),
        (
            "[breaker]\nautomatic_transition = 1",
            "breaker.automatic_transition: is a number, expected true or false",
        ),
        (
            "[fallback]\nkind = 'stale'",
            "fallback.kind: `stale` is unknown; known are \"empty\", \"upstream\"",
        ),
    ];
    for (text, problem) in cases {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            found[0].ends_with(problem),
            "{text}:\n{}\n{problem}",
            found[0]
        );
    }
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let found = problems("[retry]\nmax_attempts = = 3");

    assert!(found[0].starts_with("line 2: "), "{found:?}");
}

#[test]
fn a_smaller_count_window_lowers_the_usual_minimum() {
    let minimum = |text| {
        Policy::from_toml("test", text)
            .unwrap()
            .breaker
            .unwrap()
            .minimum_calls
    };

    assert_eq!(minimum("[breaker]\nsize = 5"), 5);
    assert_eq!(minimum("[breaker]\nwindow = 'time'\nsize = 5"), 100);
}

#[test]
fn a_policy_put_together_in_code_is_checked_as_well() {
    let mut policy = Policy::none("test");
    policy.timeout.attempt = Some(Duration::from_micros(1500));
    policy.breaker = Some(BreakerPolicy {
        size: 0,
        ..BreakerPolicy::default()
    });

    let refused = Client::new("upstream", policy, Setup::default()).unwrap_err();

    assert_eq!(
        refused.to_string(),
        "policy `test` is not valid\n  \
         timeout.attempt: 1.5ms is finer than a millisecond\n  \
         breaker.size: 0 is outside 1 to 100000"
    );
}

#[test]
fn to_ignore_wins() {
    let text = "[retry]\non_status = '5xx'\nignore_status = 501\n\
                [breaker]\nignore_status = 501\nignore_error = 'protocol'";
    let policy = Policy::from_toml("test", text).unwrap();
    let (retry, breaker) = (policy.retry.unwrap(), policy.breaker.unwrap());

    assert!(retry.retries(Outcome::Status(500)));
    assert!(!retry.retries(Outcome::Status(501)));
    assert!(!retry.retries(Outcome::Ignored));
    assert_eq!(breaker.verdict(Outcome::Status(500)), Verdict::Failure);
    assert_eq!(breaker.verdict(Outcome::Status(501)), Verdict::Ignored);
    assert_eq!(breaker.verdict(Outcome::Status(404)), Verdict::Success);
    assert_eq!(
        breaker.verdict(Outcome::Error(ErrorKind::Reset)),
        Verdict::Failure
    );
    assert_eq!(
        breaker.verdict(Outcome::Error(ErrorKind::Protocol)),
        Verdict::Ignored
    );
    assert_eq!(breaker.verdict(Outcome::Ignored), Verdict::Ignored);
}

proptest! {
    #[test]
    fn no_text_stops_the_reader(text in "\\PC*") {
        drop(Policy::from_toml("test", &text));
    }

    #[test]
    fn no_value_stops_the_reader(
        key in "[a-z_]{1,12}",
        value in prop_oneof!["-?[0-9]{1,25}", "[0-9]+\\.[0-9]+", "\"\\PC{0,20}\"", "\\[[0-9,]{0,9}\\]"],
    ) {
        for section in ["timeout", "retry", "breaker", "fallback"] {
            drop(Policy::from_toml("test", &format!("[{section}]\n{key} = {value}")));
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_policy(
        attempt in prop::option::of(1u64..3_600_000),
        base in 0u64..3_600_000,
        multiplier in 1.0f64..10.0,
        factor in 0.0f64..=1.0,
        rate in 0.001f32..=100.0,
        statuses in prop::collection::vec(100u16..600, 0..20),
        (size, wait) in (1u32..100_000, 1u64..86_400_000),
    ) {
        let words: Vec<_> = statuses.iter().map(u16::to_string).collect();
        let mut policy = Policy::none("test");
        policy.timeout.attempt = attempt.map(Duration::from_millis);
        policy.retry = Some(RetryPolicy {
            backoff: Backoff {
                base: Duration::from_millis(base),
                growth: Growth::Exponential { multiplier, cap: None },
                jitter: Jitter::Randomized { factor },
            },
            ..RetryPolicy::default()
        });
        policy.breaker = Some(BreakerPolicy {
            size,
            minimum_calls: size,
            failure_rate: rate,
            wait: Duration::from_millis(wait),
            ..BreakerPolicy::default()
        });
        policy.fallback = Some(FallbackPolicy {
            on_status: StatusSet::from_words(words.iter().map(String::as_str)).unwrap(),
            ..FallbackPolicy::default()
        });

        prop_assert_eq!(Policy::from_toml("test", &policy.to_toml()), Ok(policy));
    }
}
