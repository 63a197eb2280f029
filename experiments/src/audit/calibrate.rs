//! The calm before: how the client is when nothing is broken.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{AuditError, caller::Patience, lab::Lab};
use crate::forensics::{Calm, derive::quantile, rules::Trial};

/// The pages of a calm.
const PAGES: usize = 20;
/// The fewest, where pages are slow.
const PAGES_MIN: usize = 10;

impl Lab<'_> {
    /// Asks for pages until they take as long as the ones before: what a process does once takes its time.
    pub(super) async fn warm_up(&mut self) -> Result<(), AuditError> {
        const LIMIT: Duration = Duration::from_secs(10);
        const LAST: usize = 6;
        let deadline = Instant::now() + LIMIT;
        let mut took: Vec<u64> = Vec::new();
        while Instant::now() < deadline {
            let page = self.spare_page().await;
            took.extend(page.duration().filter(|_| page.is_good()));
            if took.len() >= LAST * 2 {
                let before = quantile(&took[took.len() - 2 * LAST..took.len() - LAST], 0.5);
                let now = quantile(&took[took.len() - LAST..], 0.5);
                let (before, now) = (before.unwrap_or(0), now.unwrap_or(0));
                if now + now / 4 + 5_000 >= before {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Pages one at a time, then a time without any; more of both where no call was seen.
    pub(super) async fn calibrate(&mut self) -> Result<Calm, AuditError> {
        /// Longer than most refreshers wait.
        const LONGER: Duration = Duration::from_secs(12);
        /// Without pages, to see what calls then.
        const QUIET: Duration = Duration::from_secs(3);
        let trial = self.calm_pages(Duration::from_millis(1_500), None).await?;
        let trial = match trial.attempts.is_empty() {
            false => trial,
            true => {
                self.calm_pages(Duration::from_secs(3), Some(LONGER))
                    .await?
            }
        };
        let budget = u64::try_from(self.options.budget.as_micros()).unwrap_or(u64::MAX);
        let not_served = || AuditError::NotReady {
            within: self.options.ready_within,
            seen: "its pages do not end".to_owned(),
        };
        let mut calm = Calm::of(budget, &trial).ok_or_else(not_served)?;
        // Calls that seldom come may come without pages, and have fallen into one by chance.
        if calm.paths.iter().any(|it| it.scale.calls_per_page < 0.5) {
            let more = self.begin("calm").await?;
            sleep(QUIET).await;
            let mut trial = trial;
            trial.append(self.finish(more).await?);
            calm = Calm::of(budget, &trial).ok_or_else(not_served)?;
        }
        self.asks_once(calm.one_request_paths());
        self.looks_away_from(calm.paths_beside_pages());
        self.knows(calm.scale.calm.clone());
        Ok(calm)
    }

    async fn calm_pages(
        &mut self,
        quiet: Duration,
        at_least: Option<Duration>,
    ) -> Result<Trial, AuditError> {
        const PAUSE: Duration = Duration::from_millis(150);
        let limit = match self.options.fast {
            true => Duration::from_millis(1_500),
            false => Duration::from_secs(8),
        };
        self.settle(Duration::from_millis(200), Duration::from_secs(1))
            .await?;
        let began = Instant::now();
        let mut probe = self.begin("calm").await?;
        let patience = Patience::of(self.patience());
        loop {
            self.one_page(&mut probe, patience).await;
            let pages = probe.trial.pages.len();
            let took = began.elapsed();
            match at_least {
                Some(at_least) => {
                    sleep(PAUSE).await;
                    if took >= at_least {
                        break;
                    }
                }
                None if pages >= PAGES || (pages >= PAGES_MIN && took >= limit) => break,
                None => {}
            }
        }
        sleep(quiet).await;
        self.finish(probe).await
    }
}
