//! S22: a caller leaves while its page waits. What a client still does for pages that are over.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Experiments, Stop};
use crate::{
    audit::caller::Patience,
    forensics::{AttemptRecord, PageRecord, derive::quantile, rules::Trial},
};

impl Experiments<'_, '_> {
    /// S22: the caller leaves while its page waits.
    pub(super) async fn caller_leaves(&mut self) -> Result<(), Stop> {
        let leave = (self.timeout() / 2).min(Duration::from_millis(100));
        let patience = Patience::leave_after(leave);
        let faults = self.on_paths(&json!({ "blackhole": {} }));
        self.one_leaves("no answer", &faults, patience).await?;
        let failing = self.battery.all_503.as_ref().and_then(|it| {
            let took: Vec<u64> = it.pages.iter().filter_map(PageRecord::duration).collect();
            quantile(&took, 0.5)
        });
        // Nobody can leave a page that fails at once.
        let Some(failing) = failing.filter(|it| *it > 40_000) else {
            return Ok(());
        };
        let patience = Patience::leave_after(Duration::from_micros(failing / 2).min(leave));
        let faults = self.on_paths(&json!({ "abort": 503 }));
        self.one_leaves("503", &faults, patience).await
    }

    /// One caller leaves, and another after good pages where the first may tell too little: the client worked on for it, and
    /// made fewer attempts than it does at other times, as one whose budget of retries is spent.
    async fn one_leaves(
        &mut self,
        form: &str,
        faults: &[Value],
        patience: Patience,
    ) -> Result<(), Stop> {
        let (rounds, refill_for) = match self.lab.options.fast {
            true => (2, Duration::from_millis(1_500)),
            false => (3, Duration::from_secs(4)),
        };
        for round in 1..=rounds {
            self.settle_before().await?;
            let trial = self.serial("S22", form, faults, 1, patience).await?;
            let is_enough = !self.may_retry_more(&trial);
            self.battery.caller_leaves.push(trial);
            if is_enough || round == rounds {
                break;
            }
            self.refill_budget(refill_for).await;
        }
        Ok(())
    }

    /// Whether a client that retries elsewhere made fewer attempts for a caller that left, and did not stop for that.
    fn may_retry_more(&self, trial: &Trial) -> bool {
        /// What a client needs to pass on that its caller has gone.
        const SLACK_US: u64 = 20_000;
        let usual = self.attempts_under(&trial.form);
        let does_retry = self.hung_attempts > 1 || self.retries_503();
        let trial = &self.of_pages(trial);
        if !does_retry || trial.attempts.len() as u64 >= usual {
            return false;
        }
        let Some(left) = trial.pages.iter().filter_map(|it| it.left).min() else {
            // The page ended before its caller could leave: it was not retried.
            return true;
        };
        let ended = trial.attempts.iter().map(AttemptRecord::ended).max();
        // Beyond the budget it is told already.
        let last = trial.attempts.iter().map(|it| it.t_head).max();
        let is_told = last > Some(left + self.scale.budget);
        !is_told && ended > Some(left + SLACK_US)
    }

    /// Pages that go well, from which a budget of retries is earned.
    async fn refill_budget(&mut self, at_most: Duration) {
        /// A fifth of a retry for each page, and four retries of the next one.
        const PAGES: usize = 32;
        let deadline = Instant::now() + at_most;
        for _ in 0..PAGES {
            if Instant::now() >= deadline {
                break;
            }
            self.lab.spare_page().await;
        }
    }

    /// Waits until the client makes no more calls for pages that have ended, if it was seen to make such calls: they would be
    /// counted as calls of the next page.
    pub(super) async fn settle_before(&mut self) -> Result<(), Stop> {
        const CALM: Duration = Duration::from_millis(300);
        const CALM_MAX: Duration = Duration::from_secs(2);
        let known = self.battery.hang.iter().chain(&self.battery.all_503);
        let known = known.map(|it| self.of_pages(it));
        let late = known.filter(Trial::has_late_starts);
        let longest = late.map(|it| it.longest_wait()).max();
        let (false, Some(longest)) = (self.calm.scale.background, longest) else {
            return Ok(());
        };
        let calm = Duration::from_micros(longest);
        let calm = calm.mul_f64(1.2).clamp(CALM, CALM_MAX);
        self.lab.settle(calm, calm * 3).await?;
        Ok(())
    }
}
