//! Which faults act on one direction of one connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{FaultPlan, armed::ArmedFault, planned::PlannedFault};
use crate::{
    counters::{Effects, OnRoute},
    hold::{Held, Hold},
    injection::{Considered, MatchOutcome},
    matcher::{Per, client_key},
    phase::Phase,
    roll::Roll,
    schedule::Intensity,
    stream::{Chance, Direction, Layer, Link, Stage},
};

/// How exactly a connection keeps a schedule that changes in steps or without end.
const STEP: Duration = Duration::from_millis(10);

/// The faults that one direction of one connection, or its beginning, has met.
///
/// A fault draws once for a connection and keeps that draw, and counts it once, however often the fault is patched
/// or comes and goes with its schedule. Dropping it gives back the places that its faults held.
#[derive(Debug)]
pub struct StreamFaults {
    part: Part,
    met: Vec<Met>,
    made: u64,
}

/// Of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Before anything of it is read.
    Beginning,
    Bytes(Direction),
}

impl Part {
    fn is_meant_by(self, fault: &ArmedFault) -> bool {
        match self {
            Self::Beginning => fault.phase() == Phase::Connect,
            Self::Bytes(direction) => {
                fault.phase() != Phase::Connect && fault.spec().stream_direction() == direction
            }
        }
    }
}

/// What came of a [look](StreamFaults::look).
#[derive(Debug, Default)]
pub struct Look {
    /// Faults of which the outcome is new, for counting.
    pub considered: SmallVec<[Considered; 2]>,
    /// When something may change without the plan being changed.
    pub again: Option<Instant>,
}

/// A fault that acts on a direction of a connection now.
#[derive(Debug)]
pub struct Acting {
    /// The same for as long as the connection lives and the fault is armed.
    pub number: u64,
    /// What it does.
    pub stage: Stage,
    /// The name of its kind.
    pub kind: &'static str,
    /// Where it is written down what it does.
    pub effects: Effects,
}

#[derive(Debug)]
struct Met {
    number: u64,
    fault: Arc<ArmedFault>,
    roll: Roll,
    /// The number of the match, and whether it fell into a burst.
    count: (u64, bool),
    outcome: Option<MatchOutcome>,
    /// The counters of its route, where the fault names several.
    on_route: Option<Arc<OnRoute>>,
    /// Whether the connection counts as an injection.
    is_taken: bool,
    /// Its place, while the fault acts.
    held: Option<(Held, Arc<Hold>)>,
    scale: f64,
}

impl StreamFaults {
    /// Of a connection that has met none.
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        Self::of(Part::Bytes(direction))
    }

    /// Those that hold a connection before anything of it is read. What they do is done to one empty chunk, which
    /// stands for the connection.
    #[must_use]
    pub fn at_connect() -> Self {
        Self::of(Part::Beginning)
    }

    fn of(part: Part) -> Self {
        Self {
            part,
            met: Vec::new(),
            made: 0,
        }
    }

    /// Takes what is armed into account. Does no I/O and reads no clock; without a stream fault on the route it
    /// allocates nothing.
    pub fn look(&mut self, plan: &FaultPlan, link: &Link<'_>, now: Instant) -> Look {
        let mut look = Look::default();
        let mut before = std::mem::take(&mut self.met);
        for planned in plan.streams.on(link.route) {
            let fault = &planned.fault;
            let spec = fault.spec();
            let beneath = link.has_requests && spec.layer != Some(Layer::Stream);
            if beneath || !self.part.is_meant_by(fault) || !spec.matching.matches_client(link.peer)
            {
                continue;
            }
            look.again = [look.again, planned.changes_by_itself(now)]
                .into_iter()
                .flatten()
                .min();
            let same = |met: &Met| Arc::ptr_eq(met.fault.counters(), fault.counters());
            let known = before.iter().position(same).map(|at| before.remove(at));
            let Some(intensity) = fault.intensity(now, &planned.position) else {
                if let Some(mut met) = known {
                    met.held = None;
                    self.met.push(met);
                }
                continue;
            };
            let mut met = known.unwrap_or_else(|| {
                self.made += 1;
                Met::new(self.made, fault, link)
            });
            met.fault = Arc::clone(fault);
            met.scale = intensity.value;
            let outcome = met.settle(intensity, now);
            if met.note(outcome) {
                let kind = fault.kind();
                look.considered.push(Considered { kind, outcome });
            }
            self.met.push(met);
        }
        look
    }

    /// Those that act now, in the order in which bytes pass them.
    pub fn acting<'a>(&'a self, route: &'a str) -> impl Iterator<Item = Acting> + use<'a> {
        let acting = self.met.iter().filter(|met| met.held.is_some());
        acting.filter_map(move |met| {
            let mut roll = met.roll.clone();
            roll.draw(); // Spent on the percent.
            let scale = met.scale;
            Some(Acting {
                number: met.number,
                stage: met
                    .fault
                    .armed_kind()
                    .stage(Chance { roll, scale, route })?,
                kind: met.fault.kind(),
                effects: Effects::of(met.fault.counters()),
            })
        })
    }
}

impl Met {
    fn new(number: u64, fault: &Arc<ArmedFault>, link: &Link<'_>) -> Self {
        let dice = fault.dice();
        let roll = match fault.spec().per {
            Per::Client => client_key(link.peer, |key| dice.keyed_roll(key)),
            // The others need a request, and are refused when a fault is read for a connection.
            Per::Request | Per::Connection | Per::Header(_) | Per::Cookie(_) | Per::Trace => {
                dice.keyed_roll(&link.connection.to_le_bytes())
            }
        };
        let on_route = fault.on_route(link.route);
        if let Some(counted) = &on_route {
            counted.count_match();
        }
        Self {
            number,
            roll,
            count: fault.count_match(),
            on_route,
            fault: Arc::clone(fault),
            outcome: None,
            is_taken: false,
            held: None,
            scale: 1.0,
        }
    }

    /// What becomes of the connection, by the draw it has kept.
    fn settle(&mut self, intensity: Intensity, now: Instant) -> MatchOutcome {
        let spec = self.fault.spec();
        let (count, is_bad) = self.count;
        let drawn = self.roll.clone().draw();
        if !is_bad || !spec.counts_in(count) || !spec.percent.hits_scaled(drawn, intensity.percent)
        {
            self.held = None;
            return MatchOutcome::Skipped;
        }
        let hold = self.fault.hold();
        if self
            .held
            .as_ref()
            .is_none_or(|(_, held)| !Arc::ptr_eq(held, hold))
        {
            self.held = None; // Given back first: it may be the last place.
            let Some(held) = hold.enter(spec.max_active) else {
                return MatchOutcome::Overflow;
            };
            self.held = Some((held, Arc::clone(hold)));
        }
        if !self.is_taken && !self.fault.counters().take_injection(spec.limit) {
            self.held = None;
            return MatchOutcome::Skipped;
        }
        if !self.is_taken {
            self.fault.counters().note_strike(spec.limit, now);
            if let Some(counted) = &self.on_route {
                counted.count_injection();
            }
        }
        self.is_taken = true;
        MatchOutcome::Injected
    }

    /// Counts the outcome in place of an earlier one. Whether it is new.
    fn note(&mut self, outcome: MatchOutcome) -> bool {
        let earlier = self.outcome;
        // Once acted on is acted on, whatever becomes of the fault.
        if earlier == Some(outcome) || earlier == Some(MatchOutcome::Injected) {
            return false;
        }
        let counters = self.fault.counters();
        if let Some(earlier) = earlier {
            counters.take_back(earlier);
        }
        match outcome {
            MatchOutcome::Injected => {}
            MatchOutcome::Skipped => counters.count_skipped(),
            MatchOutcome::Overflow => counters.count_overflow(),
        }
        self.outcome = Some(outcome);
        true
    }
}

impl PlannedFault {
    /// When it may act otherwise than now without being changed.
    fn changes_by_itself(&self, now: Instant) -> Option<Instant> {
        let lifetime = self.fault.lifetime();
        let starts_at = lifetime.starts_at.instant;
        if starts_at > now {
            return Some(starts_at);
        }
        let ends = lifetime.expires_at.map(|end| end.instant);
        let next_step = (!self.fault.is_steady()).then_some(now + STEP);
        let times = [ends.filter(|end| *end > now), next_step];
        times.into_iter().flatten().min()
    }
}

impl FaultPlan {
    /// Whether some fault may act on the bytes beneath the requests of `route`.
    #[must_use]
    pub fn acts_beneath(&self, route: &str) -> bool {
        let mut here = self.streams.on(route).iter();
        here.any(|planned| planned.fault.spec().layer == Some(Layer::Stream))
    }

    /// Whether some fault may act on the bytes of `route`, which carries no requests.
    #[must_use]
    pub fn acts_on_bytes(&self, route: &str) -> bool {
        self.streams.on(route).iter().next().is_some()
    }
}
