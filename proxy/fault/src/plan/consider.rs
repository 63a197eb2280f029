//! What one armed fault does to one request.

use std::{sync::Arc, time::Instant};

use super::{armed::ArmedFault, group_position::GroupPosition};
use crate::{
    counters::OnRoute,
    faults::Decision,
    injection::{Considered, Fired, Injection, MatchOutcome},
    matcher::Per,
    roll::Roll,
    schedule::Intensity,
    subject::Subject,
    told::Asker,
};

impl ArmedFault {
    /// Decides for one request, counts it, and fills the slots if the fault acts.
    pub(super) fn consider(
        &self,
        position: &GroupPosition,
        subject: &Subject<'_>,
        now: Instant,
        into: &mut Injection,
    ) {
        if !self.spec().matching.matches(subject) {
            return;
        }
        let Some(intensity) = self.intensity(now, position) else {
            return;
        };
        let told = self.counters().told();
        if told.has_told() && told.is_early(Asker::of(subject), now) {
            self.counters().note_early_return();
        }
        let (count, is_bad) = self.count_match();
        let on_route = self.on_route(subject.route);
        if let Some(counted) = &on_route {
            counted.count_match();
        }
        let outcome = if is_bad {
            self.attempt(count, intensity, subject, now, on_route, into)
        } else {
            MatchOutcome::Skipped
        };
        match outcome {
            MatchOutcome::Injected => {}
            MatchOutcome::Skipped => self.counters().count_skipped(),
            MatchOutcome::Overflow => self.counters().count_overflow(),
        }
        into.considered.push(Considered {
            kind: self.kind(),
            outcome,
        });
    }

    /// The chance of this match: its own, or that of its key.
    fn roll(&self, count: u64, subject: &Subject<'_>) -> Roll {
        let keyed = match &self.spec().per {
            Per::Request => None,
            per => per.key(subject, |key| self.dice().keyed_roll(key)),
        };
        keyed.unwrap_or_else(|| self.dice().roll(count))
    }

    fn attempt(
        &self,
        count: u64,
        intensity: Intensity,
        subject: &Subject<'_>,
        now: Instant,
        on_route: Option<Arc<OnRoute>>,
        into: &mut Injection,
    ) -> MatchOutcome {
        let mut roll = self.roll(count, subject);
        if into.is_over(self.phase(), self.spec().fault.ends())
            || !self.spec().counts_in(count)
            || !self
                .spec()
                .percent
                .hits_scaled(roll.draw(), intensity.percent)
            || self.counters().is_spent(self.spec().limit)
        {
            return MatchOutcome::Skipped;
        }
        let mut decision = Decision {
            roll: &mut roll,
            subject,
            now,
            scale: intensity.value,
        };
        if !self.armed_kind().takes(&mut decision, into) {
            return MatchOutcome::Skipped;
        }
        let held = if self.spec().fault.holds() {
            match self.hold().enter(self.spec().max_active) {
                Some(held) => Some(held),
                None => return MatchOutcome::Overflow,
            }
        } else {
            None
        };
        if !self.counters().take_injection(self.spec().limit) {
            return MatchOutcome::Skipped;
        }
        if let Some(counted) = &on_route {
            counted.count_injection();
        }
        let fired = Fired::new(self.identity(), held, Asker::of(subject));
        into.fired.push(fired.on_route(on_route));
        self.armed_kind().inject(&mut decision, into);
        // What the answer decides is noted when it has an effect.
        if into.fired.last().is_some_and(|fired| !fired.is_undecided()) {
            self.counters().note_strike(self.spec().limit, now);
        }
        MatchOutcome::Injected
    }
}
