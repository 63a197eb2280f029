//! What is told of single calls: read after each phase, put together at the end.

use std::time::Duration;

use tokio::time::timeout;

use super::Story;
use crate::run::{
    Event,
    account::{Between, Seen, account},
    journal::JournalError,
    recording::Span,
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
    ///
    /// `end` is until when pages and calls count.
    pub(super) async fn tell_account(&mut self, end: u64) {
        if self.fault_phases.is_empty() {
            return;
        }
        self.read_calls().await;
        self.calls.cut(end);
        let between = self.between(end);
        for phase in &mut self.fault_phases {
            let closed = self.phases.iter().find(|it| it.name == phase.name);
            let callers = closed.map_or(&[][..], |it| &it.callers);
            let opened = callers
                .iter()
                .map(|it| (it.hop.clone(), it.breakers_opened));
            phase.breakers_opened = opened.collect();
        }
        // What the load asks itself is told by its pages.
        let asked = self.experiment.load.asked();
        let is_asked = |route: &String| asked.iter().any(|(_, name)| name == route);
        let routes: Vec<String> = self
            .hops
            .iter()
            .filter(|it| !is_asked(it))
            .cloned()
            .collect();
        for hop in routes {
            if let Some(seconds) = self.calls.seconds(&hop, end) {
                self.say(&Event::Recounted { hop, seconds });
            }
        }
        let load = self.experiment.load.name().map(str::to_owned);
        let told = {
            let (pages, cut_off) = {
                let recording = self.shared.recording();
                (recording.all_pages(), recording.unfinished_pages())
            };
            let trace_id = |page| self.shared.trace_id(page);
            let fallback = self.shared.predicates.first();
            account(Seen {
                calls: std::mem::take(&mut self.calls),
                pages,
                cut_off,
                is_watched: self.experiment.load.watch.is_some(),
                joined: Vec::new(),
                trace_id: &trace_id,
                fallback: fallback.map_or_else(String::new, ToString::to_string),
                load,
                load_to: self.experiment.load.to.clone(),
                steady: self.steady,
                phases: std::mem::take(&mut self.fault_phases),
                end,
                between,
            })
        };
        self.say(&Event::Account(told));
    }

    /// The times that belong to no phase, with what was measured in them.
    fn between(&self, end: u64) -> Vec<Between> {
        let mut all = Vec::new();
        let (mut over, mut routes_over) = (0, 0);
        let mut last: Option<&str> = None;
        let mut add = |name: String, span: Span, of_routes: Span| {
            if span.from < span.to {
                all.push(Between {
                    name,
                    from_ms: span.from / 1_000,
                    to_ms: span.to / 1_000,
                    hops: self.summaries(span, of_routes),
                });
            }
        };
        for phase in &self.spans {
            let name = match last {
                None => "warm-up".to_owned(),
                Some(last) => format!("between {last} and {}", phase.name),
            };
            let to = phase.span.from;
            let from = routes_over.min(to);
            add(name, Span { from: over, to }, Span { from, to });
            if phase.span.to > end {
                // It was cut short, and so nothing was told of it.
                let span = Span {
                    to: end,
                    ..phase.span
                };
                add(format!("{}, cut short", phase.name), span, span);
            }
            (over, routes_over) = (phase.span.to, phase.routes_to);
            last = Some(&phase.name);
        }
        let name = match last {
            None => "the whole run".to_owned(),
            Some(last) => format!("from {last} to the end"),
        };
        let from = routes_over.min(end);
        add(
            name,
            Span {
                from: over,
                to: end,
            },
            Span { from, to: end },
        );
        all
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
