//! Experiments with one page at a time.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Experiments, Id, Probe, Stop, duration, on_path};
use crate::{
    audit::caller::Patience,
    forensics::{
        PathCalm,
        derive::{gaps, quantile},
        rules::{Battery, GROWTH_WAITS, Trial, WAITS_MIN, gives_up_each, growth_is_unclear},
    },
};

/// The failures of S2: three waits more than a verdict on their spread needs.
const SINGLE_FAILURES: usize = 15;
/// So many waits are enough to judge by: a budget of retries is not waited for then.
const WAITS_ENOUGH: usize = 12;
/// So many single failures without a retry, and the client does not retry.
const WITHOUT_RETRY: usize = 4;

impl Experiments<'_, '_> {
    /// S4, and S5 where it is needed: calls of each path hang, alone.
    pub(super) async fn hang(&mut self) -> Result<(), Stop> {
        let fault = json!({ "blackhole": {} });
        let patience = Patience::of(self.lab.patience());
        for path in self.page_paths() {
            let faults = [on_path(&fault, &path)];
            let mut trial = self.serial("S4", &path.path, &faults, 1, patience).await?;
            trial.path = Some(path.path);
            self.battery.hang.push(trial);
        }
        let hangs = self.battery.hang.iter();
        let ended: Vec<u64> = hangs.flat_map(Trial::own_timeouts).collect();
        self.scale.attempt_timeout = quantile(&ended, 0.5);
        let hangs = self.battery.hang.iter();
        let most = hangs.map(|it| self.of_pages(it).attempts.len()).max();
        self.hung_attempts = most.unwrap_or(1).max(1) as u64;
        let never_ends = self.battery.hang.iter().any(|trial| {
            trial.longest_page() > self.scale.page_limit() && trial.own_timeouts().is_empty()
        });
        if never_ends {
            self.hang_at_connect().await?;
        }
        let mut hangs = self.battery.hang.iter();
        let in_time = hangs.all(|it| it.longest_page() <= self.scale.page_limit());
        if in_time && self.battery.hang.len() > 1 {
            let faults = self.on_paths(&fault);
            let all = self.serial("S4", "all paths", &faults, 1, patience).await?;
            self.battery.hang_of_all = Some(all);
        }
        Ok(())
    }

    /// S5: the route's address does not answer to connecting.
    async fn hang_at_connect(&mut self) -> Result<(), Stop> {
        self.prove("S5").await?;
        let patience = Patience::of(self.lab.patience());
        // A kept connection would carry the call.
        let mut cut = self.lab.begin("").await?;
        self.lab.arm(&mut cut, &[json!({ "reset": {} })]).await?;
        self.lab.spare_page().await;
        self.lab.disarm(&mut cut).await?;
        let faults = [json!({ "blackhole": { "at": "syn" } })];
        let mut probe = self.lab.begin("connecting").await?;
        if let Err(error) = self.lab.arm(&mut probe, &faults).await {
            // The proxy may be an older one.
            return match error.is_refusal() {
                true => Ok(()),
                false => Err(error.into()),
            };
        }
        self.lab.one_page(&mut probe, patience).await;
        let trial = self.finish("S5", probe, &faults).await?;
        self.battery.hang_at_connect = Some(trial);
        Ok(())
    }

    /// S1: slower than usual, and fine.
    pub(super) async fn slow_but_fine(&mut self) -> Result<(), Stop> {
        let slow = self.slow_latency();
        let faults = self.on_paths(&json!({ "latency": duration(slow) }));
        let patience = Patience::of(self.lab.patience());
        let form = duration(slow);
        let pages = if self.lab.options.fast { 10 } else { 15 };
        let mut trial = self.serial("S1", &form, &faults, pages, patience).await?;
        let calls = self.of_pages(&trial).attempts.len() as f64 / trial.pages.len().max(1) as f64;
        if calls > self.calm.scale.calls_per_page * 1.1 {
            // A hedge that learns needs to see more.
            let more = self.serial("S1", &form, &faults, 60, patience).await?;
            trial = last_pages(more, 20);
        }
        self.battery.slow_but_fine = Some(trial);
        Ok(())
    }

    /// Twice what is usual, and so that a call is still answered well within the client's shortest time-out.
    fn slow_latency(&self) -> Duration {
        let usual = Duration::from_micros(self.calm.scale.call_p95);
        let own = self.battery.hang.iter().flat_map(Trial::own_timeouts);
        let shortest = own.min().map_or(self.timeout(), Duration::from_micros);
        let spare = shortest.mul_f64(0.8).saturating_sub(usual);
        (usual * 2)
            .max(Duration::from_millis(60))
            .min(shortest.mul_f64(0.6))
            .min(spare)
            .max(Duration::from_millis(1))
    }

    /// S3: a kept connection is reset.
    pub(super) async fn reset_warm(&mut self) -> Result<(), Stop> {
        const ROUNDS: usize = 3;
        self.prove("S3").await?;
        let mut probe = self.lab.begin("reset").await?;
        let patience = Patience::of(self.lab.patience());
        let faults = self.on_paths(&json!({ "reset": {}, "limit": 1 }));
        for round in 0..ROUNDS {
            if round > 0 {
                self.good_pages(&mut probe, 4).await?;
            }
            self.lab.arm(&mut probe, &faults).await?;
            self.lab.one_page(&mut probe, patience).await;
        }
        let trial = self.finish("S3", probe, &faults).await?;
        self.battery.reset_warm = Some(trial);
        Ok(())
    }

    /// Removes the faults and asks for pages between two that fail.
    async fn good_pages(&mut self, probe: &mut Probe, pages: usize) -> Result<(), Stop> {
        self.lab.disarm(probe).await?;
        let patience = Patience::of(self.lab.patience());
        for _ in 0..pages {
            self.lab.one_page(probe, patience).await;
        }
        Ok(())
    }

    /// S2: one failure on every third page, of each kind that may be retried.
    pub(super) async fn single_failures(&mut self) -> Result<(), Stop> {
        let kinds = [
            ("a 503", json!({ "abort": 503, "limit": 1 })),
            ("a reset", json!({ "reset": {}, "limit": 1 })),
        ];
        let mut is_enough = false;
        for (form, fault) in kinds {
            let (trial, retried) = self.single_failures_of(form, &fault, is_enough).await?;
            // Waits of one kind are enough to judge by.
            is_enough |= retried >= WAITS_ENOUGH;
            self.battery.one_failure.push(trial);
        }
        Ok(())
    }

    /// As many single failures as are needed, and how often one was retried. Where a client that does retry leaves one
    /// failure as it is, its budget of retries is spent: then more pages go well, and more time passes, before the next.
    async fn single_failures_of(
        &mut self,
        form: &str,
        fault: &Value,
        is_enough: bool,
    ) -> Result<(Trial, usize), Stop> {
        const LIMIT: Duration = Duration::from_secs(40);
        self.prove("S2").await?;
        let refill_for = match (is_enough, self.lab.options.fast) {
            (true, _) => Duration::ZERO,
            (false, true) => Duration::from_secs(3),
            (false, false) => Duration::from_secs(25),
        };
        let began = Instant::now();
        let mut probe = self.lab.begin(form).await?;
        let patience = Patience::of(self.lab.patience());
        let faults = self.on_paths(fault);
        let mut between = Refill::default();
        let mut refilled = Duration::ZERO;
        let (mut retried, mut rounds) = (0, 0);
        loop {
            let before = (self.lab.starts(&probe).len(), probe.trial.pages.len());
            self.lab.arm(&mut probe, &faults).await?;
            self.lab.one_page(&mut probe, patience).await;
            let failed = Instant::now();
            self.good_pages(&mut probe, between.pages).await?;
            sleep(between.pause).await;
            if between.is_needed() {
                refilled += failed.elapsed();
            }
            rounds += 1;
            self.lab.read().await?;
            let pages = probe.trial.pages.len() - before.1;
            let calls = self.lab.starts(&probe).len() - before.0;
            let more = calls as f64 - pages as f64 * self.calm.scale.calls_per_page;
            match more >= 0.5 {
                true => retried += 1,
                false if retried > 0 && refilled < refill_for => between.more(),
                false => {}
            }
            if refilled >= refill_for {
                between = Refill::default();
            }
            // Pages that go well and call no more tell of something else than a budget.
            let has_stopped = (calls as f64) < pages as f64 * self.calm.scale.calls_per_page * 0.5;
            let is_done = retried >= SINGLE_FAILURES || (retried == 0 && rounds >= WITHOUT_RETRY);
            let may_refill = retried < WAITS_ENOUGH && refilled < refill_for && !has_stopped;
            if is_done || !(rounds < SINGLE_FAILURES || may_refill) || began.elapsed() >= LIMIT {
                break;
            }
        }
        Ok((self.finish("S2", probe, &faults).await?, retried))
    }

    /// S8: what the answer says is the caller's mistake.
    pub(super) async fn client_errors(&mut self) -> Result<(), Stop> {
        let patience = Patience::of(self.lab.patience());
        for status in [404, 400, 401, 409, 422] {
            let form = status.to_string();
            for (path, faults) in self.each_alone(&json!({ "abort": status })) {
                let mut trial = self.serial("S8", &form, &faults, 1, patience).await?;
                trial.path = path;
                self.battery.client_errors.push(trial);
            }
        }
        Ok(())
    }

    /// S11: every call of a page fails, again and again with good pages between, until the waits can be told.
    pub(super) async fn all_503(&mut self) -> Result<(), Stop> {
        const ROUNDS: usize = 14;
        const LIMIT: Duration = Duration::from_secs(12);
        /// Where it is not clear yet whether waits grow.
        const LIMIT_UNCLEAR: Duration = Duration::from_secs(20);
        let began = Instant::now();
        let faults = self.on_paths(&json!({ "abort": 503 }));
        let patience = Patience::of(self.lab.patience());
        let mut all = Trial::default();
        for round in 1.. {
            self.settle_before().await?;
            all.append(self.serial("S11", "503", &faults, 1, patience).await?);
            let chains = all.chains();
            let (first, second) = (gaps(&chains, 1).len(), gaps(&chains, 2).len());
            // Who does not retry, or once at most, need not be asked more often.
            let is_enough = match self.lab.options.fast {
                true => second >= 4,
                false => second >= WAITS_MIN,
            };
            let is_told = (first == 0 && round >= 2) || (second == 0 && round >= 4) || is_enough;
            let may_tell = (WAITS_MIN..GROWTH_WAITS).contains(&second);
            let is_over = match may_tell && self.is_growth_unclear(&all) {
                true => began.elapsed() >= LIMIT_UNCLEAR,
                false => is_told || round >= ROUNDS || began.elapsed() >= LIMIT,
            };
            if is_over {
                break;
            }
        }
        // A fallback that says that something is missing needs no other sign.
        for page in all.pages.iter().filter(|it| it.is_whole()) {
            if let Some(content) = &page.content {
                self.scale.fallback.learn(content);
            }
        }
        self.battery.all_503 = Some(all);
        Ok(())
    }

    /// Whether more waits may tell if they grow.
    fn is_growth_unclear(&self, all_503: &Trial) -> bool {
        let waits = Battery {
            all_503: Some(all_503.clone()),
            one_failure: self.battery.one_failure.clone(),
            ..Battery::default()
        };
        let is_wanted = !self.lab.options.fast && self.wants(&[Id::NoBackoffGrowth]);
        is_wanted && growth_is_unclear(&self.scale, &waits)
    }

    /// S9: the answer says when to come back, later than the page may take.
    pub(super) async fn retry_after(&mut self) -> Result<(), Stop> {
        let budget = self.lab.options.budget.as_secs_f64();
        let seconds = (budget * 1.5).ceil().max(1.0);
        let patience = Patience::of(self.lab.patience());
        for (form, status, value) in [
            ("503", 503, format!("{seconds}s")),
            ("429", 429, format!("{seconds}s")),
            ("503 with a date", 503, format!("date:{}s", seconds + 1.0)),
        ] {
            let abort = json!({ "abort": { "status": status, "retry_after": value } });
            for (path, faults) in self.each_alone(&abort) {
                // Who waits for one Retry-After waits for another, and each takes longer than a page.
                let waits =
                    |it: &Trial| it.path == path && it.longest_wait() as f64 >= seconds * 1e6;
                if self.battery.retry_after.iter().any(waits) {
                    continue;
                }
                self.settle_before().await?;
                let began = Instant::now();
                let mut trial = self.serial("S9", form, &faults, 1, patience).await?;
                trial.path = path;
                self.battery.retry_after.push(trial);
                if self.works_after_pages() {
                    // What waits for its time behind a page that has ended would be taken for an early retry of the next one.
                    let told = Duration::from_secs_f64(seconds + 1.2);
                    sleep(told.saturating_sub(began.elapsed())).await;
                }
            }
        }
        Ok(())
    }

    /// S10: what must not be done twice.
    pub(super) async fn orders(&mut self) -> Result<(), Stop> {
        if self.lab.order.is_none() {
            return Ok(());
        }
        let abort = |at: &str| json!({ "abort": { "status": 503, "at": at } });
        let reset = |at: &str| json!({ "reset": { "at": at } });
        let forms = [
            ("no fault", None),
            ("a 503 before its work", Some(abort("before"))),
            ("a 503 after its work", Some(abort("after"))),
            ("a reset before its work", Some(reset("request"))),
            ("a reset after its work", Some(reset("response_head"))),
            ("no answer", Some(json!({ "blackhole": {} }))),
        ];
        let patience = Patience::of(self.lab.patience());
        for (form, fault) in forms {
            self.prove("S10").await?;
            let mut probe = self.lab.begin(form).await?;
            let mut faults: Vec<Value> = fault.into_iter().collect();
            for fault in &mut faults {
                fault["match"] = json!({ "method": ["POST", "PUT", "PATCH", "DELETE"] });
            }
            if !faults.is_empty() {
                self.lab.arm(&mut probe, &faults).await?;
            }
            self.lab.place_order(&mut probe, patience).await;
            self.settle_after("S10", &probe, patience).await?;
            let trial = self.finish("S10", probe, &faults).await?;
            self.battery.orders.push(trial);
        }
        Ok(())
    }

    /// S24: an answer whose content is not what it should be.
    pub(super) async fn damaged(&mut self) -> Result<(), Stop> {
        let body = |text: &str, kind: &str| json!({ "mutate": { "response": { "body": text, "set": { "content-type": kind } } } });
        let forms = [
            ("broken JSON", json!({ "corrupt": { "how": "json" } })),
            (
                "a text instead of an object",
                body("\"busy\"", "application/json"),
            ),
            ("an empty object", body("{}", "application/json")),
            (
                "a page of HTML",
                body("<html><body>busy</body></html>", "text/html"),
            ),
        ];
        let patience = Patience::of(self.lab.patience());
        for (form, fault) in forms {
            for (path, faults) in self.each_alone(&fault) {
                let mut trial = self.serial("S24", form, &faults, 1, patience).await?;
                trial.path = path;
                self.battery.damaged.push(trial);
            }
        }
        Ok(())
    }

    /// S23: an answer that ends early.
    pub(super) async fn truncated(&mut self) -> Result<(), Stop> {
        // A client may notice the end of one framing and not of the other, whichever its upstream uses today.
        for framing in ["content_length", "chunked"] {
            for (form, ending) in [("closed", "fin"), ("reset", "rst")] {
                let form = format!("{}, {form}", framing.replace('_', "-"));
                self.truncated_as(&form, framing, ending).await?;
            }
        }
        self.truncated_as("clean", "as_it_came", "clean").await
    }

    async fn truncated_as(&mut self, form: &str, framing: &str, ending: &str) -> Result<(), Stop> {
        let patience = Patience::of(self.lab.patience());
        let truncate = json!({ "fraction": 0.5, "ending": ending, "framing": framing });
        for (path, faults) in self.each_alone(&json!({ "truncate": truncate })) {
            let mut trial = self.serial("S23", form, &faults, 1, patience).await?;
            trial.path = path;
            self.battery.truncated.push(trial);
        }
        Ok(())
    }

    /// S6 and S7, for each path at which the client gives up each attempt that hangs in time.
    pub(super) async fn slow_bodies(&mut self) -> Result<(), Stop> {
        let limit = self.scale.page_limit();
        for path in self.page_paths() {
            let of_path = |it: &&Trial| it.path.as_deref() == Some(&path.path);
            let hang = self.battery.hang.iter().find(of_path);
            let ends =
                hang.is_some_and(|it| it.longest_page() <= limit || gives_up_each(&self.scale, it));
            if !ends {
                continue;
            }
            let length = path.bytes;
            if let Some(dribble) = self.dribble(length) {
                let trial = self.slow_body("S6", &path, &dribble).await?;
                self.battery.dribble.push(trial);
            }
            let stall = json!({ "stall": { "after_bytes": format!("{}B", length / 2), "for": "until_removed" } });
            let trial = self.slow_body("S7", &path, &stall).await?;
            self.battery.stall_in_body.push(trial);
        }
        Ok(())
    }

    /// One page whose answer comes too slowly. One that is late is asked for again, and the quicker of the two counts: the abort of
    /// Node's fetch, for one, is lost now and then once the body has begun.
    async fn slow_body(
        &mut self,
        id: &'static str,
        path: &PathCalm,
        fault: &Value,
    ) -> Result<Trial, Stop> {
        let patience = Patience::of(self.lab.patience());
        let faults = [on_path(fault, path)];
        let mut trial = self.serial(id, &path.path, &faults, 1, patience).await?;
        if trial.longest_page() > self.scale.page_limit() {
            let again = self.serial(id, &path.path, &faults, 1, patience).await?;
            if again.longest_page() < trial.longest_page() && again.struck > Some(0) {
                trial = again;
            }
        }
        trial.path = Some(path.path.clone());
        Ok(trial)
    }

    /// An answer that takes longer than any page may, in steps that a time-out of single reads does not notice. None for
    /// one too short to be cut so.
    fn dribble(&self, length: u64) -> Option<Value> {
        let whole =
            self.lab.options.budget.mul_f64(1.8) + Duration::from_micros(self.scale.page_p95);
        let step = (self.timeout() / 2).clamp(Duration::from_millis(5), Duration::from_millis(150));
        let steps = whole.as_millis().div_ceil(step.as_millis());
        let chunks = u32::try_from(steps)
            .unwrap_or(u32::MAX)
            .min(u32::try_from(length).unwrap_or(u32::MAX));
        let fits = chunks >= 2 && whole / chunks < self.timeout().mul_f64(0.8);
        fits.then(|| json!({ "dribble": { "chunks": chunks, "duration": duration(whole) } }))
    }

    /// S14: a share of the calls fails, one page at a time so that each retry is known.
    pub(super) async fn partial(&mut self) -> Result<(), Stop> {
        const PERCENT: u32 = 40;
        const FOR: Duration = Duration::from_secs(10);
        /// Enough calls to tell a budget of a fifth from none, also where a breaker opens now and then.
        const CALLS: usize = 200;
        const PAGES_MAX: usize = 800;
        self.prove("S14").await?;
        let mut probe = self.lab.begin("40 %").await?;
        let faults = self.on_paths(&json!({ "abort": 503, "percent": PERCENT }));
        let patience = Patience::of(self.lab.patience());
        self.lab.arm(&mut probe, &faults).await?;
        let deadline = Instant::now() + FOR;
        let mut calls = 0;
        while Instant::now() < deadline && calls < CALLS && probe.trial.pages.len() < PAGES_MAX {
            for _ in 0..10 {
                self.lab.one_page(&mut probe, patience).await;
                sleep(Duration::from_millis(5)).await;
            }
            self.lab.read().await?;
            calls = self.lab.starts(&probe).len() / self.calm.paths.len();
        }
        let trial = self.finish("S14", probe, &faults).await?;
        self.battery.partial = Some(trial);
        self.battery.partial_percent = PERCENT;
        Ok(())
    }

    pub(super) fn page_paths(&self) -> Vec<PathCalm> {
        let paths = self.calm.paths.iter().filter(|it| !it.scale.background);
        paths.cloned().collect()
    }
}

/// What lies between two single failures.
#[derive(Debug, Clone, Copy)]
struct Refill {
    /// Pages that go well.
    pages: usize,
    pause: Duration,
}

impl Default for Refill {
    fn default() -> Self {
        Self {
            pages: 2,
            pause: Duration::ZERO,
        }
    }
}

impl Refill {
    /// A budget is earned by calls, or by time.
    fn more(&mut self) {
        const PAGES_MAX: usize = 64;
        const PAUSE_MIN: Duration = Duration::from_millis(100);
        const PAUSE_MAX: Duration = Duration::from_secs(2);
        self.pages = (self.pages * 2).min(PAGES_MAX);
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
    }

    fn is_needed(&self) -> bool {
        !self.pause.is_zero()
    }
}

/// The last pages of an experiment and what belongs to them.
fn last_pages(mut trial: Trial, pages: usize) -> Trial {
    let first = trial.pages.len().saturating_sub(pages);
    trial.pages.drain(..first);
    if let Some(begin) = trial.pages.first().map(|it| it.sent) {
        trial.attempts.retain(|it| it.t_head >= begin);
    }
    trial
}
