//! How far simulations are: a line on a terminal, nothing in a pipe.

use std::sync::atomic::{AtomicUsize, Ordering};

use brownout_experiment::run::Event;
use indicatif::{ProgressBar, ProgressStyle};

/// What is told while stories run.
pub(crate) struct Progress {
    bar: ProgressBar,
    of: usize,
    begun: AtomicUsize,
}

impl Progress {
    pub(crate) fn new(shown: bool, of: usize) -> Self {
        let bar = if shown {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("a valid template");
        bar.set_style(style);
        Self {
            bar,
            of,
            begun: AtomicUsize::new(0),
        }
    }

    /// The number of the story that begins, from 1.
    pub(super) fn begin(&self) -> usize {
        self.begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn tell(&self, number: usize, name: &str, load: &str, event: &Event) {
        let say = |what: String| {
            self.bar
                .set_message(format!("{number} of {}: {name}: {what}", self.of));
            self.bar.tick();
        };
        match event {
            Event::PhaseStarted { phase, .. } => say(phase.clone()),
            Event::Second(second) if second.hop == load => say(format!(
                "{:.0} s, {:.0} pages ended in the last second, {:.0} of them failed",
                second.second + 1,
                second.requests,
                second.errors
            )),
            Event::Tail { waiting, .. } => say(format!(
                "the load has left; {waiting} requests are worked on for nobody"
            )),
            _ => {}
        }
    }

    /// Prints something in its place.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
