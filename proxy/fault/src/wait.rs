//! Spans of time that are drawn: fixed, or from a distribution.

use std::{sync::Arc, time::Duration};

use rand_distr::{Distribution, Exp, LogNormal, Normal, Pareto};
use serde_json::{Value, json};

use crate::{
    read::{Object, Problem, expected, one_or_many},
    roll::Roll,
    units::{duration, duration_up_to, show_duration},
    written::written,
};

/// A span of time, drawn anew for each request. The keys it is written with choose its form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wait {
    form: Form,
    /// What no draw is longer than, where the form has no end of its own.
    cap: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Fixed(Duration),
    Uniform {
        min: Duration,
        max: Duration,
    },
    Percentiles {
        p50: Duration,
        p99: Duration,
        curve: LogNormal<f64>,
    },
    LogNormal {
        median: Duration,
        sigma: f64,
        curve: LogNormal<f64>,
    },
    Normal {
        mean: Duration,
        sd: Duration,
        curve: Normal<f64>,
    },
    Exponential {
        mean: Duration,
        curve: Exp<f64>,
    },
    Pareto {
        scale: Duration,
        shape: f64,
        curve: Pareto<f64>,
    },
    Samples {
        samples: Arc<[Duration]>,
        times: f64,
    },
}

/// The forms: which keys go together. All curves are of nanoseconds.
const FORMS: [&[&str]; 8] = [
    &["value"],
    &["min", "max"],
    &["p50", "p99"],
    &["median", "sigma"],
    &["mean", "sd"],
    &["mean"],
    &["scale", "shape"],
    &["samples"],
];

impl Wait {
    /// The longest wait that can be asked for.
    pub(crate) const MAX: Duration = Duration::from_secs(60 * 60);
    /// Where a tail is cut when `cap` is left out.
    const CAP: Duration = Duration::from_secs(30);
    /// The quantile of the standard normal distribution at 0.99.
    const Z99: f64 = 2.326_347_874_040_841;
    /// Draws above the cap are repeated this often, then cut (`WireMock`'s rule).
    const RESAMPLES: usize = 10;
    const SAMPLES_MAX: usize = 10_000;
    /// The keys of all forms.
    pub(crate) const KEYS: [&'static str; 13] = [
        "value", "min", "max", "p50", "p99", "median", "sigma", "mean", "sd", "scale", "shape",
        "samples", "times",
    ];
    const HINT: &'static str = "give one of: `value`; `min` and `max`; `p50` and `p99`; `median` and `sigma`; \
        `mean` and `sd`; `mean`; `scale` and `shape`; `samples`; or write it as \"250ms\"";

    /// A wait of one length.
    pub(crate) fn fixed(value: &Value) -> Result<Self, Problem> {
        Ok(Self {
            form: Form::Fixed(duration_up_to(Self::MAX)(value)?),
            cap: None,
        })
    }

    /// Reads a text, or an object of nothing but a form and `cap`.
    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        if !value.is_object() {
            return Self::fixed(value);
        }
        let object = Object::new(value)?;
        let known: Vec<&str> = Self::KEYS.iter().copied().chain(["cap"]).collect();
        object.only(&known)?;
        Self::from_object(&object)
    }

    /// Reads a form and `cap` from an object that may have other keys as well.
    pub(crate) fn from_object(object: &Object<'_>) -> Result<Self, Problem> {
        let given: Vec<&str> = object
            .keys()
            .filter(|key| Self::KEYS.contains(key) && *key != "times")
            .collect();
        let is = |form: &&&[&str]| {
            form.len() == given.len() && form.iter().all(|key| given.contains(key))
        };
        let Some(keys) = FORMS.iter().find(is) else {
            // Half of a pair: name the half that is missing.
            let half = |form: &&[&'static str]| match (form, given.as_slice()) {
                ([one, other], [half]) if one == half => Some((*one, *other)),
                ([one, other], [half]) if other == half => Some((*other, *one)),
                _ => None,
            };
            if let Some((given, missing)) = FORMS.iter().find_map(half) {
                return Err(Problem::at(
                    missing,
                    format!("is required beside `{given}`"),
                ));
            }
            return Err(Problem::here(Self::HINT));
        };
        let cap = object.optional("cap", duration_up_to(Self::MAX))?;
        let form = Form::read(keys, object, cap.unwrap_or(Self::CAP))?;
        if object.has("times") && !matches!(form, Form::Samples { .. }) {
            return Err(Problem::at("times", "goes with `samples` only"));
        }
        if form.has_an_end() {
            return match cap {
                None => Ok(Self { form, cap: None }),
                Some(_) => Err(Problem::at(
                    "cap",
                    "goes with a wait without a longest one only",
                )),
            };
        }
        Ok(Self {
            form,
            cap: Some(cap.unwrap_or(Self::CAP)),
        })
    }

    /// The members it is written with.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'static str, Option<Value>)> {
        let show = |span: &Duration| Some(json!(show_duration(*span)));
        let mut members: Vec<(&'static str, Option<Value>)> = match &self.form {
            Form::Fixed(value) => vec![("value", show(value))],
            Form::Uniform { min, max } => vec![("min", show(min)), ("max", show(max))],
            Form::Percentiles { p50, p99, .. } => vec![("p50", show(p50)), ("p99", show(p99))],
            Form::LogNormal { median, sigma, .. } => {
                vec![("median", show(median)), ("sigma", Some(json!(sigma)))]
            }
            Form::Normal { mean, sd, .. } => vec![("mean", show(mean)), ("sd", show(sd))],
            Form::Exponential { mean, .. } => vec![("mean", show(mean))],
            Form::Pareto { scale, shape, .. } => {
                vec![("scale", show(scale)), ("shape", Some(json!(shape)))]
            }
            Form::Samples { samples, times } => {
                let samples: Vec<String> = samples.iter().copied().map(show_duration).collect();
                vec![
                    ("samples", Some(json!(samples))),
                    ("times", Some(json!(times))),
                ]
            }
        };
        members.push(("cap", self.cap.as_ref().and_then(show)));
        members.into_iter()
    }

    /// The form in which it is written by itself.
    pub(crate) fn to_value(&self) -> Value {
        written(self.members())
    }

    /// Draws one.
    pub(crate) fn draw(&self, roll: &mut Roll) -> Duration {
        let Some(cap) = self.cap else {
            return self.form.draw(roll);
        };
        let draws = std::iter::repeat_with(|| self.form.draw(roll));
        let mut below = draws.take(Self::RESAMPLES + 1).filter(|wait| *wait <= cap);
        below.next().unwrap_or(cap)
    }
}

impl Form {
    fn read(keys: &[&str], object: &Object<'_>, cap: Duration) -> Result<Self, Problem> {
        let span = duration_up_to(Wait::MAX);
        // A central value above the cap would be cut to the cap every time.
        let below_cap = |key: &'static str| {
            let span = object.required(key, &span)?;
            if span > cap {
                let detail = format!("is above cap ({})", show_duration(cap));
                return Err(Problem::at(key, detail));
            }
            Ok(span)
        };
        let number = |key: &'static str, max: f64| {
            object.required(key, |value| match value.as_f64() {
                Some(number) if number > 0.0 && number <= max => Ok(number),
                _ => Err(Problem::here(format!(
                    "must be a number above 0 and up to {max}"
                ))),
            })
        };
        match keys {
            ["value"] => Ok(Self::Fixed(object.required("value", span)?)),
            ["min", "max"] => {
                // From 0: a uniform wait may start at nothing.
                let min = object.required("min", duration)?;
                let max = object.required("max", span)?;
                if min > max {
                    let detail = format!("is below min ({})", show_duration(min));
                    return Err(Problem::at("max", detail));
                }
                Ok(Self::Uniform { min, max })
            }
            ["p50", "p99"] => {
                let p50 = object.required("p50", &span)?;
                let p99 = object.required("p99", &span)?;
                if p99 < p50 {
                    let detail = format!("is below p50 ({})", show_duration(p50));
                    return Err(Problem::at("p99", detail));
                }
                let p99 = below_cap("p99").and(Ok(p99))?;
                let sigma = (nanos(p99) / nanos(p50)).ln() / Wait::Z99;
                let curve = LogNormal::new(nanos(p50).ln(), sigma)
                    .expect("both are finite and sigma is not negative, as p99 >= p50 > 0");
                Ok(Self::Percentiles { p50, p99, curve })
            }
            ["median", "sigma"] => {
                let median = below_cap("median")?;
                let sigma = number("sigma", 10.0)?;
                let curve = LogNormal::new(nanos(median).ln(), sigma)
                    .expect("both are finite and sigma is above 0");
                Ok(Self::LogNormal {
                    median,
                    sigma,
                    curve,
                })
            }
            ["mean", "sd"] => {
                let (mean, sd) = (below_cap("mean")?, object.required("sd", span)?);
                let curve = Normal::new(nanos(mean), nanos(sd)).expect("both are finite");
                Ok(Self::Normal { mean, sd, curve })
            }
            ["mean"] => {
                let mean = below_cap("mean")?;
                let curve = Exp::new(1.0 / nanos(mean)).expect("the mean is above 0");
                Ok(Self::Exponential { mean, curve })
            }
            ["scale", "shape"] => {
                let scale = below_cap("scale")?;
                let shape = number("shape", 100.0)?;
                let curve = Pareto::new(nanos(scale), shape).expect("both are above 0");
                Ok(Self::Pareto {
                    scale,
                    shape,
                    curve,
                })
            }
            _ => {
                let samples = object.required("samples", samples)?;
                let times = match object.has("times") {
                    true => number("times", 1_000.0)?,
                    false => 1.0,
                };
                Ok(Self::Samples {
                    samples: samples.into(),
                    times,
                })
            }
        }
    }

    fn has_an_end(&self) -> bool {
        matches!(
            self,
            Self::Fixed(_) | Self::Uniform { .. } | Self::Samples { .. }
        )
    }

    fn draw(&self, roll: &mut Roll) -> Duration {
        match self {
            Self::Fixed(value) => *value,
            Self::Uniform { min, max } => {
                let spread = u64::try_from((*max - *min).as_nanos())
                    .expect("an hour of nanoseconds fits in 64 bits");
                *min + Duration::from_nanos(roll.up_to(spread))
            }
            Self::Percentiles { curve, .. } | Self::LogNormal { curve, .. } => {
                from_nanos(curve.sample(roll))
            }
            Self::Normal { curve, .. } => from_nanos(curve.sample(roll).max(0.0)),
            Self::Exponential { curve, .. } => from_nanos(curve.sample(roll)),
            Self::Pareto { curve, .. } => from_nanos(curve.sample(roll)),
            Self::Samples { samples, times } => {
                let last = samples.len().saturating_sub(1) as u64;
                let at = usize::try_from(roll.up_to(last)).unwrap_or(0);
                from_nanos(nanos(samples[at]) * times).min(Wait::MAX)
            }
        }
    }
}

fn samples(value: &Value) -> Result<Vec<Duration>, Problem> {
    if !value.is_array() {
        return Err(expected("a list of durations", value));
    }
    let samples = one_or_many(|value| match duration(value)? {
        span if span > Wait::MAX => Err(Problem::here("is above 1h")),
        span => Ok(span),
    })(value)?;
    if samples.len() > Wait::SAMPLES_MAX {
        return Err(Problem::here("has more than 10000 samples"));
    }
    Ok(samples)
}

fn nanos(span: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "an hour of nanoseconds fits in 53 bits"
    )]
    let nanos = span.as_nanos() as f64;
    nanos
}

fn from_nanos(nanos: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float-to-integer cast saturates, and nothing here is negative"
    )]
    Duration::from_nanos(nanos.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roll::Dice;

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn waits(spec: Value, count: u64) -> Vec<Duration> {
        let wait = Wait::read(&spec).unwrap();
        assert_eq!(Wait::read(&wait.to_value()), Ok(wait.clone()), "{spec}");
        let dice = Dice::new(42, "latency-1");
        let mut waits: Vec<Duration> = (0..count).map(|n| wait.draw(&mut dice.roll(n))).collect();
        waits.sort();
        waits
    }

    /// Seconds at some percentiles of 100,000 draws.
    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn check(spec: Value, wanted: &[(usize, f64)]) {
        let drawn = waits(spec.clone(), 100_000);
        for (percentile, seconds) in wanted {
            let found = drawn[percentile * 1_000].as_secs_f64();
            let error = (found / seconds - 1.0).abs();
            assert!(
                error < 0.03,
                "{spec}: p{percentile} is {found} s, not {seconds} s"
            );
        }
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
    fn each_distribution_has_its_percentiles() {
        check(
            json!({ "p50": "120ms", "p99": "900ms" }),
            &[(50, 0.12), (99, 0.9)],
        );
        // ln(0.9 / 0.12) / 2.326 is 0.866.
        check(
            json!({ "median": "120ms", "sigma": 0.866 }),
            &[(50, 0.12), (99, 0.9)],
        );
        // A normal one has 84.13 % below one sd above the mean.
        check(
            json!({ "mean": "200ms", "sd": "50ms" }),
            &[(16, 0.150_3), (50, 0.2), (84, 0.249_7)],
        );
        // ln 2 and ln 100 times the mean.
        check(json!({ "mean": "100ms" }), &[(50, 0.069_31), (99, 0.460_5)]);
        // 2^(1/2) and 100^(1/2) times the scale.
        check(
            json!({ "scale": "10ms", "shape": 2.0 }),
            &[(50, 0.014_14), (99, 0.1)],
        );
        check(
            json!({ "samples": ["10ms", "20ms"], "times": 3.0 }),
            &[(25, 0.03), (75, 0.06)],
        );
    }

    #[test]
    fn no_wait_is_negative_or_above_the_cap() {
        let normal = waits(json!({ "mean": "10ms", "sd": "100ms" }), 10_000);
        assert_eq!(normal[0], Duration::ZERO);

        let capped = waits(
            json!({ "p50": "10ms", "p99": "90ms", "cap": "90ms" }),
            100_000,
        );
        assert!(capped[99_999] <= Duration::from_millis(90));
        let pareto = waits(json!({ "scale": "1s", "shape": 0.1 }), 10_000);
        assert!(pareto[9_999] <= Wait::CAP);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let cases = [
            (
                json!({ "p50": "300ms", "p99": "200ms" }),
                "/p99",
                "is below p50 (300ms)",
            ),
            (
                json!({ "p50": "1s", "p99": "40s" }),
                "/p99",
                "is above cap (30s)",
            ),
            (
                json!({ "mean": "2s", "cap": "1s" }),
                "/mean",
                "is above cap (1s)",
            ),
            (
                json!({ "min": "2s", "max": "1s" }),
                "/max",
                "is below min (2s)",
            ),
            (json!({ "min": "2s" }), "/max", "is required beside `min`"),
            (json!({ "sd": "2s" }), "/mean", "is required beside `sd`"),
            (
                json!({ "median": "1s", "sigma": 0 }),
                "/sigma",
                "must be a number above 0 and up to 10",
            ),
            (
                json!({ "value": "1s", "cap": "2s" }),
                "/cap",
                "goes with a wait without a longest one only",
            ),
            (
                json!({ "value": "1s", "times": 2 }),
                "/times",
                "goes with `samples` only",
            ),
            (
                json!({ "samples": "1s" }),
                "/samples",
                "expected a list of durations, found the text \"1s\"",
            ),
            (json!({ "samples": ["2h"] }), "/samples/0", "is above 1h"),
            (json!({ "value": "1s", "min": "2s" }), "", Wait::HINT),
            (json!({}), "", Wait::HINT),
            (json!("2h"), "", "2h is above 1h"),
            (json!("0s"), "", "must be longer than 0s"),
            (
                json!({ "vlaue": "1s" }),
                "/vlaue",
                "unknown key `vlaue`; did you mean `value`?",
            ),
        ];
        for (value, pointer, detail) in cases {
            let problem = Wait::read(&value).unwrap_err();
            assert_eq!(
                (problem.pointer.as_str(), problem.detail.as_str()),
                (pointer, detail)
            );
        }
    }
}
