//! Outages, and the return from each.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Experiments, Probe, Stop,
    load::{GOES_ON_LONG, LOOK, WATCH_MIN},
};
use crate::{
    audit::caller::{Load, Patience},
    forensics::{FindingId as Id, derive::quantile, rules::Trial},
};

/// What outages are for: themselves, and how long a breaker stays open.
pub(super) const OUTAGES: &[Id] = &[
    Id::NoEffectiveBreaker,
    Id::BreakerIgnores5xx,
    Id::BreakerNeverCloses,
    Id::HalfOpenStampede,
    Id::UncappedBackoff,
    Id::PoolLeak,
    Id::FallbackSameDependency,
    Id::SlowFallback,
];

/// How long a breaker may stay open; longer is not waited for.
const OPEN_MAX: Duration = Duration::from_secs(35);
/// So long a client must have been silent before it is said that it never calls again: longer than the minute for which
/// breakers stay open where nobody says anything else (resilience4j, pybreaker).
const SILENT_MAX: Duration = Duration::from_secs(65);

/// How long calls must go on in an outage before it is said that nothing stops them.
const GOES_ON: Duration = Duration::from_secs(4);

/// The shortest silence that tells anything.
const SHORTEST: Duration = Duration::from_millis(250);

/// What an outage is like, from the starts of attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silences {
    /// Those that ended.
    count: usize,
    first: Duration,
    longest: Duration,
    /// How often one was about twice as long as the one before.
    doublings: usize,
    /// Whether the last one was clearly longer than the first, and than the one before.
    is_growing: bool,
    /// How long the one that has not ended lasts.
    pub(super) now: Duration,
}

impl Experiments<'_, '_> {
    /// S15 and S17: an outage of 503s, for as long as it takes to see how the client waits, and the return from it.
    pub(super) async fn outage_of_503s(&mut self) -> Result<(), Stop> {
        let faults = self.on_all(&json!({ "abort": 503 }));
        let trial = self
            .outage("S15", "503", &faults, OPEN_MAX, GOES_ON)
            .await?;
        self.battery.outage_503 = Some(trial);
        Ok(())
    }

    /// S16 and S17: the same with resets. A pool that 503s use up needs no further proof.
    ///
    /// A breaker may look at the share of failures in the last seconds. Good calls before the first outage keep that low, and
    /// the first outage makes it high for this one. So where calls go on in the first, this one is longer; where they stop
    /// in this one alone, the first is tried again.
    pub(super) async fn outage_of_resets(&mut self) -> Result<(), Stop> {
        if self.battery.pool_places_503.is_some() {
            return Ok(());
        }
        let first = self.battery.outage_503.as_ref();
        let comes_back = first.is_some_and(|it| it.comes_back().is_some());
        let goes_on = first.is_some_and(|it| self.goes_on(it));
        let resets = self.on_all(&json!({ "reset": {} }));
        // Who does not come back from the first need not be waited for as long again.
        let longest = if comes_back { OPEN_MAX } else { WATCH_MIN };
        let long = if goes_on { GOES_ON_LONG } else { GOES_ON };
        let trial = (self.outage("S16", "reset", &resets, longest, long)).await?;
        let is_used_up = comes_back && trial.struck > Some(0) && trial.comes_back().is_none();
        self.opens_late = goes_on && !self.goes_on(&trial) && trial.comes_back().is_some();
        self.battery.outage_reset = Some(trial);
        if self.opens_late && self.wants(&[Id::BreakerIgnores5xx, Id::NoEffectiveBreaker]) {
            let of_503s = self.on_all(&json!({ "abort": 503 }));
            let again = self.outage("S15", "503 again", &of_503s, OPEN_MAX, GOES_ON_LONG);
            self.battery.outage_503 = Some(again.await?);
        }
        if is_used_up && self.wants(&[Id::PoolLeak]) {
            self.battery.pool_places = self.pool_places(&json!({ "reset": {} })).await?;
        }
        Ok(())
    }

    /// S27 with answers of 503, where no call comes back after an outage of them: a pool whose places they keep, or a breaker that never
    /// closes.
    pub(super) async fn places_of_answers(&mut self) -> Result<(), Stop> {
        let errors = self.battery.outage_503.as_ref();
        let never_back = errors.is_some_and(|it| {
            it.struck > Some(0) && it.comes_back().is_none() && !it.back_after_a_pause
        });
        if never_back && self.calm.scale.each_page_calls() {
            self.battery.pool_places_503 = self.pool_places(&json!({ "abort": 503 })).await?;
        }
        Ok(())
    }

    /// Whether each page calls, and calls came late in an outage about as often as in calm.
    fn goes_on(&self, trial: &Trial) -> bool {
        let scale = &self.calm.scale;
        let late = trial.late_calls_per_page().unwrap_or(0.0);
        !scale.background && scale.each_page_calls() && late >= scale.calls_per_page * 0.8
    }

    /// S27: single failures, with good pages between, until no call is made any more: the places of the pool. None where calls
    /// go on.
    async fn pool_places(&mut self, fault: &Value) -> Result<Option<u64>, Stop> {
        /// More places than that are not looked for.
        const RESETS_MAX: u64 = 64;
        const LIMIT: Duration = Duration::from_secs(30);
        /// So many pages go well after each failure that no breaker opens.
        const GOOD_PAGES: usize = 4;
        /// A breaker lets calls through again; a pool does not.
        const CALM: Duration = Duration::from_millis(2_500);
        self.prove("S27").await?;
        let mut fault = fault.clone();
        fault["limit"] = json!(1);
        let faults = self.on_paths(&fault);
        let mut probe = self.lab.begin("until no call is made").await?;
        let patience = Patience::of(self.lab.patience());
        let began = Instant::now();
        let calm = CALM.max(self.open_time.mul_f64(1.5));
        let mut places = None;
        while probe.trial.struck.unwrap_or(0) < RESETS_MAX && began.elapsed() < LIMIT {
            self.lab.arm(&mut probe, &faults).await?;
            self.lab.one_page(&mut probe, patience).await;
            self.lab.disarm(&mut probe).await?;
            if self.calls(&mut probe, GOOD_PAGES).await? > 0 {
                continue;
            }
            sleep(calm).await;
            if self.calls(&mut probe, 2).await? == 0 {
                places = probe.trial.struck;
                break;
            }
        }
        self.finish("S27", probe, &faults).await?;
        Ok(places)
    }

    /// How many calls so many pages make.
    pub(super) async fn calls(&mut self, probe: &mut Probe, pages: usize) -> Result<usize, Stop> {
        self.lab.read().await?;
        let before = self.lab.starts(probe).len();
        let patience = Patience::of(self.lab.patience());
        for _ in 0..pages {
            self.lab.one_page(probe, patience).await;
        }
        self.lab.read().await?;
        Ok(self.lab.starts(probe).len() - before)
    }

    async fn outage(
        &mut self,
        id: &'static str,
        form: &str,
        faults: &[Value],
        longest: Duration,
        goes_on: Duration,
    ) -> Result<Trial, Stop> {
        // Of calls that do not come of pages it is seen how far apart they are.
        let before = match self.calm.scale.background {
            true => Duration::from_millis(2_500),
            false => Duration::from_millis(700),
        };
        if !self.calm.scale.background {
            self.prove(id).await?;
        }
        let rate = self.rate(30.0);
        let began = Instant::now();
        let mut probe = self.lab.begin(form).await?;
        let load = self.lab.load(&mut probe, rate);
        sleep(before).await;
        self.lab.arm(&mut probe, faults).await?;
        self.watch_outage(&probe, &load, rate, longest, goes_on)
            .await?;
        self.lab.disarm(&mut probe).await?;
        let is_back = self.watch_return(&probe, &load, rate, longest).await?;
        self.lab.end_load(&mut probe, load).await;
        let mut trial = self.finish(id, probe, faults).await?;
        if !is_back && !self.calm.scale.background {
            // Some come back only when nobody asks for a while.
            sleep(Duration::from_millis(2_500)).await;
            let well = self.is_well_within(Duration::from_secs(3)).await?;
            trial.back_after_a_pause = well;
        }
        self.deadline += self.lab.options.longer_after(began.elapsed());
        Ok(trial)
    }

    /// Until it is plain how the client waits: calls go on for so long, or it is silent again and again for as long, or for
    /// ever longer.
    async fn watch_outage(
        &mut self,
        probe: &Probe,
        load: &Load,
        rate: f64,
        longest: Duration,
        goes_on: Duration,
    ) -> Result<(), Stop> {
        const DOUBLING: Duration = Duration::from_secs(20);
        let began = Instant::now();
        loop {
            sleep(LOOK).await;
            self.lab.read().await?;
            let seen = self.silences(probe, rate);
            let elapsed = began.elapsed();
            if seen.count > 0 {
                self.open_time = self.open_time.max(seen.first);
            }
            let is_plain = match seen.count {
                // No breaker makes pages wait: no probe is to come.
                0 if seen.now >= GOES_ON => self.pages_wait(load),
                0 => {
                    elapsed >= goes_on
                        && seen.now < Duration::from_millis(500)
                        && (!self.silences_of(probe, SHORTEST).is_growing || elapsed >= DOUBLING)
                }
                1 => elapsed >= goes_on && self.goes_on_since(probe, rate, GOES_ON),
                // Ever longer ones are watched until there are enough of them: one more than three, which may be the way to an
                // upper bound.
                _ => !seen.is_growing || seen.doublings >= 4 || elapsed >= DOUBLING,
            };
            if (elapsed >= GOES_ON && is_plain) || elapsed >= longest {
                return Ok(());
            }
        }
    }

    /// Whether calls came for so long as they do in calm: a silence before was no breaker's, which opens again.
    fn goes_on_since(&self, probe: &Probe, rate: f64, span: Duration) -> bool {
        let usual = rate * self.calm.scale.calls_per_page * span.as_secs_f64();
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let since = self.lab.clock.now().saturating_sub(micros);
        let starts = self.lab.starts(probe).into_iter();
        let lately = starts.filter(|it| *it >= since.max(probe.trial.armed));
        !self.calm.scale.background && lately.count() as f64 >= usual * 0.9
    }

    /// Until calls come as they did in calm for a second, or for long enough that they will not.
    async fn watch_return(
        &mut self,
        probe: &Probe,
        load: &Load,
        rate: f64,
        longest: Duration,
    ) -> Result<bool, Stop> {
        const SECOND_US: u64 = 1_000_000;
        let began = Instant::now();
        let seen = self.silences(probe, rate);
        let limit = match seen.count {
            // No probe was seen: it may come yet.
            0 if longest == OPEN_MAX && seen.now >= WATCH_MIN && !self.pages_wait(load) => {
                SILENT_MAX.saturating_sub(seen.now)
            }
            _ => seen.longest.max(self.open_time).mul_f64(2.5),
        };
        let limit = limit.clamp(WATCH_MIN, OPEN_MAX + WATCH_MIN);
        let removed = probe.trial.removed.unwrap_or(0);
        let usual = match self.calm.scale.background {
            true => 1.0,
            false => rate * self.calm.scale.calls_per_page,
        };
        loop {
            sleep(LOOK).await;
            self.lab.read().await?;
            let now = self.lab.clock.now();
            let starts = self.lab.starts(probe);
            let of_late = |it: &&u64| **it >= removed && **it + SECOND_US >= now;
            let lately = starts.iter().filter(of_late).count() as f64;
            let enough = match self.calm.scale.each_page_calls() {
                true => (usual * 0.7).max(1.0),
                false => 1.0,
            };
            let is_back = now >= removed + SECOND_US && lately >= enough;
            if is_back || began.elapsed() >= limit {
                return Ok(is_back);
            }
        }
    }

    /// Whether pages wait for about a time-out, as they do for a place in a pool, and not when a breaker is open.
    fn pages_wait(&self, load: &Load) -> bool {
        let least = Duration::from_micros(self.calm.scale.page_p95 * 3);
        let took = Duration::from_micros(load.median(self.lab.clock.now()));
        took >= least.max(self.timeout() / 2)
    }

    /// The silences since the fault was armed: longer than the pauses between calls, and than those between retries.
    pub(super) fn silences(&self, probe: &Probe, rate: f64) -> Silences {
        let least = match self.calm.scale.background {
            true => usual_pause(&self.lab.starts(probe), probe.trial.armed).mul_f64(1.5),
            false => {
                let pause = 1.0 / (rate * self.calm.scale.calls_per_page).max(0.5);
                Duration::from_secs_f64(pause * 6.0)
            }
        };
        self.silences_of(probe, least.max(SHORTEST))
    }

    /// Those of at least a length.
    fn silences_of(&self, probe: &Probe, least: Duration) -> Silences {
        let starts: Vec<u64> = self.lab.starts(probe);
        let armed = probe.trial.armed;
        let mut lengths: Vec<Duration> = Vec::new();
        for pair in starts.windows(2).filter(|pair| pair[1] >= armed) {
            let length = Duration::from_micros(pair[1] - pair[0].max(armed));
            if length >= least {
                lengths.push(length);
            }
        }
        let is_double = |pair: &&[Duration]| pair[1] > pair[0].mul_f64(1.6);
        let last = starts.last().copied().unwrap_or(armed).max(armed);
        let longer = |than: Option<&Duration>, by: f64| match (lengths.last(), than) {
            (Some(last), Some(than)) => *last >= than.mul_f64(by),
            _ => false,
        };
        let before = lengths.len().checked_sub(2);
        Silences {
            count: lengths.len(),
            is_growing: longer(lengths.first(), 1.3)
                && longer(before.and_then(|it| lengths.get(it)), 1.2),
            first: lengths.first().copied().unwrap_or_default(),
            longest: lengths.iter().copied().max().unwrap_or_default(),
            doublings: lengths.windows(2).filter(is_double).count(),
            now: Duration::from_micros(self.lab.clock.now().saturating_sub(last)),
        }
    }
}

/// How far apart calls are that do not come of pages: the median of the pauses between them before the fault.
fn usual_pause(starts: &[u64], armed: u64) -> Duration {
    /// Where too few came.
    const UNKNOWN_US: u64 = 1_000_000;
    let calm = starts.windows(2).filter(|pair| pair[1] < armed);
    let pauses: Vec<u64> = calm.map(|pair| pair[1] - pair[0]).collect();
    Duration::from_micros(quantile(&pauses, 0.5).unwrap_or(UNKNOWN_US))
}
