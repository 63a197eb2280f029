//! What a client still does for pages that are over.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Experiments, Probe, Stop};
use crate::{audit::caller::Patience, forensics::rules::Trial};

impl Experiments<'_, '_> {
    /// Sees what a client still does for a page that is over, under the fault: until it has been quiet for more than twice
    /// as long as its calls were apart, as a back-off doubles.
    pub(super) async fn settle_after(
        &mut self,
        id: &str,
        probe: &Probe,
        patience: Patience,
    ) -> Result<(), Stop> {
        const CALM: Duration = Duration::from_millis(150);
        const CALM_MAX: Duration = Duration::from_millis(1_500);
        const RETRY_MAX: Duration = Duration::from_millis(600);
        const LIMIT: Duration = Duration::from_secs(4);
        if patience.leaves {
            return self.settle_after_leaving(probe).await;
        }
        if self.is_content(id) && !self.works_after_pages() {
            self.lab.settle(CALM, LIMIT).await?;
            return Ok(());
        }
        let began = Instant::now();
        loop {
            self.lab.read().await?;
            let starts = self.lab.starts(probe);
            let apart = starts.windows(2).map(|pair| pair[1] - pair[0]).max();
            let apart = Duration::from_micros(apart.unwrap_or(0));
            // After one that hung the client waits before it tries again.
            let hung = self.lab.longest(probe);
            let retried = hung + hung.clamp(CALM, RETRY_MAX);
            let calm = apart.mul_f64(2.2).clamp(CALM, CALM_MAX).max(retried);
            let left = LIMIT.saturating_sub(began.elapsed());
            self.lab.settle(calm, calm.min(left)).await?;
            if self.lab.starts(probe).len() == starts.len() || left.is_zero() {
                return Ok(());
            }
        }
    }

    /// Attempts that begin later than a budget after the caller has left are what is looked for. They are waited for, unless
    /// as many were made and have ended as the client makes for such a page at most.
    async fn settle_after_leaving(&mut self, probe: &Probe) -> Result<(), Stop> {
        const LOOK: Duration = Duration::from_millis(50);
        let whole = self.lab.options.budget.mul_f64(1.3) + Duration::from_millis(800);
        let deadline = Instant::now() + whole;
        loop {
            self.lab.read().await?;
            let is_all =
                self.lab.starts(probe).len() as u64 >= self.attempts_under(&probe.trial.form);
            if (is_all && !self.lab.is_any_open()) || Instant::now() >= deadline {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }

    /// How many attempts the client makes at most for a page of such an experiment, by an earlier one with the same fault.
    pub(super) fn attempts_under(&self, form: &str) -> u64 {
        let all_503 = self.battery.all_503.as_ref();
        let paths = self.calm.paths.iter().filter(|it| !it.scale.background);
        if paths.count() > 1 && form != "503" {
            // Calls of one path alone hung before.
            return u64::MAX;
        }
        match form {
            "503" => all_503.map_or(u64::MAX, |it| self.of_pages(it).attempts_of_a_page()),
            // It retries, but was not seen to when calls hung: whether it does is to be waited for.
            _ if self.hung_attempts == 1 && self.retries_503() => u64::MAX,
            _ => self.hung_attempts,
        }
    }

    /// Whether the client tries again when it gets a 503.
    pub(super) fn retries_503(&self) -> bool {
        let all_503 = self.battery.all_503.as_ref();
        let calls = self.calm.scale.calls_per_page;
        all_503.is_some_and(|it| self.of_pages(it).attempts_of_a_page() as f64 > calls + 0.5)
    }

    /// Whether an experiment is about what one page shows: an attempt after it has ended tells nothing of that.
    fn is_content(&self, id: &str) -> bool {
        matches!(id, "S6" | "S7" | "S23" | "S24")
    }

    /// Whether attempts began after their page had ended, when calls hung or failed; as far as is known they may.
    pub(super) fn works_after_pages(&self) -> bool {
        let hangs = self.battery.hang.iter();
        let known: Vec<&Trial> = hangs.chain(&self.battery.all_503).collect();
        let is_known = self.battery.all_503.is_some() && !self.battery.hang.is_empty();
        !is_known || known.iter().any(|it| self.of_pages(it).has_late_starts())
    }
}
