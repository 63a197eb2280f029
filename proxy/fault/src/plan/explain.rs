//! What each armed fault would do to a request, and why: without doing it, and without counting anything.

use std::{fmt, time::Instant};

use super::{ArmedFault, FaultPlan, group_position::GroupPosition};
use crate::{
    faults::AtListener,
    matcher::{Fit, Knowledge, Per},
    phase::Phase,
    schedule::Burst,
    subject::Subject,
};

/// What one armed fault would do to one request, if it came now.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The fault's id.
    pub id: String,
    /// The name of its kind.
    pub kind: &'static str,
    /// Where it acts.
    pub phase: Phase,
    /// What it would do.
    pub verdict: Verdict,
    /// The share of such requests that it hits, from 0 to 1; `None` when that cannot be told.
    pub share: Option<f64>,
    /// The reason, as a sentence without a full stop.
    pub why: String,
}

/// What a fault would do to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It acts on every such request.
    Acts,
    /// It acts on some of them.
    ByChance,
    /// It lets it pass.
    Passes,
    /// That depends on what is not known.
    Unknown,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acts => "acts",
            Self::ByChance => "by_chance",
            Self::Passes => "passes",
            Self::Unknown => "unknown",
        }
    }
}

/// What an earlier fault does to those behind it: it ends the exchange.
#[derive(Debug)]
struct Ending {
    id: String,
    phase: Phase,
    /// Not only by chance.
    is_certain: bool,
}

type Answer = (Verdict, Option<f64>, String);

fn passes(why: impl fmt::Display) -> Answer {
    (Verdict::Passes, Some(0.0), why.to_string())
}

impl FaultPlan {
    /// What the faults on the route of `subject` that act on requests would do to it, in the order in which they are asked.
    pub(crate) fn explain(
        &self,
        subject: &Subject<'_>,
        knowledge: Knowledge,
        now: Instant,
    ) -> Vec<Explained> {
        let mut endings: Vec<Ending> = Vec::new();
        let here = self.requests.on(subject.route).iter();
        here.map(|planned| {
            let fault = &*planned.fault;
            let (verdict, share, why) =
                fault.explain(&planned.position, subject, knowledge, now, &endings);
            if fault.spec().fault.ends() && verdict != Verdict::Passes {
                endings.push(Ending {
                    id: fault.id().to_owned(),
                    phase: fault.phase(),
                    is_certain: verdict == Verdict::Acts,
                });
            }
            fault.explained(verdict, share, why)
        })
        .collect()
    }
}

impl ArmedFault {
    /// Why a fault that is not asked about requests of `route` lets them pass.
    pub(crate) fn explain_elsewhere(&self, route: &str) -> Explained {
        let spec = self.spec();
        let why = if !spec.route.include(route) {
            format!("it is not for the route `{route}`")
        } else {
            match spec.fault.at_listener() {
                Some(AtListener::Refuse) => {
                    "it acts on the listener: connections are refused before there is a request"
                }
                Some(AtListener::Ignore) => {
                    "it acts on the listener: nobody answers those who connect, so there is no request"
                }
                None => "it acts on the bytes of connections, not on requests",
            }
            .to_owned()
        };
        self.explained(Verdict::Passes, Some(0.0), why)
    }

    fn explained(&self, verdict: Verdict, share: Option<f64>, why: String) -> Explained {
        Explained {
            id: self.id().to_owned(),
            kind: self.kind(),
            phase: self.phase(),
            verdict,
            share,
            why,
        }
    }

    fn explain(
        &self,
        position: &GroupPosition,
        subject: &Subject<'_>,
        knowledge: Knowledge,
        now: Instant,
        endings: &[Ending],
    ) -> Answer {
        let spec = self.spec();
        let fit = spec.matching.conditions().fit(subject, knowledge);
        if let Fit::Differs(key) = fit {
            return passes(format_args!("its match does not fit: `{key}` differs"));
        }
        if let Some(why) = self.is_off(position, now) {
            return passes(why);
        }
        if self.counters().is_spent(spec.limit) {
            return passes("it is spent: its `limit` is used up");
        }
        let ends = spec.fault.ends();
        let comes_too_late = |ending: &&Ending| ends || self.phase() > ending.phase;
        let mut before = endings.iter().filter(comes_too_late);
        if let Some(ending) = before.clone().find(|ending| ending.is_certain) {
            return passes(format_args!(
                "it comes too late: `{}` ends the exchange before",
                ending.id
            ));
        }
        if let Fit::Unknown(keys) = fit {
            let keys = keys.join("`, `");
            let why = format!("what its match asks of `{keys}` is not known of this request");
            return (Verdict::Unknown, None, why);
        }
        let (mut share, mut conditions) = self.chance(position, subject, now);
        if let Some(ending) = before.next() {
            let id = &ending.id;
            conditions.push(format!("only if `{id}` has not ended the exchange before"));
        }
        if let Some(condition) = spec.fault.condition() {
            conditions.push(format!("only {condition}"));
            share = None;
        }
        if spec.fault.holds() && self.counters().counters().active >= spec.max_active {
            let max = spec.max_active;
            return passes(format_args!(
                "it holds {max} requests, which is its `max_active`"
            ));
        }
        let verdict = match (share, conditions.is_empty()) {
            (Some(0.0), _) => Verdict::Passes,
            (_, true) => Verdict::Acts,
            (_, false) => Verdict::ByChance,
        };
        let why = match conditions.is_empty() {
            true => "it fits and acts on every match".to_owned(),
            false => format!("it fits; {}", conditions.join("; ")),
        };
        (verdict, share, why)
    }

    /// Why time keeps it off.
    fn is_off(&self, position: &GroupPosition, now: Instant) -> Option<String> {
        let lifetime = self.lifetime();
        if let Some(wait) = lifetime.starts_at.instant.checked_duration_since(now)
            && !wait.is_zero()
        {
            let seconds = wait.as_secs_f64();
            return Some(format!("its `start` is still to come, in {seconds:.1} s"));
        }
        if lifetime.is_over(now) {
            return Some("its `ttl` is over".to_owned());
        }
        match self.intensity(now, position) {
            Some(_) => None,
            None => {
                let keys: Vec<&str> = self.spec().schedule.members().map(|(key, _)| key).collect();
                Some(format!(
                    "its schedule keeps it off now (`{}`)",
                    keys.join("`, `")
                ))
            }
        }
    }

    /// The share of matches that it hits, and what that depends on.
    fn chance(
        &self,
        position: &GroupPosition,
        subject: &Subject<'_>,
        now: Instant,
    ) -> (Option<f64>, Vec<String>) {
        let spec = self.spec();
        let mut conditions = Vec::new();
        let factor = self.intensity(now, position).map_or(0.0, |it| it.percent);
        let mut share = spec.percent.share() * factor;
        let shown = |share: f64| {
            let percent = (share * 1_000_000.0).round() / 10_000.0;
            let of = match spec.per {
                Per::Connection => "connections",
                _ => "matches",
            };
            format!("{percent} % of {of} are hit")
        };
        if share < 1.0 {
            conditions.push(match factor < 1.0 {
                true => format!("{}, as its ramp stands now", shown(share)),
                false => shown(share),
            });
        }
        // A connection draws by its number on its route, which neither an imagined request nor a record has.
        let is_keyed = !matches!(spec.per, Per::Request | Per::Connection);
        if is_keyed && share > 0.0 && share < 1.0 {
            let keyed = spec
                .per
                .key(subject, |key| self.dice().keyed_roll(key).draw());
            if let Some(draw) = keyed {
                let is_hit = spec.percent.hits_scaled(draw, factor);
                share = if is_hit { 1.0 } else { 0.0 };
                let word = if is_hit { "is" } else { "is not" };
                let per = spec.per.to_text();
                conditions = vec![format!(
                    "{}, and this `{per}` {word} one of them",
                    conditions[0]
                )];
            }
        }
        let matched = self.counters().counters().matched;
        if spec.skip_first > matched {
            let left = spec.skip_first - matched;
            conditions.push(format!("its next {left} matches pass first (`skip_first`)"));
            share = 0.0;
        }
        if spec.every > 1 {
            let every = spec.every;
            conditions.push(format!("one match in {every} is taken (`every`)"));
            #[expect(clippy::cast_precision_loss, reason = "a share, for people")]
            let each = every as f64;
            share /= each;
        }
        match spec.schedule.burst {
            Some(Burst::Matches { .. }) => {
                conditions.push("only while matches are in a burst".to_owned());
                (None, conditions)
            }
            _ => (Some(share), conditions),
        }
    }
}
