//! The breaker against test vectors that pass on the real resilience4j.
//!
//! A line is `ID title | config | steps`.
//!
//! Config: `type=count|time size min fr sr slow_ms permitted wait_ms wait_exp=INITIAL_MS:MULTIPLIER auto max_ho_ms
//! ho_to initial phase`, with resilience4j's defaults; `phase` is how many ms past a whole second the line starts.
//!
//! Steps: `ok err bad soft ign` is a call that must be admitted and succeeds, fails, brings a result that is a failure,
//! fails with an unlisted error, fails with an ignored one; `:D` is how many ms it takes, `*N` repeats; `rej` must be
//! refused; `acq` is admitted and left in flight, `done:X` ends the oldest of these, `drop` cancels it; `@N` lets N ms
//! pass; `to:S` goes to a state, `no:S` must be refused, `tofor:MS` opens for so long, `reset` resets; `=STATE` and the
//! `fr sr buf fail slow sf np` after it are checks, -1 for no rate.

use std::{collections::VecDeque, fs, time::Duration};

use brownout_resilience::{
    Breaker, Metrics, Permit, Setup, State, Verdict,
    policy::{AfterMaxWait, BreakerPolicy, WindowKind},
};
use tokio::time::{Instant, advance};

const OURS: &str = include_str!("../vectors/breaker.txt");

#[tokio::test(start_paused = true)]
async fn all_vectors_pass() {
    assert_eq!(run_all(OURS).await, 42);
}

#[tokio::test(start_paused = true)]
async fn vectors_from_the_environment_pass() {
    #[expect(
        clippy::disallowed_methods,
        reason = "further vectors can be fed to this test"
    )]
    let file = std::env::var("BREAKER_VECTORS");
    if let Ok(file) = file {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_ne!(run_all(&text).await, 0, "{file} holds no vectors");
    }
}

/// Runs every line, then fails with all that went wrong; gives back how many there were.
async fn run_all(text: &str) -> usize {
    let lines = text.lines().map(str::trim);
    let vectors: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut wrong = Vec::new();
    for vector in &vectors {
        if let Err(why) = run(vector).await {
            wrong.push(format!("{why}\n    in {vector}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} fail:\n{}",
        wrong.len(),
        vectors.len(),
        wrong.join("\n")
    );
    vectors.len()
}

async fn run(vector: &str) -> Result<(), String> {
    let mut parts = vector.splitn(3, '|').map(str::trim);
    let mut part = || parts.next().ok_or("needs three parts");
    let (_title, config, steps) = (part()?, part()?, part()?);
    let (policy, phase) = read_config(config)?;

    let epoch = Instant::now();
    advance(ms(phase)).await;
    let setup = Setup {
        epoch: Some(epoch),
        ..Setup::default()
    };
    let breaker = Breaker::new("vector", &policy, setup).map_err(|error| error.to_string())?;

    let mut flying = VecDeque::new();
    for (n, step) in steps
        .split_whitespace()
        .filter(|step| *step != ";")
        .enumerate()
    {
        let (step, times) = match step.split_once('*') {
            Some((step, times)) => (step, parse(times)?),
            None => (step, 1),
        };
        for _ in 0..times {
            take(&breaker, step, &mut flying)
                .await
                .map_err(|why| format!("step {} `{step}`: {why}", n + 1))?;
        }
    }
    Ok(())
}

async fn take<'b>(
    breaker: &'b Breaker,
    step: &str,
    flying: &mut VecDeque<Permit<'b>>,
) -> Result<(), String> {
    if let Some(pause) = step.strip_prefix('@') {
        advance(ms(parse(pause)?)).await;
        return Ok(());
    }
    if let Some(name) = step.strip_prefix('=') {
        return expect(breaker.state(), state(name)?);
    }
    if let Some((key, value)) = step.split_once('=') {
        return check(&breaker.metrics(), key, value);
    }
    let (word, argument) = step.split_once(':').unwrap_or((step, ""));
    match word {
        "rej" => match breaker.try_acquire() {
            Err(_) => Ok(()),
            Ok(permit) => Err(format!("admitted in {}", permit.state())),
        },
        "acq" => {
            flying.push_back(breaker.try_acquire().map_err(|it| it.to_string())?);
            Ok(())
        }
        "drop" => flying
            .pop_front()
            .map(drop)
            .ok_or("nothing in flight".into()),
        "done" => {
            let permit = flying.pop_front().ok_or("nothing in flight")?;
            finish(permit, argument).await
        }
        "to" => breaker
            .transition_to(state(argument)?)
            .map_err(|it| it.to_string()),
        "no" => match breaker.transition_to(state(argument)?) {
            Err(_) => Ok(()),
            Ok(()) => Err("was not refused".into()),
        },
        "tofor" => breaker
            .open_for(ms(parse(argument)?))
            .map_err(|it| it.to_string()),
        "reset" => {
            breaker.reset();
            Ok(())
        }
        _ => {
            let permit = breaker.try_acquire().map_err(|it| it.to_string())?;
            finish(permit, step).await
        }
    }
}

/// Ends a call: `ok`, or `err:500` after 500 ms.
async fn finish(permit: Permit<'_>, how: &str) -> Result<(), String> {
    let (word, took) = how.split_once(':').unwrap_or((how, "0"));
    let verdict = match word {
        "ok" | "soft" => Verdict::Success,
        "err" | "bad" => Verdict::Failure,
        "ign" => Verdict::Ignored,
        _ => return Err("unknown step".into()),
    };
    advance(ms(parse(took)?)).await;
    permit.record(verdict);
    Ok(())
}

fn check(metrics: &Metrics, key: &str, value: &str) -> Result<(), String> {
    let rate = |actual: Option<f32>| {
        let (actual, expected) = (actual.unwrap_or(-1.0), parse::<f32>(value)?);
        if (actual - expected).abs() < 0.01 {
            Ok(())
        } else {
            Err(format!("is {actual}"))
        }
    };
    let count = |actual: u64| expect(actual, parse(value)?);
    match key {
        "fr" => rate(metrics.failure_rate),
        "sr" => rate(metrics.slow_call_rate),
        "buf" => count(metrics.buffered_calls.into()),
        "fail" => count(metrics.failed_calls.into()),
        "slow" => count(metrics.slow_calls.into()),
        "sf" => count(metrics.slow_failed_calls.into()),
        "np" => count(metrics.not_permitted_calls),
        _ => Err("unknown check".into()),
    }
}

fn read_config(text: &str) -> Result<(BreakerPolicy, u64), String> {
    let mut policy = BreakerPolicy::default();
    let mut phase = 0;
    for setting in text.split_whitespace() {
        let (key, value) = setting.split_once('=').ok_or(format!("`{setting}`"))?;
        match key {
            "type" if value == "count" => policy.window = WindowKind::Count,
            "type" if value == "time" => policy.window = WindowKind::Time,
            "size" => policy.size = parse(value)?,
            "min" => policy.minimum_calls = parse(value)?,
            "fr" => policy.failure_rate = parse(value)?,
            "sr" => policy.slow_call_rate = parse(value)?,
            "slow_ms" => policy.slow_call_duration = ms(parse(value)?),
            "permitted" => policy.probes = parse(value)?,
            "wait_ms" => policy.wait = ms(parse(value)?),
            "wait_exp" => {
                let (initial, multiplier) = value.split_once(':').ok_or("needs a multiplier")?;
                policy.wait = ms(parse(initial)?);
                policy.wait_multiplier = parse(multiplier)?;
            }
            "auto" => policy.automatic_transition = value == "1",
            "max_ho_ms" => {
                policy.max_wait_in_half_open = Some(ms(parse(value)?)).filter(|it| !it.is_zero());
            }
            "ho_to" if value == "OPEN" => policy.after_max_wait = AfterMaxWait::Open,
            "ho_to" if value == "CLOSED" => policy.after_max_wait = AfterMaxWait::Closed,
            "initial" => policy.initial_state = state(value)?,
            "phase" => phase = parse(value)?,
            _ => return Err(format!("unknown config `{setting}`")),
        }
    }
    if policy.window == WindowKind::Count {
        // resilience4j lowers it silently; ours refuses.
        policy.minimum_calls = policy.minimum_calls.min(policy.size);
    }
    Ok((policy, phase))
}

fn state(name: &str) -> Result<State, String> {
    Ok(match name {
        "CLOSED" => State::Closed,
        "OPEN" => State::Open,
        "HALF_OPEN" => State::HalfOpen,
        "DISABLED" => State::Disabled,
        "FORCED_OPEN" => State::ForcedOpen,
        "METRICS_ONLY" => State::MetricsOnly,
        _ => return Err(format!("unknown state `{name}`")),
    })
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn expect<T: Copy + PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    Err(format!("is {actual:?}, expected {expected:?}"))
}
