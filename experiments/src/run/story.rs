//! The story of a run.

mod closing;
mod ending;
mod met;
mod phase;
mod prepare;
mod repetitions;
mod telling;
mod watching;

pub use self::prepare::planned;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use brownout_client::Client;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{repetitions::Repetition, telling::ClockShift};
use super::{
    CallerRecord, Event, PhaseRecord, ServicePoint, Verdict,
    account::{CallLog, FaultPhase},
    control::{FaultState, Proxy, RunError},
    event::{Judgement, PhaseKind},
    journal::{Journal, JournalError, JournalPage, NoJournal},
    judge::View,
    pages::{Pages, Shared},
    recording::Span,
    scrape::Scraper,
    services::Services,
};
use crate::experiment::{Expected, Experiment};

/// How often the story looks at guards, faults and the clock.
const LOOK: Duration = Duration::from_millis(100);
/// How long counters of a second that is over may take to be read.
const READ_SLACK: u64 = 400_000;

/// Runs one experiment against a proxy that is there.
///
/// Whatever happens, the faults and routes that it made are removed before it returns; also when `stop` is cancelled,
/// a guard trips or the time is over. If the future is dropped, or the process dies, each fault ends by itself: its
/// ttl is what is left of its phase and the file's `lease`.
pub struct Runner {
    /// What is run.
    pub experiment: Experiment,
    /// The file's name, as given.
    pub file: String,
    /// The proxy.
    pub control: Client,
    /// Where all chance comes from.
    pub seed: u64,
    /// The version of brownout, for reports.
    pub version: String,
    /// The command that does the same again, for reports.
    pub reproduce: String,
    /// The commit of what is tested, where it is known.
    pub commit: Option<String>,
    /// Cancelling it ends the run: rolled back, and reported.
    pub stop: CancellationToken,
    /// Where records of single attempts come from.
    pub journal: Box<dyn Journal>,
    /// The services of the demo that was started for it, callers before those they call; none without a demo.
    pub services: Vec<ServicePoint>,
}

/// Why a run gave no verdict, and what it left behind.
#[derive(Debug)]
pub struct RunFailure {
    /// Why.
    pub error: RunError,
    /// Faults that may still be armed.
    pub left: Vec<String>,
}

/// Why a run ends before its last phase.
#[derive(Debug)]
enum Halt {
    Interrupted,
    Guard {
        guard: String,
        observed: String,
    },
    TimedOut,
    SteadyNotMet,
    /// The steady state could not be judged.
    SteadyUnknown,
    Refused(RunError),
}

impl From<RunError> for Halt {
    fn from(error: RunError) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("file", &self.file)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// A run of `experiment` against the proxy at `control`, without journal.
    #[must_use]
    pub fn new(experiment: Experiment, file: &str, control: Client) -> Self {
        Self {
            seed: experiment.seed.unwrap_or(1),
            experiment,
            file: file.to_owned(),
            control,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reproduce: format!("brownout run {file}"),
            commit: None,
            stop: CancellationToken::new(),
            journal: Box::new(NoJournal),
            services: Vec::new(),
        }
    }

    /// Runs it, and tells what happens.
    ///
    /// # Errors
    /// When the proxy cannot be reached, a route or fault is refused, or the load's address is none: nothing can be
    /// said of the experiment then. Whatever is armed is removed first.
    pub async fn run(self, mut tell: impl FnMut(&Event)) -> Result<Verdict, RunFailure> {
        let mut proxy = Proxy::of(self.control.clone(), self.seed);
        let prepared = match self.prepare(&mut proxy).await {
            Ok(prepared) => prepared,
            Err(error) => {
                let left = proxy.roll_back().await;
                return Err(RunFailure { error, left });
            }
        };
        tell(&Event::RunStarted(prepared.started));
        let shared = prepared.shared;
        let mut watch: JoinSet<()> = JoinSet::new();
        if let Some(scraper) = Scraper::of(self.control.base()) {
            let shared = Arc::clone(&shared);
            watch.spawn(async move { scrape(shared, scraper).await });
        }
        let (watched, control) = (Arc::clone(&shared), self.control.clone());
        watch.spawn(async move { look_at_faults(watched, control).await });
        let deadline = Instant::now() + self.experiment.timeout;
        let mut story = Story {
            experiment: &self.experiment,
            stop: self.stop.clone(),
            hops: prepared.hops,
            pages: Pages::before(&shared),
            watching: Pages::watch(&shared),
            shared,
            proxy,
            journal: self.journal,
            services: Services::of(&self.services),
            counted: BTreeMap::new(),
            phases: Vec::new(),
            journal_next: 0,
            clock: ClockShift::default(),
            journal_read: Err(JournalError::NotThere),
            calls: CallLog::default(),
            fault_phases: Vec::new(),
            spans: Vec::new(),
            steady: None,
            tell: &mut tell,
            judgements: Vec::new(),
            repetition: Repetition {
                number: 1,
                of: self.experiment.verdict.repeat,
            },
            baseline: None,
            deadline,
            seconds_told: 0,
            struck_told: Vec::new(),
            exemplars_told: 0,
            guards_since: None,
        };
        story.compare_clocks().await;
        let halted = story.go().await.err();
        let ended = story.end(halted).await;
        drop(watch);
        ended
    }
}

/// The time of a phase.
#[derive(Debug, Clone)]
struct PhaseSpan {
    name: String,
    span: Span,
    /// Until when calls on routes are counted in it: longer where the load had left, and services worked on.
    routes_to: u64,
}

/// A run while it goes on.
struct Story<'r> {
    experiment: &'r Experiment,
    stop: CancellationToken,
    /// The routes that are measured.
    hops: Vec<String>,
    shared: Arc<Shared>,
    pages: Pages,
    /// The watched endpoint is asked by these.
    watching: JoinSet<()>,
    proxy: Proxy,
    journal: Box<dyn Journal>,
    services: Services,
    /// What callers had counted when the last phase ended.
    counted: BTreeMap<String, CallerRecord>,
    /// The phases that are over.
    phases: Vec<PhaseRecord>,
    journal_next: u64,
    /// How far the journal's clock is from the run's.
    clock: ClockShift,
    /// What the journal told when the last phase was over.
    journal_read: Result<JournalPage, JournalError>,
    /// All calls that it told of.
    calls: CallLog,
    /// The phases with faults that are over.
    fault_phases: Vec<FaultPhase>,
    /// All phases that began. The last one has no end while it goes on, or where it was cut short.
    spans: Vec<PhaseSpan>,
    /// The first steady state.
    steady: Option<Span>,
    tell: &'r mut dyn FnMut(&Event),
    judgements: Vec<Judgement>,
    repetition: Repetition,
    baseline: Option<Span>,
    deadline: Instant,
    /// Seconds that were told of, from the first.
    seconds_told: u32,
    /// Phases and faults whose first strike was told.
    struck_told: Vec<(String, String)>,
    exemplars_told: usize,
    /// Guards look at nothing before this, in µs; none while they do not look at all.
    guards_since: Option<u64>,
}

impl Story<'_> {
    fn say(&mut self, event: &Event) {
        (self.tell)(event);
    }

    /// Tells that a phase begins.
    fn begin(&mut self, name: &str, kind: PhaseKind, from: u64) {
        self.spans.push(PhaseSpan {
            name: name.to_owned(),
            span: Span { from, to: u64::MAX },
            routes_to: u64::MAX,
        });
        self.say(&Event::PhaseStarted {
            phase: name.to_owned(),
            kind,
            at_ms: from / 1_000,
        });
    }

    async fn go(&mut self) -> Result<(), Halt> {
        let first = self.proxy.seed;
        for number in 1..=self.repetition.of {
            self.repetition.number = number;
            self.proxy.seed = first.wrapping_add(u64::from(number - 1));
            self.once().await?;
        }
        Ok(())
    }

    /// Steady state, phases and recovery.
    async fn once(&mut self) -> Result<(), Halt> {
        let experiment = self.experiment;
        self.baseline = None;
        self.guards_since = None;
        if let Some(steady) = &experiment.steady {
            self.steady(steady).await?;
        }
        self.guards_since = Some(self.shared.now());
        for phase in &experiment.phases {
            self.phase(phase).await?;
        }
        if let Some(recovery) = &experiment.recovery {
            let name = self.repetition.named("recovery");
            let from = self.shared.now();
            self.begin(&name, PhaseKind::Recovery, from);
            self.pass(Some(recovery.observe), &name).await?;
            let span = self.close(&name, from).await?;
            let min_samples = experiment.verdict.min_samples;
            self.judge(&name, span, &recovery.expect, &BTreeMap::new(), min_samples);
        }
        Ok(())
    }

    /// Lets time pass, or serial pages come, and looks after guards and the clock.
    async fn pass(&mut self, length: Option<Duration>, phase: &str) -> Result<(), Halt> {
        if self.pages.is_away() {
            self.pages = Pages::start(&self.shared);
        }
        let end = length.map(|it| Instant::now() + it);
        match &self.pages {
            Pages::Serial(_) => self.pass_serially(end, phase).await,
            Pages::Background(_) | Pages::External => {
                let end = end.unwrap_or_else(Instant::now);
                loop {
                    let next = end.min(Instant::now() + LOOK);
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return Err(Halt::Interrupted),
                        () = sleep_until(next) => {}
                    }
                    self.look(phase)?;
                    if Instant::now() >= end {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Asks for one page after the other, until the end or as many as the file says.
    async fn pass_serially(&mut self, end: Option<Instant>, phase: &str) -> Result<(), Halt> {
        let pages = match (end, self.experiment.load.arrivals) {
            (None, crate::experiment::Arrivals::Serial(serial)) => serial.pages,
            _ => u64::MAX,
        };
        for _ in 0..pages {
            self.serial_page().await?;
            self.look(phase)?;
            if end.is_some_and(|end| Instant::now() >= end) {
                break;
            }
        }
        Ok(())
    }

    async fn serial_page(&mut self) -> Result<(), Halt> {
        let Pages::Serial(serial) = &mut self.pages else {
            return Ok(());
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Halt::Interrupted),
            () = sleep_until(self.deadline) => Err(Halt::TimedOut),
            () = serial.page() => Ok(()),
        }
    }

    fn view<'v>(
        &'v self,
        recording: &'v super::recording::Recording,
        span: Span,
        faults: &'v BTreeMap<String, FaultState>,
        journal: &'v Result<JournalPage, JournalError>,
    ) -> View<'v> {
        View {
            recording,
            asked: self.experiment.load.asked(),
            predicates: &self.shared.predicates,
            span,
            by_end: false,
            baseline: self.baseline,
            faults,
            phases: &self.phases,
            calls: None,
            journal: journal.as_ref(),
            min_samples: self.experiment.verdict.min_samples,
            confidence: self.experiment.verdict.confidence,
        }
    }

    /// Judges what is expected of a phase that is over, and tells it.
    fn judge(
        &mut self,
        phase: &str,
        span: Span,
        expected: &[Expected],
        faults: &BTreeMap<String, FaultState>,
        min_samples: u64,
    ) {
        // What is compared with other runs is judged when these are over.
        let expected = expected
            .iter()
            .filter(|it| it.expectation.other_run().is_none());
        let judged: Vec<Judgement> = {
            let recording = self.shared.recording();
            let view = self.view(&recording, span, faults, &self.journal_read);
            let view = View {
                min_samples,
                calls: Some(&self.calls),
                ..view
            };
            expected.map(|it| view.judge(phase, it)).collect()
        };
        for judgement in judged {
            self.judged(judgement);
        }
    }

    fn judged(&mut self, mut judgement: Judgement) {
        judgement.repetition = (!self.repetition.is_only()).then_some(self.repetition.number);
        self.tell_judged(judgement);
    }

    fn tell_judged(&mut self, judgement: Judgement) {
        self.say(&Event::Judged(judgement.clone()));
        self.judgements.push(judgement);
    }

    /// What the journal has since it was read last, on the run's clock.
    async fn read_journal(&mut self) -> Result<JournalPage, JournalError> {
        let mut page = self.journal.read(self.journal_next).await?;
        self.journal_next = page.next;
        let shift = self.clock.quickest(self.shared.now(), page.now);
        let shift = |moment: &mut u64| {
            *moment = u64::try_from(i128::from(*moment) + shift).unwrap_or(0);
        };
        for attempt in &mut page.attempts {
            attempt.shift(shift);
        }
        Ok(page)
    }
}

/// Reads what routes count, for as long as it is polled.
async fn scrape(shared: Arc<Shared>, scraper: Scraper) -> ! {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let before = shared.now();
        if let Some(counted) = scraper.read().await {
            // Between question and answer: the middle is off by half of that at most.
            let at = before.midpoint(shared.now());
            shared.recording().counted(at, &counted);
        }
    }
}

/// Reads what faults did, for as long as it is polled.
async fn look_at_faults(shared: Arc<Shared>, control: Client) -> ! {
    let proxy = Proxy::of(control, 0);
    let mut looks = tokio::time::interval(LOOK * 2);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Some(states) = proxy.states().await {
            let now = shared.now();
            shared.recording().faults_seen(now, states);
        }
    }
}
