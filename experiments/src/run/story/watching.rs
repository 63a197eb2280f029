//! What a run checks ten times a second: seconds that are over, faults that were injected, guards, the deadline.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{Halt, READ_SLACK, Story};
use crate::run::{
    Event,
    journal::JournalError,
    judge::View,
    recording::{SECOND, Span},
};

impl Story<'_> {
    /// Looks at the clock and the guards, and tells what is new.
    pub(super) fn look(&mut self, phase: &str) -> Result<(), Halt> {
        self.tell_seconds(self.shared.now().saturating_sub(READ_SLACK));
        self.tell_struck(phase);
        if Instant::now() >= self.deadline {
            return Err(Halt::TimedOut);
        }
        self.look_at_guards()
    }

    /// Tells of every second that was over at `until`, in µs.
    pub(super) fn tell_seconds(&mut self, until: u64) {
        while (u64::from(self.seconds_told) + 1) * SECOND <= until {
            let asked = self.experiment.load.asked();
            let seconds = self
                .shared
                .recording()
                .second(self.seconds_told, &asked, &self.hops);
            for second in seconds {
                self.say(&Event::Second(second));
            }
            self.seconds_told += 1;
        }
    }

    /// Tells of the last second, which is not whole, so that seconds have all that ended.
    pub(super) fn tell_last_second(&mut self, end: u64) {
        if end > u64::from(self.seconds_told) * SECOND {
            self.tell_seconds((u64::from(self.seconds_told) + 1) * SECOND);
        }
    }

    pub(super) fn tell_struck(&mut self, phase: &str) {
        let seen = self.shared.recording().struck();
        for (id, at) in seen {
            let key = (phase.to_owned(), id);
            if !self.struck_told.contains(&key) {
                self.say(&Event::FaultStruck {
                    id: key.1.clone(),
                    phase: phase.to_owned(),
                    at_ms: at / 1_000,
                });
                self.struck_told.push(key);
            }
        }
    }

    fn look_at_guards(&mut self) -> Result<(), Halt> {
        let guard = &self.experiment.guard;
        let Some(since) = self.guards_since else {
            return Ok(());
        };
        let now = self.shared.now();
        for halt_if in &guard.halt_if {
            let window = halt_if
                .expectation
                .sustained
                .unwrap_or(Duration::from_secs(1));
            let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
            let from = now.saturating_sub(window).max(since);
            // A window that has not passed yet says nothing of a condition "for 5s".
            if now - from < window {
                continue;
            }
            let span = Span { from, to: now };
            let observed = {
                let recording = self.shared.recording();
                let (faults, journal) = (BTreeMap::new(), Err(JournalError::NotThere));
                let view = View {
                    by_end: true,
                    ..self.view(&recording, span, &faults, &journal)
                };
                let view = View {
                    min_samples: guard.min_samples,
                    ..view
                };
                view.trips(halt_if)
            };
            if let Some(observed) = observed {
                let guard = halt_if.expectation.text.clone();
                return Err(Halt::Guard { guard, observed });
            }
        }
        Ok(())
    }
}
