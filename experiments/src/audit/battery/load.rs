//! Experiments with pages at a rate.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Experiments, Probe, RECOVERY, Stop, duration};
use crate::{
    audit::caller::Patience,
    forensics::{
        FindingId as Id,
        rules::{Trial, looks_held},
    },
};

/// Between two looks at the journal.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How long a client that does not come back is watched at least.
pub(super) const WATCH_MIN: Duration = Duration::from_secs(11);
/// How long calls must go on in an outage before it is said that nothing stops them, where a breaker may look at a share of
/// failures over time, which the good calls before the outage keep low:
/// more than the 10 s over which opossum looks, and with the outage before it most of the 30 s of Polly.
pub(super) const GOES_ON_LONG: Duration = Duration::from_secs(16);

impl Experiments<'_, '_> {
    /// S12 and S13: one page fails, or hangs; then all is well.
    pub(super) async fn after_one(&mut self) -> Result<(), Stop> {
        let faults = self.on_paths(&json!({ "abort": 503 }));
        let trial = self.after_one_page("S12", "503", &faults).await?;
        self.battery.after_failure = Some(trial);
        // Spent, it holds what it took and takes no more.
        let hang = json!({ "blackhole": {}, "limit": self.hung_attempts });
        let faults = self.on_paths(&hang);
        let trial = self.after_one_page("S13", "no answer", &faults).await?;
        self.battery.after_hang = Some(trial);
        Ok(())
    }

    async fn after_one_page(
        &mut self,
        id: &'static str,
        form: &str,
        faults: &[Value],
    ) -> Result<Trial, Stop> {
        const FOR: Duration = Duration::from_millis(2_500);
        self.prove(id).await?;
        let mut probe = self.lab.begin(form).await?;
        self.lab.arm(&mut probe, faults).await?;
        let patience = Patience::of(self.lab.patience());
        self.lab.one_page(&mut probe, patience).await;
        let holds = faults.iter().any(|it| !it["blackhole"].is_null());
        match holds {
            true => probe.trial.removed = Some(self.lab.clock.now()),
            false => self.lab.disarm(&mut probe).await?,
        }
        let back = probe.trial.removed.unwrap_or(0);
        let load = self.lab.load(&mut probe, self.rate(10.0));
        let began = Instant::now();
        let limit = FOR.max(WATCH_MIN).max(self.open_time.mul_f64(2.5));
        loop {
            sleep(LOOK).await;
            self.lab.read().await?;
            let has_come_back = self.lab.starts(&probe).iter().any(|it| *it >= back);
            if began.elapsed() >= limit || (has_come_back && began.elapsed() >= FOR) {
                break;
            }
        }
        self.lab.end_load(&mut probe, load).await;
        let mut trial = self.finish(id, probe, faults).await?;
        trial.removed = Some(back);
        Ok(trial)
    }

    /// S21: every call is answered with 404.
    pub(super) async fn storm_404(&mut self) -> Result<(), Stop> {
        let faults = self.on_all(&json!({ "abort": 404 }));
        let rate = self.rate(40.0);
        let trial = self
            .under_load("S21", "404", &faults, rate, Duration::from_secs(4))
            .await?;
        self.battery.storm_404 = Some(trial);
        Ok(())
    }

    /// S19: no call is answered, for long enough that a breaker opens.
    pub(super) async fn hang_under_load(&mut self) -> Result<(), Stop> {
        let faults = self.on_all(&json!({ "blackhole": {} }));
        let page = self.battery.hang.iter().map(Trial::longest_page).max();
        let page = Duration::from_micros(page.unwrap_or(0)).min(self.lab.patience());
        let length = (page * 3 + Duration::from_secs(2)).max(Duration::from_millis(4_500));
        let rate = self.rate(20.0);
        let trial = self
            .under_load("S19", "no answer", &faults, rate, length)
            .await?;
        self.battery.hang_under_load = Some(trial);
        let limit = RECOVERY + self.open_time.mul_f64(2.5);
        // What was seen while calls hung holds also where there is no time for this.
        if let Ok(is_lost) = timeout_at(self.deadline, self.is_lost_after(limit)).await {
            self.battery.lost_after_hangs = is_lost?;
        }
        Ok(())
    }

    /// Whether the client is not well within a time, and its pages make no call.
    async fn is_lost_after(&mut self, limit: Duration) -> Result<bool, Stop> {
        const PAGES: usize = 3;
        if !self.calm.scale.each_page_calls() || self.is_well_within(limit).await? {
            return Ok(false);
        }
        let mut probe = self.lab.begin("").await?;
        Ok(self.calls(&mut probe, PAGES).await? == 0)
    }

    async fn under_load(
        &mut self,
        id: &'static str,
        form: &str,
        faults: &[Value],
        rate: f64,
        length: Duration,
    ) -> Result<Trial, Stop> {
        self.prove(id).await?;
        let longest = match self.opens_late {
            true => length.max(GOES_ON_LONG),
            false => length,
        };
        let mut probe = self.lab.begin(form).await?;
        let load = self.lab.load(&mut probe, rate);
        self.lab.arm(&mut probe, faults).await?;
        self.watch_calls_stop(&probe, rate, length, longest).await?;
        probe.trial.removed = Some(self.lab.clock.now());
        self.lab.end_load(&mut probe, load).await;
        let removed = probe.trial.removed;
        let mut trial = self.finish(id, probe, faults).await?;
        trial.removed = removed;
        Ok(trial)
    }

    /// For `length`, and while calls go on for `longest`. Once they stop, until the last third of the whole time lies behind that:
    /// there it is looked at what pages are like then.
    async fn watch_calls_stop(
        &mut self,
        probe: &Probe,
        rate: f64,
        length: Duration,
        longest: Duration,
    ) -> Result<(), Stop> {
        let began = Instant::now();
        let mut stopped = None;
        loop {
            sleep(LOOK).await;
            let took = began.elapsed();
            stopped = match self.calls_go_on(probe, rate).await? {
                true => None,
                false => stopped.or(Some(took)),
            };
            let enough = match stopped {
                Some(at) => length.max(at.mul_f64(1.6)),
                None => longest,
            };
            if took >= enough {
                return Ok(());
            }
        }
    }

    /// Whether pages called in the last second as they do in calm.
    async fn calls_go_on(&mut self, probe: &Probe, rate: f64) -> Result<bool, Stop> {
        const SECOND_US: u64 = 1_000_000;
        self.lab.read().await?;
        let since = self.lab.clock.now().saturating_sub(SECOND_US);
        let lately = self.lab.starts(probe).into_iter().filter(|it| *it >= since);
        Ok(lately.count() as f64 >= rate * self.calm.scale.calls_per_page * 0.8)
    }

    /// S20: calls are slow, and below the time-out; more of them than a client has places. Another endpoint is watched.
    pub(super) async fn slow_under_load(&mut self) -> Result<(), Stop> {
        /// More than a client should give to one dependency.
        const PLACES: f64 = 24.0;
        let mut is_sure = false;
        for share in [0.4, 0.8] {
            let latency = self.timeout().mul_f64(share).min(Duration::from_secs(2));
            let told = self.lab.options.rate.unwrap_or(150.0);
            let call = latency + Duration::from_micros(self.calm.scale.call_p50);
            let rate = (PLACES / call.as_secs_f64()).clamp(5.0, told);
            let Some(trial) = self.slow_at(latency, rate).await? else {
                continue;
            };
            // A second look tells the service from a machine that was busy for a moment.
            let is_doubted = trial.busy || looks_held(&self.scale, &trial);
            self.battery.slow_under_load.push(trial);
            if is_doubted && !is_sure && self.wants(&[Id::NoBulkhead]) {
                let again = self.slow_at(latency, rate).await?;
                is_sure = again
                    .as_ref()
                    .is_some_and(|it| !it.busy && looks_held(&self.scale, it));
                self.battery.slow_under_load.extend(again);
            }
        }
        Ok(())
    }

    /// At a rate that the service bears while nothing is broken: half of it where it does not. None where it bears none that
    /// would fill its places.
    async fn slow_at(&mut self, latency: Duration, mut rate: f64) -> Result<Option<Trial>, Stop> {
        const BEFORE: Duration = Duration::from_millis(1_200);
        const FOR: Duration = Duration::from_secs(3);
        let form = duration(latency);
        let faults = self.on_all(&json!({ "latency": form }));
        let bearable = self.calm.scale.page_p50 * 3 + 20_000;
        for _ in 0..3 {
            self.prove("S20").await?;
            let mut probe = self.lab.begin(&form).await?;
            let load = self.lab.load(&mut probe, rate);
            let patience = Patience::of(self.lab.patience());
            let watch = self.lab.watch.as_ref().map(|it| it.load(10.0, patience));
            sleep(BEFORE).await;
            if load.median(self.lab.clock.now()) > bearable {
                self.lab.end_load(&mut probe, load).await;
                rate /= 2.0;
                continue;
            }
            self.lab.arm(&mut probe, &faults).await?;
            sleep(FOR.max(latency * 3)).await;
            if let Some(watch) = watch {
                probe.trial.watched = watch.stop(Duration::from_secs(1)).await;
            }
            self.lab.end_load(&mut probe, load).await;
            return self.finish("S20", probe, &faults).await.map(Some);
        }
        Ok(None)
    }

    /// S18: the breaker opens, and the first calls after that find a dependency that is slow and well.
    pub(super) async fn half_open(&mut self) -> Result<(), Stop> {
        const OPENS_WITHIN: Duration = Duration::from_secs(4);
        const SILENT: Duration = Duration::from_millis(300);
        if self.open_time.is_zero() {
            return Ok(());
        }
        let slow = self.timeout().mul_f64(0.6).min(Duration::from_millis(200));
        // So many pages that a stampede has at least eight of them while the first answer is waited for.
        let told = self.lab.options.rate.unwrap_or(200.0);
        let rate = (10.0 / slow.as_secs_f64()).clamp(60.0, 200.0).min(told);
        let faults = self.on_all(&json!({ "abort": 503 }));
        self.prove("S18").await?;
        let mut probe = self.lab.begin(&duration(slow)).await?;
        let load = self.lab.load(&mut probe, rate);
        self.lab.arm(&mut probe, &faults).await?;
        let began = Instant::now();
        let mut is_open = false;
        while !is_open && began.elapsed() < OPENS_WITHIN {
            sleep(LOOK / 4).await;
            self.lab.read().await?;
            is_open = self.silences(&probe, rate).now >= SILENT;
        }
        self.lab.disarm(&mut probe).await?;
        let slowly = self.on_all(&json!({ "latency": duration(slow) }));
        self.lab.arm(&mut probe, &slowly).await?;
        let begins = self.lab.clock.now();
        let limit = self.open_time.mul_f64(2.5).max(Duration::from_secs(3));
        let began = Instant::now();
        loop {
            sleep(LOOK).await;
            self.lab.read().await?;
            let starts = self.lab.starts(&probe);
            let probes = starts.iter().filter(|it| **it >= begins);
            let enough = probes.min().is_some_and(|first| {
                self.lab.clock.now()
                    >= first + u64::try_from(slow.as_micros()).unwrap_or(0) + 300_000
            });
            if enough || began.elapsed() >= limit {
                break;
            }
        }
        self.lab.end_load(&mut probe, load).await;
        let mut trial = self.finish("S18", probe, &slowly).await?;
        trial.slow = Some(u64::try_from(slow.as_micros()).unwrap_or(u64::MAX));
        self.battery.half_open = Some(trial);
        Ok(())
    }
}
