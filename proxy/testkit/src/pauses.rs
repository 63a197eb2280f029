//! How long the machine itself stands still, so that a bound on time says something on a machine that is shared.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Watches for pauses of the machine from its making on, on a thread that sleeps for a millisecond at a time.
///
/// Bounds are then "100 ms, and the longest pause that there was": a machine that pauses makes no test fail, and code that
/// waits does.
#[derive(Debug)]
pub struct MachinePauses {
    longest_us: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MachinePauses {
    /// Begins to watch.
    #[must_use]
    pub fn watch() -> Self {
        const STEP: Duration = Duration::from_millis(1);
        let (longest_us, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (longest, stopped) = (Arc::clone(&longest_us), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                thread::park_timeout(STEP);
                let late = began.elapsed().saturating_sub(STEP).as_micros();
                longest.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self {
            longest_us,
            stop,
            thread: Some(thread),
        }
    }

    /// The longest pause so far.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_us.load(Ordering::Relaxed))
    }
}

impl Drop for MachinePauses {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot panic, and a test that already does must not do so twice.
            drop(thread.join());
        }
    }
}
