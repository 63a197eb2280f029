//! `latency`: each request waits before it is forwarded.

use std::time::Duration;

use rand_distr::{Distribution, LogNormal};
use serde_json::{Value, json};

use super::{Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::Injection,
    read::{Object, Problem},
    roll::Roll,
    units::{duration, duration_up_to, show_duration},
};

/// Holds each request for a while before it is forwarded.
///
/// The wait is drawn once per request, not per chunk of its body, and adds to what the upstream takes itself.
/// A removed fault lets held requests continue at once. Written as `"250ms"`, `{"value"}`, `{"min","max"}`
/// (uniform) or `{"p50","p99"}` (log-normal): the keys choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    wait: Wait,
}

#[derive(Debug, Clone, PartialEq)]
enum Wait {
    Fixed(Duration),
    Uniform {
        min: Duration,
        max: Duration,
    },
    LogNormal {
        p50: Duration,
        p99: Duration,
        cap: Duration,
        /// Of the wait in nanoseconds.
        curve: LogNormal<f64>,
    },
}

impl Latency {
    /// The longest wait that can be asked for.
    pub const MAX: Duration = Duration::from_secs(60 * 60);
    /// Where the tail of a log-normal wait is cut when `cap` is left out.
    pub const CAP: Duration = Duration::from_secs(30);

    /// The quantile of the standard normal distribution at 0.99.
    const Z99: f64 = 2.326_347_874_040_841;
    /// Draws above the cap are repeated this often, then cut (`WireMock`'s rule).
    const RESAMPLES: usize = 10;

    const FORMS: &'static str =
        "give one of: `value`; `min` and `max`; `p50` and `p99`; or write it as \"250ms\"";

    fn wait(object: &Object<'_>) -> Result<Wait, Problem> {
        let given: Vec<&str> = object.keys().filter(|key| *key != "cap").collect();
        let has = |wanted: &[&str]| {
            wanted.iter().all(|key| given.contains(key)) && given.len() == wanted.len()
        };
        let span = duration_up_to(Self::MAX);
        if has(&["p50", "p99"]) {
            return Self::log_normal(object);
        }
        if object.has("cap") {
            return Err(Problem::at("cap", "goes with `p50` and `p99` only"));
        }
        if has(&["value"]) {
            return Ok(Wait::Fixed(object.required("value", span)?));
        }
        if has(&["min", "max"]) {
            // From 0: a uniform wait may start at nothing.
            let min = object.required("min", duration)?;
            let max = object.required("max", span)?;
            if min > max {
                let detail = format!("is below min ({})", show_duration(min));
                return Err(Problem::at("max", detail));
            }
            return Ok(Wait::Uniform { min, max });
        }
        // Half a pair: name the half that is missing.
        for (one, other) in [("min", "max"), ("max", "min"), ("p50", "p99"), ("p99", "p50")] {
            if has(&[one]) {
                return Err(Problem::at(other, format!("is required beside `{one}`")));
            }
        }
        Err(Problem::here(Self::FORMS))
    }

    fn log_normal(object: &Object<'_>) -> Result<Wait, Problem> {
        let span = duration_up_to(Self::MAX);
        let p50 = object.required("p50", &span)?;
        let p99 = object.required("p99", &span)?;
        let cap = object.optional("cap", &span)?.unwrap_or(Self::CAP);
        if p99 < p50 {
            let detail = format!("is below p50 ({})", show_duration(p50));
            return Err(Problem::at("p99", detail));
        }
        if p99 > cap {
            let detail = format!("is above cap ({})", show_duration(cap));
            return Err(Problem::at("p99", detail));
        }
        #[expect(clippy::cast_precision_loss, reason = "an hour of nanoseconds fits in 53 bits")]
        let nanos = |span: Duration| span.as_nanos() as f64;
        let sigma = (nanos(p99) / nanos(p50)).ln() / Self::Z99;
        let curve = LogNormal::new(nanos(p50).ln(), sigma)
            .expect("both are finite and sigma is not negative, as p50 > 0 and p99 >= p50");
        Ok(Wait::LogNormal {
            p50,
            p99,
            cap,
            curve,
        })
    }

    fn draw(&self, roll: &mut Roll) -> Duration {
        match &self.wait {
            Wait::Fixed(value) => *value,
            Wait::Uniform { min, max } => {
                let spread = u64::try_from((*max - *min).as_nanos())
                    .expect("an hour of nanoseconds fits in 64 bits");
                *min + Duration::from_nanos(roll.up_to(spread))
            }
            Wait::LogNormal { cap, curve, .. } => {
                let draws = std::iter::repeat_with(|| from_nanos(curve.sample(roll)));
                let mut below = draws.take(Self::RESAMPLES + 1).filter(|wait| wait <= cap);
                below.next().unwrap_or(*cap)
            }
        }
    }
}

fn from_nanos(nanos: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float-to-integer cast saturates, and nothing here is negative"
    )]
    Duration::from_nanos(nanos.round() as u64)
}

impl FaultKind for Latency {
    const NAME: &'static str = "latency";
    const SUMMARY: &'static str = "holds each request for a while before it is forwarded";
    const PHASE: Phase = Phase::Request;
    const ENDS: bool = false;
    const HOLDS: bool = true;
    const PARAMS: &'static [Param] = &[
        Param {
            name: "value",
            accepts: "duration, up to 1h",
            default: "",
            help: "the same wait for every request; the shorthand \"250ms\" means this",
        },
        Param {
            name: "min",
            accepts: "duration, up to 1h",
            default: "",
            help: "with max: every wait from min to max is equally likely",
        },
        Param {
            name: "max",
            accepts: "duration, up to 1h",
            default: "",
            help: "with min",
        },
        Param {
            name: "p50",
            accepts: "duration, up to 1h",
            default: "",
            help: "with p99: log-normal waits, half of them shorter than this",
        },
        Param {
            name: "p99",
            accepts: "duration, up to 1h",
            default: "",
            help: "with p50: one wait of a hundred is longer than this",
        },
        Param {
            name: "cap",
            accepts: "duration, up to 1h",
            default: "30s",
            help: "no log-normal wait is longer; must not be below p99",
        },
    ];
    const EXAMPLE: &'static str = r#"{"p50":"120ms","p99":"900ms"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let wait = if value.is_object() {
            Self::wait(&params::<Self>(value)?)?
        } else {
            Wait::Fixed(duration_up_to(Self::MAX)(value)?)
        };
        Ok(Self { wait })
    }

    fn to_value(&self) -> Value {
        let show = |span: &Duration| Some(json!(show_duration(*span)));
        match &self.wait {
            Wait::Fixed(value) => written([("value", show(value))]),
            Wait::Uniform { min, max } => written([("min", show(min)), ("max", show(max))]),
            Wait::LogNormal { p50, p99, cap, .. } => {
                written([("p50", show(p50)), ("p99", show(p99)), ("cap", show(cap))])
            }
        }
    }

    fn inject(&self, draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.delay(self.draw(draw.roll));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roll::Dice;

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn waits(spec: Value, count: u64) -> Vec<Duration> {
        let latency = Latency::read(&spec).unwrap();
        let dice = Dice::new(42, "latency-1");
        let mut waits: Vec<Duration> = (0..count).map(|n| latency.draw(&mut dice.roll(n))).collect();
        waits.sort();
        waits
    }

    #[test]
    fn the_shorthand_is_a_fixed_wait() {
        let latency = Latency::read(&json!("250ms")).unwrap();

        assert_eq!(latency.to_value(), json!({ "value": "250ms" }));
        assert_eq!(waits(json!("250ms"), 3), [Duration::from_millis(250); 3]);
    }

    #[test]
    fn uniform_waits_fill_the_range_and_stay_inside() {
        let waits = waits(json!({ "min": "5s", "max": "10s" }), 10_000);

        assert!(waits[0] >= Duration::from_secs(5));
        assert!(waits[9_999] <= Duration::from_secs(10));
        let median = waits[5_000].as_secs_f64();
        assert!((7.4..7.6).contains(&median), "the median is {median} s");
    }

    #[test]
    fn log_normal_waits_have_the_asked_percentiles() {
        let waits = waits(json!({ "p50": "120ms", "p99": "900ms" }), 100_000);

        let (p50, p99) = (waits[50_000].as_secs_f64(), waits[99_000].as_secs_f64());
        assert!((0.118..0.122).contains(&p50), "p50 is {p50} s");
        assert!((0.87..0.93).contains(&p99), "p99 is {p99} s");
    }

    #[test]
    fn no_log_normal_wait_is_above_the_cap() {
        let waits = waits(json!({ "p50": "10ms", "p99": "90ms", "cap": "90ms" }), 100_000);

        assert!(waits[99_999] <= Duration::from_millis(90));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let cases = [
            (json!({ "p50": "300ms", "p99": "200ms" }), "/p99", "is below p50 (300ms)"),
            (json!({ "p50": "1s", "p99": "40s" }), "/p99", "is above cap (30s)"),
            (json!({ "min": "2s", "max": "1s" }), "/max", "is below min (2s)"),
            (json!({ "min": "2s" }), "/max", "is required beside `min`"),
            (json!({ "value": "1s", "cap": "2s" }), "/cap", "goes with `p50` and `p99` only"),
            (json!({ "value": "1s", "min": "2s" }), "", Latency::FORMS),
            (json!({}), "", Latency::FORMS),
            (json!("2h"), "", "2h is above 1h"),
            (json!("0s"), "", "must be longer than 0s"),
            (json!({ "vlaue": "1s" }), "/vlaue", "unknown key `vlaue`; did you mean `value`?"),
        ];
        for (value, pointer, detail) in cases {
            let problem = Latency::read(&value).unwrap_err();
            assert_eq!((problem.pointer.as_str(), problem.detail.as_str()), (pointer, detail));
        }
    }
}
