//! Where one experiment is done: faults are armed, pages asked for, and what both sides saw is kept as a [`Trial`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    AuditError, Options, UnderTest,
    caller::{Caller, Load, Patience},
    clock::Clock,
};
use crate::{
    experiment::Predicate,
    forensics::{AttemptRecord, PageRecord, Usual, derive::quantile, rules::Trial},
    load::{Connection, DEGRADED},
    run::{Journal, Proxy, RequestJournal},
};

/// How long a fault lives if nobody removes it: longer than any experiment.
const LIFE: Duration = Duration::from_secs(180);
/// Between two looks at the journal.
const LOOK: Duration = Duration::from_millis(50);
/// A machine on which a tenth of the pages are sent later than this is too busy to judge a client.
const LATE_US: u64 = 40_000;

/// What one audit works with.
pub(super) struct Lab<'l> {
    pub(super) options: &'l Options,
    pub(super) client: &'l mut dyn UnderTest,
    proxy: &'l mut Proxy,
    journal: RequestJournal,
    pub(super) clock: Clock,
    pub(super) page: Caller,
    pub(super) watch: Option<Caller>,
    pub(super) order: Option<Caller>,
    /// The connection of pages that come one at a time.
    kept: Connection,
    /// Where to read the journal on.
    cursor: u64,
    ended: Vec<AttemptRecord>,
    open: Vec<AttemptRecord>,
    /// Records that were overwritten before they could be read.
    lost: u64,
    /// Faults so far, for their ids.
    faults: u64,
    /// The dependency that is being audited.
    pub(super) route: String,
    /// Paths that a page asks for once: all attempts at one are of the same logical request, whatever their query.
    asked_once: BTreeSet<String>,
    /// Paths that are called without pages.
    background: BTreeSet<String>,
    /// What pages say in calm, where nobody has told how one says that something is missing.
    usual: Option<Usual>,
    /// Whether pages have told by their content alone that something was missing.
    told_by_content: bool,
}

/// How a page says that something is missing.
fn degraded(options: &Options) -> Vec<Predicate> {
    match options.degraded.is_empty() {
        true => vec![Predicate::Header(DEGRADED, None)],
        false => options.degraded.clone(),
    }
}

/// An experiment in progress.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) trial: Trial,
    began: u64,
    /// The faults that are armed.
    armed: Vec<String>,
    /// Whether pages came at a rate, so that their lateness tells of this machine.
    at_a_rate: bool,
}

impl<'l> Lab<'l> {
    pub(super) async fn new(
        options: &'l Options,
        client: &'l mut dyn UnderTest,
        proxy: &'l mut Proxy,
    ) -> Result<Self, AuditError> {
        let clock = Clock::of(&proxy.client)
            .await
            .map_err(AuditError::control)?;
        let journal = RequestJournal::from_now(proxy.client.clone()).await?;
        let key = options.seed ^ clock.now();
        let degraded = degraded(options);
        let caller = |endpoint: &super::Endpoint, nth: u64| {
            Caller::new(
                endpoint.clone(),
                degraded.clone(),
                clock,
                key.wrapping_mul(3).wrapping_add(nth),
            )
        };
        let page = caller(&options.page, 0);
        Ok(Self {
            options,
            client,
            proxy,
            journal,
            clock,
            watch: options.watch.as_ref().map(|it| caller(it, 1)),
            order: options.order.as_ref().map(|it| caller(it, 2)),
            kept: page.connection(),
            page,
            cursor: 0,
            ended: Vec::new(),
            open: Vec::new(),
            lost: 0,
            faults: 0,
            route: String::new(),
            asked_once: BTreeSet::new(),
            background: BTreeSet::new(),
            usual: None,
            told_by_content: false,
        })
    }

    /// Turns to a dependency.
    pub(super) fn turn_to(&mut self, route: &str) {
        route.clone_into(&mut self.route);
        self.asked_once.clear();
        self.background.clear();
    }

    /// From now on calls to these paths, which come without pages, are waited for no more and count for nothing here.
    pub(super) fn looks_away_from(&mut self, paths: BTreeSet<String>) {
        self.background = paths;
    }

    /// From now on all attempts of one page at one of these paths are of the same logical request.
    pub(super) fn asks_once(&mut self, paths: BTreeSet<String>) {
        self.asked_once = paths;
    }

    /// From now on a page that says of itself that it is another one than these is degraded, unless the user has told
    /// how a page says so.
    pub(super) fn knows(&mut self, usual: Usual) {
        self.usual = self.options.degraded.is_empty().then_some(usual);
    }

    /// Begins an experiment.
    pub(super) async fn begin(&mut self, form: &str) -> Result<Probe, AuditError> {
        self.read().await?;
        self.ended.clear();
        self.lost = 0;
        Ok(Probe {
            trial: Trial {
                form: form.to_owned(),
                ..Trial::default()
            },
            began: self.clock.now(),
            armed: Vec::new(),
            at_a_rate: false,
        })
    }

    /// Arms faults, all or none, each on the route that is audited.
    pub(super) async fn arm(
        &mut self,
        probe: &mut Probe,
        faults: &[Value],
    ) -> Result<(), AuditError> {
        let route = self.route.clone();
        self.arm_on(probe, &route, faults).await
    }

    /// As [`arm`](Self::arm), on any route.
    pub(super) async fn arm_on(
        &mut self,
        probe: &mut Probe,
        route: &str,
        faults: &[Value],
    ) -> Result<(), AuditError> {
        let (bodies, ids) = self.prepare(route, faults);
        self.proxy.arm_bodies("audit", bodies, LIFE).await?;
        probe.armed.extend(ids);
        if probe.trial.armed == 0 {
            probe.trial.armed = self.clock.now();
        }
        probe.trial.struck.get_or_insert(0);
        Ok(())
    }

    /// Gives each fault its id and route.
    fn prepare(&mut self, route: &str, faults: &[Value]) -> (Vec<(String, Value)>, Vec<String>) {
        let bodies: Vec<(String, Value)> = faults
            .iter()
            .map(|fault| {
                self.faults += 1;
                let id = format!("audit-{}-{}", std::process::id(), self.faults);
                let mut body = fault.clone();
                body["id"] = json!(id);
                body["route"] = json!(route);
                (id, body)
            })
            .collect();
        let ids = bodies.iter().map(|(id, _)| id.clone()).collect();
        (bodies, ids)
    }

    /// Removes the faults of an experiment, and adds up how often they struck.
    pub(super) async fn disarm(&mut self, probe: &mut Probe) -> Result<(), AuditError> {
        for id in std::mem::take(&mut probe.armed) {
            let (state, is_gone) = self.proxy.remove(&id).await;
            if !is_gone {
                return Err(AuditError::FaultLeft(id));
            }
            let injected = state.and_then(|it| it.counters).map_or(0, |it| it.injected);
            *probe.trial.struck.get_or_insert(0) += injected;
        }
        probe.trial.removed = Some(self.clock.now());
        Ok(())
    }

    /// How often the faults of an experiment that are armed now have struck.
    pub(super) async fn struck(&self, probe: &Probe) -> u64 {
        let Some(states) = self.proxy.states().await else {
            return 0;
        };
        let injected = probe.armed.iter().filter_map(|id| {
            let state = states.get(id)?;
            state.counters.map(|it| it.injected)
        });
        injected.sum()
    }

    /// Asks for one page over the kept connection.
    pub(super) async fn one_page(&mut self, probe: &mut Probe, patience: Patience) -> PageRecord {
        let page = self.any_page(patience).await;
        probe.trial.pages.push(page.clone());
        page
    }

    async fn any_page(&mut self, patience: Patience) -> PageRecord {
        let page = self.page.clone();
        let mut seen = page.ask(&mut self.kept, Instant::now(), patience).await;
        self.mark(&mut seen);
        seen
    }

    fn mark(&mut self, page: &mut PageRecord) {
        if let (Some(usual), Some(content), false) = (&self.usual, &page.content, page.degraded) {
            page.degraded = usual.is_told_apart_by(content);
            self.told_by_content |= page.degraded;
        }
    }

    /// What told that something was missing on a page; empty where it was content that differs from calm.
    pub(super) fn degraded_if(&self) -> Vec<String> {
        match self.told_by_content {
            true => Vec::new(),
            false => degraded(self.options)
                .iter()
                .map(Predicate::to_string)
                .collect(),
        }
    }

    /// Asks for a page that no experiment counts.
    pub(super) async fn spare_page(&mut self) -> PageRecord {
        self.any_page(Patience::of(self.patience())).await
    }

    /// Places one order.
    pub(super) async fn place_order(&mut self, probe: &mut Probe, patience: Patience) {
        let Some(order) = self.order.clone() else {
            return;
        };
        let page = order
            .ask(&mut order.connection(), Instant::now(), patience)
            .await;
        probe.trial.pages.push(page);
    }

    /// How long a page is waited for before it counts as one that never ends: five times its budget, and longer than
    /// the usual time-outs of libraries where there is time.
    pub(super) fn patience(&self) -> Duration {
        let least = if self.options.fast { 5 } else { 12 };
        (self.options.budget * 5).clamp(Duration::from_secs(least), Duration::from_secs(30))
    }

    /// Pages at a rate.
    pub(super) fn load(&self, probe: &mut Probe, rate: f64) -> Load {
        probe.at_a_rate = true;
        self.page.load(rate, Patience::of(self.patience()))
    }

    /// Ends a load; its pages are the experiment's.
    pub(super) async fn end_load(&mut self, probe: &mut Probe, load: Load) {
        let limit = (self.options.budget * 2).max(Duration::from_secs(1));
        let mut pages = load.stop(limit).await;
        for page in &mut pages {
            self.mark(page);
        }
        probe.trial.pages.extend(pages);
    }

    /// Reads what is new in the journal.
    pub(super) async fn read(&mut self) -> Result<(), AuditError> {
        let page = self.journal.read(self.cursor).await?;
        self.cursor = page.next;
        self.lost += page.lost;
        self.open.clear();
        for attempt in page.attempts {
            match attempt.is_open() {
                true => self.open.push(attempt),
                false => self.ended.push(attempt),
            }
        }
        Ok(())
    }

    /// When attempts of pages on the route that is audited began since the experiment did, in order. As of the last reading.
    pub(super) fn starts(&self, probe: &Probe) -> Vec<u64> {
        let mut starts: Vec<u64> = self.attempts(probe).map(|it| it.t_head).collect();
        starts.sort_unstable();
        starts
    }

    /// How long the longest of these attempts took, or is open.
    pub(super) fn longest(&self, probe: &Probe) -> Duration {
        let longest = self.attempts(probe).map(AttemptRecord::duration).max();
        Duration::from_micros(longest.unwrap_or(0))
    }

    fn attempts(&self, probe: &Probe) -> impl Iterator<Item = &AttemptRecord> {
        let (all, began) = (self.ended.iter().chain(&self.open), probe.began);
        all.filter(move |it| self.is_of_pages(it) && it.t_head >= began)
    }

    /// Whether it is on the route that is audited, and not of the background.
    fn is_of_pages(&self, attempt: &AttemptRecord) -> bool {
        attempt.route == self.route && !self.background.contains(&attempt.path)
    }

    /// Whether attempts of the experiment are in progress. As of the last reading.
    pub(super) fn is_any_open(&self) -> bool {
        self.open.iter().any(|it| self.is_of_pages(it))
    }

    /// Waits until nothing is in progress on the route and nothing has begun for `calm`, up to `limit`.
    pub(super) async fn settle(
        &mut self,
        calm: Duration,
        limit: Duration,
    ) -> Result<bool, AuditError> {
        let deadline = Instant::now() + limit;
        let calm = u64::try_from(calm.as_micros()).unwrap_or(u64::MAX);
        loop {
            self.read().await?;
            let all = self.ended.iter().chain(&self.open);
            let last = all
                .filter(|it| self.is_of_pages(it))
                .map(|it| it.t_head)
                .max()
                .unwrap_or(0);
            if !self.is_any_open() && self.clock.now() >= last.saturating_add(calm) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            // Not a moment longer than the calm needs, where that alone is waited for.
            let left = last.saturating_add(calm).saturating_sub(self.clock.now());
            let left = Duration::from_micros(left).max(Duration::from_millis(1));
            sleep(if self.is_any_open() {
                LOOK
            } else {
                LOOK.min(left)
            })
            .await;
        }
    }

    /// Removes the faults of an experiment that was broken off, and forgets the connection that it may have used.
    pub(super) async fn clear(&mut self) -> Result<(), AuditError> {
        self.kept = self.page.connection();
        match self.proxy.roll_back().await.first() {
            Some(left) => Err(AuditError::FaultLeft(left.clone())),
            None => Ok(()),
        }
    }

    /// Ends an experiment: removes what is still armed, and reads what the proxy saw.
    pub(super) async fn finish(&mut self, mut probe: Probe) -> Result<Trial, AuditError> {
        // What is in progress is seen as it is under the fault.
        self.read().await?;
        if !probe.armed.is_empty() {
            let until = self.clock.now();
            self.disarm(&mut probe).await?;
            probe.trial.removed = None;
            probe.trial.until = until;
        } else {
            probe.trial.until = self.clock.now();
        }
        let mut trial = probe.trial;
        let second = self.options.second_source.as_deref();
        let mut seen: BTreeMap<u64, AttemptRecord> = BTreeMap::new();
        for attempt in self.ended.iter().chain(&self.open) {
            if attempt.t_head >= probe.began {
                seen.insert(attempt.number, attempt.clone());
            }
        }
        for mut attempt in seen.into_values() {
            if self.asked_once.contains(&attempt.path) {
                // Whatever their query, they ask for the same.
                attempt.fingerprint = attempt.path.clone();
            }
            if attempt.route == self.route {
                trial.attempts.push(attempt);
            } else if Some(attempt.route.as_str()) == second {
                trial.second.push(attempt);
            }
        }
        // A client that leaves early is counted by some faults only when they end.
        let own = format!("audit-{}-", std::process::id());
        let met = trial
            .attempts
            .iter()
            .filter(|it| it.faults.iter().any(|id| id.starts_with(&own)));
        let met = met.count() as u64;
        trial.struck = trial.struck.map(|it| it.max(met));
        trial.pages.sort_by_key(|it| it.sent);
        trial.busy = self.lost > 0 || (probe.at_a_rate && is_late(&trial.pages));
        Ok(trial)
    }

    /// Starts the service anew, if that is ours to do, and waits until its page is served.
    pub(super) async fn restart(&mut self) -> Result<bool, AuditError> {
        self.kept = self.page.connection();
        if !self.client.restart().await.map_err(AuditError::Service)? {
            return Ok(false);
        }
        self.wait_until_ready().await?;
        Ok(true)
    }

    /// Waits until the page is served for the first time.
    pub(super) async fn wait_until_ready(&mut self) -> Result<(), AuditError> {
        const PAUSE: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + self.options.ready_within;
        loop {
            if let Some(ended) = self.client.has_ended() {
                return Err(AuditError::Service(ended));
            }
            let page = self.spare_page().await;
            if page.is_good() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let seen = match page.status {
                    Some(status) => format!("its last answer had the status {status}"),
                    None => format!("no answer came from {}", self.options.page.address),
                };
                return Err(AuditError::NotReady {
                    within: self.options.ready_within,
                    seen,
                });
            }
            sleep(PAUSE).await;
        }
    }
}

impl Probe {
    /// When the experiment began.
    pub(super) fn began(&self) -> u64 {
        self.began
    }

    /// Whether pages came at a rate, not one after the other.
    pub(super) fn is_at_a_rate(&self) -> bool {
        self.at_a_rate
    }
}

fn is_late(pages: &[PageRecord]) -> bool {
    let late: Vec<u64> = pages
        .iter()
        .map(|it| it.sent.saturating_sub(it.intended))
        .collect();
    quantile(&late, 0.9).is_some_and(|it| it > LATE_US)
}
