//! What is told of single calls: read after each phase, put together at the end.

use std::time::Duration;

use tokio::time::timeout;

use super::Story;
use crate::run::{
    Event,
    account::{Seen, account},
    journal::JournalError,
};

/// Where nobody expects anything of single calls, reading them may take so long.
const READING_MAX: Duration = Duration::from_secs(3);

/// Before anything is measured, the clocks are compared so often.
const COMPARISONS: usize = 5;

/// How far the journal's clock is from the run's, in µs.
///
/// An answer takes time, so each comparison makes the difference too large; the quickest answer is the best one.
#[derive(Debug, Default)]
pub(super) struct ClockShift(Option<i128>);

impl ClockShift {
    /// Takes one more comparison; the best of all.
    pub(super) fn quickest(&mut self, own: u64, journal: u64) -> i128 {
        let shift = i128::from(own) - i128::from(journal);
        let best = self.0.map_or(shift, |it| it.min(shift));
        self.0 = Some(best);
        best
    }
}

impl Story<'_> {
    /// Compares the journal's clock with the run's, while there is nothing to read.
    pub(super) async fn compare_clocks(&mut self) {
        for _ in 0..COMPARISONS {
            if timeout(READING_MAX, self.read_journal()).await.is_err() {
                return;
            }
        }
    }

    /// Reads the calls that came since the last reading.
    pub(super) async fn read_calls(&mut self) {
        let needed = self.experiment.needs_evidence();
        if !needed && self.experiment.demo.is_some() {
            // A story's load goes on while calls are read, and its callers count for themselves.
            self.calls
                .give_up("in a story, callers tell of their calls themselves".to_owned());
        }
        if !needed && !self.calls.is_known() {
            return;
        }
        let read = match needed {
            true => self.read_journal().await,
            false => {
                let read = timeout(READING_MAX, self.read_journal()).await;
                read.unwrap_or_else(|_| {
                    let why = format!("reading them took longer than {} s", READING_MAX.as_secs());
                    Err(JournalError::Unreadable(why))
                })
            }
        };
        self.calls.add(&read);
        self.journal_read = read;
    }

    /// Tells what happened, once all is over.
    pub(super) async fn tell_account(&mut self) {
        if self.fault_phases.is_empty() {
            return;
        }
        self.read_calls().await;
        // What began later was cut short by the end of the run. A phase that was is told as far as it came.
        let last = self.fault_phases.last().map_or(0, |it| it.span.to);
        let end = self.measured_until.max(last);
        let load = self.experiment.load.name().map(str::to_owned);
        let told = {
            let pages = self.shared.recording().all_pages();
            let trace_id = |page| self.shared.trace_id(page);
            let fallback = self.shared.predicates.first();
            account(Seen {
                calls: std::mem::take(&mut self.calls),
                pages,
                trace_id: &trace_id,
                fallback: fallback.map_or_else(String::new, ToString::to_string),
                load,
                load_to: self.experiment.load.to.clone(),
                steady: self.steady,
                phases: std::mem::take(&mut self.fault_phases),
                end,
            })
        };
        self.say(&Event::Account(told));
    }
}

#[cfg(test)]
mod tests {
    use super::ClockShift;

    #[test]
    fn the_quickest_answer_tells_the_clocks_apart_best() {
        let mut clock = ClockShift::default();

        assert_eq!(clock.quickest(1_000, 400), 600);
        assert_eq!(clock.quickest(2_050, 1_500), 550);
        assert_eq!(clock.quickest(3_000, 2_300), 550);
    }
}
