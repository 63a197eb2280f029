//! Reading an expectation, with the place of what is wrong.

use std::time::Duration;

use brownout_fault::{
    read::{nearest, unknown},
    units::parse_duration,
};

use super::{
    Condition, Expectation, FaultCounter, Measure, Op, Other, Source, Subject, Threshold,
    measure::{self, Argument, Takes},
};
use crate::experiment::{Predicate, Watch};

/// The longest expectation, in bytes.
const LENGTH_MAX: usize = 300;

/// What an expectation may name.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// What the load is called; none when others make it.
    pub load: Option<String>,
    /// Whether another endpoint is watched, which is called `watch`.
    pub watch: bool,
    /// The routes.
    pub routes: Vec<String>,
    /// The ids of faults.
    pub faults: Vec<String>,
    /// The phases of the file.
    pub phases: Vec<String>,
    /// Whether other runs may be named: the file is one of several that run together.
    pub runs: bool,
}

/// Why a text is no expectation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct WrongExpectation {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What is wrong, and what would be accepted.
    pub detail: String,
}

impl Names {
    fn source(&self, hop: &str) -> Option<Source> {
        if self.load.as_deref() == Some(hop) || (self.watch && hop == Watch::NAME) {
            return Some(Source::Load);
        }
        self.routes
            .iter()
            .any(|it| it == hop)
            .then_some(Source::Route)
    }

    fn hops(&self) -> Vec<&str> {
        let all = self.load.iter().chain(&self.routes);
        let watch = self.watch.then_some(Watch::NAME);
        let mut all: Vec<&str> = all.map(String::as_str).chain(watch).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Expectation {
    /// Reads one expectation.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and the nearest word that is known.
    pub fn parse(text: &str, names: &Names) -> Result<Self, WrongExpectation> {
        if text.len() > LENGTH_MAX {
            return Err(WrongExpectation {
                at: 0,
                detail: format!("is longer than {LENGTH_MAX} bytes"),
            });
        }
        let mut reader = Reader { text, at: 0 };
        let subject = reader.subject(names)?;
        let condition = reader.condition(&subject, names)?;
        let (within, sustained) = reader.time_limit()?;
        reader.end()?;
        if matches!(condition, Condition::Happens) && within.is_none() {
            return Err(reader.wrong("expected `within` and a duration, as in `within 5s`"));
        }
        Ok(Self {
            text: text.trim().to_owned(),
            subject,
            condition,
            within,
            sustained,
        })
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn wrong(&self, detail: impl Into<String>) -> WrongExpectation {
        // What is wrong stands behind the blanks.
        let rest = self.rest();
        self.wrong_at(self.at + rest.len() - rest.trim_start().len(), detail)
    }

    #[expect(clippy::unused_self, reason = "reads like its neighbour")]
    fn wrong_at(&self, at: usize, detail: impl Into<String>) -> WrongExpectation {
        WrongExpectation {
            at,
            detail: detail.into(),
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes `word` if it is what comes next.
    fn take(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest().trim_start().strip_prefix(word) else {
            return false;
        };
        self.at = self.text.len() - rest.len();
        true
    }

    /// Takes what comes next, up to a blank or one of `stops`.
    fn word(&mut self, stops: &[char]) -> &'t str {
        self.skip_blanks();
        let rest = self.rest();
        let end = rest
            .find(|c: char| c.is_whitespace() || stops.contains(&c))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// What stands in brackets; the opening one is taken already.
    fn in_brackets(&mut self) -> Result<(usize, &'t str), WrongExpectation> {
        let begin = self.at;
        let Some(end) = self.rest().find(')') else {
            return Err(self.wrong("expected `)`"));
        };
        self.at += end + 1;
        Ok((begin, &self.text[begin..begin + end]))
    }

    fn subject(&mut self, names: &Names) -> Result<Subject, WrongExpectation> {
        if self.take("fault(") {
            return self.fault(names);
        }
        self.skip_blanks();
        let begin = self.at;
        let rest = self.rest();
        let hops = names.hops();
        // A hop's name may have dots in it: the longest that fits is meant.
        let known = hops.iter().filter(|hop| {
            rest.strip_prefix(**hop)
                .is_some_and(|more| more.starts_with('.'))
        });
        let Some(hop) = known.max_by_key(|hop| hop.len()) else {
            let stops = ['.', ' ', '<', '>', '='];
            let word = rest.split(stops).next().unwrap_or_default();
            let detail = if word.is_empty() {
                "expected a hop and a measure, as in `edge.p99 < 300ms`".to_owned()
            } else if !rest[word.len()..].starts_with('.') {
                format!(
                    "expected `.` and a measure behind `{word}`, as in `{word}.error_rate < 1%`"
                )
            } else {
                unknown("hop", word, &hops)
            };
            return Err(self.wrong_at(begin, detail));
        };
        let source = names.source(hop).expect("it is one of the hops");
        self.at += hop.len() + 1;
        let at = self.at;
        let name = self.word(&['(', '<', '>', '=']);
        let argument = self.argument(name)?;
        let Some(measure) = Measure::named(name, argument, source) else {
            return Err(self.wrong_at(at, unknown_measure(name)));
        };
        if let Some(why) = measure.missing_on(source) {
            return Err(self.wrong_at(at, format!("`{name}` {why}")));
        }
        Ok(Subject::Hop {
            name: (*hop).to_owned(),
            measure,
        })
    }

    fn fault(&mut self, names: &Names) -> Result<Subject, WrongExpectation> {
        let (at, id) = self.in_brackets()?;
        let id = id.trim();
        if !names.faults.iter().any(|it| it == id) {
            let known: Vec<&str> = names.faults.iter().map(String::as_str).collect();
            return Err(self.wrong_at(at, unknown("fault", id, &known)));
        }
        if !self.take(".") {
            return Err(self.wrong("expected `.injected`"));
        }
        let at = self.at;
        let word = self.word(&['<', '>', '=']);
        let Some(counter) = FaultCounter::named(word) else {
            return Err(self.wrong_at(at, unknown("counter", word, &FaultCounter::NAMES)));
        };
        Ok(Subject::Fault {
            id: id.to_owned(),
            counter,
        })
    }

    fn argument(&mut self, name: &str) -> Result<Option<Argument>, WrongExpectation> {
        let takes = measure::takes(name);
        if !self.take("(") {
            return match takes {
                Takes::Nothing => Ok(None),
                Takes::Predicate => Err(self.wrong(format!(
                    "expected what tells a fallback, as in `{name}(header x-degraded)`"
                ))),
                Takes::Duration => {
                    Err(self.wrong(format!("expected a duration, as in `{name}(2s)`")))
                }
            };
        }
        let (at, inside) = self.in_brackets()?;
        match takes {
            Takes::Nothing => Err(self.wrong_at(at, format!("`{name}` takes nothing in brackets"))),
            Takes::Predicate => Predicate::parse(inside)
                .map(|it| Some(Argument::Predicate(it)))
                .map_err(|why| self.wrong_at(at, why)),
            Takes::Duration => parse_duration(inside)
                .map(|it| Some(Argument::Duration(it)))
                .map_err(|why| self.wrong_at(at, why)),
        }
    }

    fn condition(
        &mut self,
        subject: &Subject,
        names: &Names,
    ) -> Result<Condition, WrongExpectation> {
        let measure = match subject {
            Subject::Hop { measure, .. } => Some(measure),
            Subject::Fault { .. } => None,
        };
        if measure.is_some_and(Measure::is_event) {
            return Ok(Condition::Happens);
        }
        if matches!(
            measure,
            Some(Measure::Evidence(super::EvidenceMeasure::Backoff))
        ) {
            return self.form();
        }
        let op = self.op()?;
        self.skip_blanks();
        let at = self.at;
        let word = self.word(&[]);
        if let Some(factor) = word.strip_suffix('x') {
            let factor = factor
                .parse::<f64>()
                .ok()
                .filter(|it| it.is_finite() && *it >= 0.0);
            let Some(factor) = factor else {
                return Err(self.wrong_at(at, format!("`{word}` is no factor; write it like 1.5x")));
            };
            if !self.take("baseline") {
                let other = self.other(names)?;
                let threshold = Threshold::Times(factor, other);
                return Ok(Condition::Compare { op, threshold });
            }
            if measure.is_none() {
                return Err(self.wrong_at(at, "a fault has no baseline: no fault is armed then"));
            }
            let threshold = Threshold::Baseline(factor);
            return Ok(Condition::Compare { op, threshold });
        }
        let unit = measure.map_or(super::Unit::Count, Measure::unit);
        let value = unit.parse(word).map_err(|why| self.wrong_at(at, why))?;
        let threshold = Threshold::Value(value);
        Ok(Condition::Compare { op, threshold })
    }

    /// What stands behind a factor and is not the baseline.
    fn other(&mut self, names: &Names) -> Result<Other, WrongExpectation> {
        self.skip_blanks();
        let (at, rest) = (self.at, self.rest());
        let word = rest.split_whitespace().next().unwrap_or_default();
        if names.phases.iter().any(|it| it == word) {
            self.at += word.len();
            return Ok(Other::Phase(word.to_owned()));
        }
        let hops = names.hops();
        let is_hop = |hop: &&str| {
            word.strip_prefix(*hop)
                .is_some_and(|it| it.starts_with('.'))
        };
        if hops.iter().any(is_hop) {
            return match self.subject(names)? {
                Subject::Hop { name, measure } => Ok(Other::Hop {
                    text: self.text[at..self.at].trim().to_owned(),
                    name,
                    measure,
                }),
                Subject::Fault { .. } => Err(self.wrong_at(at, "expected a hop and a measure")),
            };
        }
        if !names.runs || word.is_empty() {
            let near = nearest(word, &["baseline"]);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(self.wrong_at(
                at,
                format!("expected `baseline`, or a hop and a measure, or an earlier phase{hint}"),
            ));
        }
        self.at += word.len();
        let (run, phase) = match word.split_once('/') {
            Some((run, phase)) => (run, Some(phase.to_owned())),
            None => (word, None),
        };
        Ok(Other::Run(run.to_owned(), phase))
    }

    fn op(&mut self) -> Result<Op, WrongExpectation> {
        const OPS: [Op; 5] = [Op::AtMost, Op::AtLeast, Op::Equal, Op::Less, Op::Greater];
        let found = OPS.into_iter().find(|op| self.take(op.as_str()));
        found.ok_or_else(|| self.wrong("expected one of <, <=, >, >=, =="))
    }

    fn form(&mut self) -> Result<Condition, WrongExpectation> {
        const FORM: &str = "expected `is full_jitter(base 100ms, cap 2s)`";
        if !self.take("is") || !self.take("full_jitter(") {
            return Err(self.wrong(FORM));
        }
        let (at, inside) = self.in_brackets()?;
        let named = |part: Option<&str>, name: &str| -> Result<Duration, WrongExpectation> {
            let value = part.and_then(|it| it.trim().strip_prefix(name));
            let value = value.ok_or_else(|| self.wrong_at(at, FORM))?;
            parse_duration(value).map_err(|why| self.wrong_at(at, why))
        };
        let mut parts = inside.split(',');
        let (base, cap) = (named(parts.next(), "base ")?, named(parts.next(), "cap ")?);
        Ok(Condition::FullJitter { base, cap })
    }

    fn time_limit(&mut self) -> Result<(Option<Duration>, Option<Duration>), WrongExpectation> {
        let is_within = self.take("within");
        let is_for = !is_within && self.take("for");
        if !is_within && !is_for {
            return Ok((None, None));
        }
        self.skip_blanks();
        let at = self.at;
        let span = parse_duration(self.word(&[])).map_err(|why| self.wrong_at(at, why))?;
        if span.is_zero() {
            return Err(self.wrong_at(at, "must be longer than 0s"));
        }
        Ok(if is_within {
            (Some(span), None)
        } else {
            (None, Some(span))
        })
    }

    fn end(&mut self) -> Result<(), WrongExpectation> {
        self.skip_blanks();
        if self.rest().is_empty() {
            return Ok(());
        }
        let at = self.at;
        let word = self.word(&[]);
        let near = nearest(word, &["within", "for", "baseline"]);
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Err(self.wrong_at(at, format!("unexpected `{word}`{hint}")))
    }
}

fn unknown_measure(name: &str) -> String {
    unknown("measure", name, &measure::NAMES)
}

#[cfg(test)]
mod tests;
