//! The stock experiments of one dependency, the smallest dose first.
//!
//! Each begins with a client that is proven well: what the last one left behind is the main source of wrong verdicts.

mod leaving;
mod load;
mod outages;
mod serial;
mod settling;

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use self::outages::OUTAGES;
use super::{
    AuditError, AuditEvent, ExperimentRecord,
    caller::Patience,
    lab::{Lab, Probe},
    seen::Seen,
    words::in_words,
};
use crate::forensics::{
    Calm, FindingId as Id, PathCalm, Scale,
    rules::{Battery, Trial},
};

/// So long a client may take until it is well again, besides the time for which its breaker stays open.
const RECOVERY: Duration = Duration::from_secs(8);
/// Of a client that did not come back twice nothing else is expected.
const RECOVERY_KNOWN: Duration = Duration::from_secs(2);
/// What the experiment with a whole page of 503s is for: itself, and the doses and bounds of others.
const ALL_503: &[Id] = &[
    Id::NoBackoffGrowth,
    Id::NestedRetries,
    Id::NoRetryBudget,
    Id::NoCancellation,
    Id::AcceptsCorrupt,
    Id::AcceptsTruncated,
];
/// Does a step if it is wanted. One that does not end before the deadline, or before the audit is interrupted, leaves nothing
/// behind but that it was left out.
macro_rules! step {
    ($own:ident, $ids:expr, $step:ident) => {
        step!($own, $ids, also & [], $step)
    };
    // `also` are ids that use what is seen, and are told without it.
    ($own:ident, $ids:expr, also $also:expr, $step:ident) => {
        let is_wanted = $own.wants($ids) || $own.wants($also);
        if is_wanted && $own.is_over() {
            $own.left_out.extend($ids);
        } else if is_wanted {
            let before = $own.battery.clone();
            let (deadline, stop) = ($own.deadline, $own.stop.clone());
            match timeout_at(deadline, stop.run_until_cancelled($own.$step())).await {
                Ok(Some(ended)) => ended?,
                Ok(None) | Err(_) => $own.leave_out($ids, before).await?,
            }
        }
    };
}

/// The experiments of one dependency in progress.
pub(super) struct Experiments<'b, 'l> {
    pub(super) lab: &'b mut Lab<'l>,
    pub(super) calm: &'b Calm,
    pub(super) scale: Scale,
    pub(super) battery: Battery,
    pub(super) records: Vec<ExperimentRecord>,
    pub(super) tell: &'b mut (dyn FnMut(AuditEvent) + Send),
    /// How long its breaker stays open, once that was seen.
    pub(super) open_time: Duration,
    /// Whether its breaker opened in a long outage and not in a short one, as one does that looks at the share of failures in
    /// the last seconds.
    pub(super) opens_late: bool,
    /// Attempts of a page whose calls all hang, and all fail.
    pub(super) hung_attempts: u64,
    /// What was done last, for what is said of a client that does not come back.
    last: String,
    /// How often it was started anew.
    restarts: u32,
    /// No experiment goes on after this, nor once `stop` is cancelled.
    deadline: Instant,
    stop: &'b CancellationToken,
    /// Findings whose experiments did not end before that.
    pub(super) left_out: BTreeSet<Id>,
}

/// Why the experiments of a dependency end early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client did not come back, and could not be started anew.
    NotWell(String),
    Error(AuditError),
}

impl<E: Into<AuditError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl<'b, 'l> Experiments<'b, 'l> {
    pub(super) fn new(
        lab: &'b mut Lab<'l>,
        calm: &'b Calm,
        tell: &'b mut (dyn FnMut(AuditEvent) + Send),
        deadline: Instant,
        stop: &'b CancellationToken,
    ) -> Self {
        Self {
            lab,
            scale: calm.scale.clone(),
            calm,
            battery: Battery::default(),
            records: Vec::new(),
            tell,
            open_time: Duration::ZERO,
            opens_late: false,
            hung_attempts: 1,
            last: String::new(),
            restarts: 0,
            deadline,
            stop,
            left_out: BTreeSet::new(),
        }
    }

    /// Does all experiments that are wanted and fit before the deadline, the smallest dose first.
    pub(super) async fn do_all(&mut self) -> Result<(), Stop> {
        let slow = !self.lab.options.fast;
        if self.calm.scale.background {
            if slow {
                step!(self, OUTAGES, outage_of_503s);
                step!(self, OUTAGES, outage_of_resets);
            }
            return Ok(());
        }
        step!(self, Id::ALL, hang);
        step!(self, &[Id::PermanentHedge], slow_but_fine);
        step!(self, &[Id::ResetSurfaced], reset_warm);
        let single = &[Id::ImmediateRetries, Id::NoJitter, Id::NoBackoffGrowth];
        step!(self, single, single_failures);
        step!(self, &[Id::Retries4xx], client_errors);
        step!(self, ALL_503, all_503);
        let told = &[Id::IgnoresRetryAfter, Id::WaitsOutRetryAfter];
        step!(self, told, retry_after);
        if self.lab.order.is_some() {
            step!(self, &[Id::RetriesPost], orders);
        }
        step!(self, &[Id::AcceptsCorrupt], damaged);
        step!(self, &[Id::AcceptsTruncated], truncated);
        step!(
            self,
            &[Id::PerReadTimeout, Id::HeadOnlyTimeout],
            slow_bodies
        );
        step!(self, &[Id::NoCancellation], caller_leaves);
        if slow {
            self.under_load_all().await?;
        }
        Ok(())
    }

    async fn under_load_all(&mut self) -> Result<(), Stop> {
        let after = &[
            Id::StickyFallback,
            Id::PinnedConnection,
            Id::BreakerNeverCloses,
        ];
        step!(self, after, after_one);
        step!(self, &[Id::NoRetryBudget], partial);
        step!(self, &[Id::BreakerOpensOn4xx], storm_404);
        step!(self, &[Id::NoBulkhead, Id::Serialised], slow_under_load);
        if self.never_asks_again() {
            // What comes after an outage is what comes after one failure: nothing.
            return Ok(());
        }
        step!(self, OUTAGES, outage_of_503s);
        step!(self, &[Id::PoolLeak], places_of_answers);
        step!(self, OUTAGES, outage_of_resets);
        step!(self, &[Id::HalfOpenStampede], half_open);
        // Whether a breaker is needed where calls hang is seen there as well; what outages tell of it holds without.
        let uses = &[Id::NoEffectiveBreaker, Id::PoolLeak];
        step!(self, &[Id::SlowFallback], also uses, hang_under_load);
        Ok(())
    }

    /// What an experiment that did not end in time was for is undetermined, whatever others say of it: the client's state
    /// and half of the evidence tell nothing.
    async fn leave_out(&mut self, ids: &[Id], before: Battery) -> Result<(), Stop> {
        self.battery = before;
        self.left_out.extend(ids);
        self.lab.clear().await?;
        // It may have been broken off while the service was started anew. Ctrl-C on a terminal ends the service as well.
        if !self.stop.is_cancelled() && self.lab.client.has_ended().is_some() {
            self.lab.restart().await?;
        }
        Ok(())
    }

    /// Whether one failure was enough for the client not to ask again.
    fn never_asks_again(&self) -> bool {
        let after = self.battery.after_failure.as_ref();
        after.is_some_and(|it| it.struck > Some(0) && it.comes_back().is_none())
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.deadline
    }

    fn wants(&self, ids: &[Id]) -> bool {
        ids.iter().any(|it| self.lab.options.wants(*it))
    }

    /// Arms a fault for each path of the page that is asked for.
    pub(super) fn on_paths(&self, fault: &Value) -> Vec<Value> {
        let paths = self.calm.paths.iter().filter(|it| !it.scale.background);
        paths.map(|it| on_path(fault, it)).collect()
    }

    /// The fault for each path alone, with the path: a page whose first call fails may not make its second call. With `--fast`, or
    /// with more than four paths, the fault for all paths at once.
    pub(super) fn each_alone(&self, fault: &Value) -> Vec<(Option<String>, Vec<Value>)> {
        const PATHS_MAX: usize = 4;
        let paths = self.page_paths();
        if self.lab.options.fast || !(2..=PATHS_MAX).contains(&paths.len()) {
            return vec![(None, self.on_paths(fault))];
        }
        let alone = paths.iter();
        alone
            .map(|it| (Some(it.path.clone()), vec![on_path(fault, it)]))
            .collect()
    }

    /// A fault that strikes every call that pages make, also of paths that calm pages do not ask for; but no order.
    pub(super) fn on_all(&self, fault: &Value) -> Vec<Value> {
        let methods = self.calm.paths.iter().flat_map(|it| &it.methods);
        let methods: BTreeSet<&str> = methods.map(String::as_str).chain(["GET", "HEAD"]).collect();
        let mut fault = fault.clone();
        fault["match"] = json!({ "method": methods });
        vec![fault]
    }

    /// Proves that the client is well: pages that are good, in time, and call as they do in calm.
    pub(super) async fn prove(&mut self, before: &str) -> Result<(), Stop> {
        let usual = RECOVERY + self.open_time.mul_f64(2.5);
        let limit = match self.restarts {
            0 | 1 => usual,
            _ => RECOVERY_KNOWN + self.open_time,
        };
        if self.is_well_within(limit).await? {
            before.clone_into(&mut self.last);
            return Ok(());
        }
        let why = match self.last.is_empty() {
            true => "it was not well from the start".to_owned(),
            false => format!(
                "it did not come back within {} after {}",
                seconds(limit),
                self.last
            ),
        };
        if !self.lab.restart().await? {
            return Err(Stop::NotWell(why));
        }
        self.restarts += 1;
        (self.tell)(AuditEvent::Restarted {
            route: self.lab.route.clone(),
            why: why.clone(),
        });
        if self.is_well_within(usual).await? {
            before.clone_into(&mut self.last);
            return Ok(());
        }
        Err(Stop::NotWell(format!(
            "{why}, and not when it was started anew either"
        )))
    }

    async fn is_well_within(&mut self, limit: Duration) -> Result<bool, Stop> {
        /// Between two looks at a client that is not well.
        const PAUSE: Duration = Duration::from_millis(100);
        let usual = self.calm.scale.page_p95;
        let (quiet, for_us, least) = match self.lab.options.fast {
            true => (Duration::from_millis(100), 250_000, 2),
            false => (Duration::from_millis(200), 1_000_000, 4),
        };
        let in_a_row = (for_us / usual.max(1)).clamp(least, 10);
        let deadline = Instant::now() + limit;
        self.lab.settle(quiet, Duration::from_secs(2)).await?;
        loop {
            let probe = self.lab.begin("").await?;
            let mut good = 0;
            while good < in_a_row {
                let page = self.lab.spare_page().await;
                let in_time = page.duration().is_some_and(|it| it <= usual * 5 + 50_000);
                if !(page.is_whole() && in_time) {
                    break;
                }
                good += 1;
            }
            if good == in_a_row {
                self.lab.read().await?;
                let calls = self.lab.starts(&probe).len() as f64;
                let wanted = self.calm.scale.calls_per_page * good as f64 * 0.8;
                if !self.calm.scale.each_page_calls() || calls >= wanted {
                    return Ok(true);
                }
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
    }

    /// How long more pages are asked for until faults of [`on_path`] strike, where pages seldom call their paths.
    fn strike_within(&self, faults: &[Value]) -> Duration {
        const WHOLE: Duration = Duration::from_secs(6);
        const ONE_PATH: Duration = Duration::from_secs(2);
        let is_struck = |path: &str| faults.iter().any(|it| it["match"]["path"] == path);
        let paths = self.calm.paths.iter();
        let paths = paths.filter(|it| !it.scale.background && is_struck(&it.path));
        let calls: f64 = paths.map(|it| it.scale.calls_per_page).sum();
        // What S4 has waited for in vain is not waited for again.
        let mut in_vain = self.battery.hang.iter().filter(|it| it.struck == Some(0));
        let in_vain =
            in_vain.any(|it| faults.len() == 1 && it.path.as_deref().is_some_and(is_struck));
        if calls >= Scale::EACH_PAGE || in_vain {
            Duration::ZERO
        } else if self.calm.scale.each_page_calls() {
            ONE_PATH
        } else {
            WHOLE
        }
    }

    /// An experiment with pages one at a time: so many under the fault, and more until it has struck.
    pub(super) async fn serial(
        &mut self,
        id: &'static str,
        form: &str,
        faults: &[Value],
        pages: usize,
        patience: Patience,
    ) -> Result<Trial, Stop> {
        const PAUSE: Duration = Duration::from_millis(100);
        self.prove(id).await?;
        let mut probe = self.lab.begin(form).await?;
        self.lab.arm(&mut probe, faults).await?;
        let deadline = Instant::now() + self.strike_within(faults);
        for asked in 1.. {
            self.lab.one_page(&mut probe, patience).await;
            if asked < pages {
                continue;
            }
            if Instant::now() >= deadline || self.lab.struck(&probe).await > 0 {
                break;
            }
            sleep(PAUSE).await;
        }
        self.settle_after(id, &probe, patience).await?;
        let trial = self.finish(id, probe, faults).await?;
        Ok(trial)
    }

    /// Ends an experiment and tells of it.
    pub(super) async fn finish(
        &mut self,
        id: &'static str,
        probe: Probe,
        faults: &[Value],
    ) -> Result<Trial, Stop> {
        let (began, at_a_rate) = (probe.began(), probe.is_at_a_rate());
        let trial = self.lab.finish(probe).await?;
        let alone = match faults {
            [only] if self.calm.paths.len() > 1 => only["match"]["path"].as_str(),
            _ => None,
        };
        let record = ExperimentRecord {
            id: id.to_owned(),
            route: self.lab.route.clone(),
            form: trial.form.clone(),
            fault: in_words(faults, &trial.form, alone),
            faults: faults.to_vec(),
            path: alone.map(str::to_owned),
            at_ms: began / 1_000,
            pages: trial.pages.len(),
            attempts: trial.attempts.len(),
            struck: trial.struck,
            took_ms: trial.until.saturating_sub(began) / 1_000,
            busy: trial.busy,
            seen: Seen::of(&trial, began, self.scale.budget, at_a_rate),
        };
        (self.tell)(AuditEvent::Experiment(Box::new(record.clone())));
        self.records.push(record);
        Ok(trial)
    }

    /// The same without attempts of the background.
    pub(super) fn of_pages(&self, trial: &Trial) -> Trial {
        let beside = self.calm.paths_beside_pages();
        trial.of_paths(|it| !beside.contains(it))
    }

    /// The client's time-out of an attempt, or a quarter of the budget where it has none.
    pub(super) fn timeout(&self) -> Duration {
        let known = self.scale.attempt_timeout.unwrap_or(self.scale.budget / 4);
        Duration::from_micros(known.min(self.scale.budget))
    }

    /// How many pages a second the client bears, at most `wanted`.
    pub(super) fn rate(&self, wanted: f64) -> f64 {
        let bearable = 2e6 / self.calm.scale.page_p50.max(1) as f64;
        let told = self.lab.options.rate.unwrap_or(f64::INFINITY);
        wanted.min(bearable).min(told).max(1.0)
    }
}

/// A fault that strikes calls of one path.
pub(super) fn on_path(fault: &Value, path: &PathCalm) -> Value {
    let mut fault = fault.clone();
    fault["match"] = json!({ "path": path.path, "method": path.methods });
    fault
}

/// As faults and sentences write it.
pub(super) fn duration(span: Duration) -> String {
    brownout_fault::units::show_duration(Duration::from_millis(
        u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1),
    ))
}

fn seconds(span: Duration) -> String {
    crate::expectation::Unit::Time.show(span.as_secs_f64())
}
