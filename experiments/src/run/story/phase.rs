//! One phase: armed, passed, removed, judged.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Halt, LOOK, Story, met::connects, prepare::after_name};
use crate::{
    experiment::{Arrivals, Phase, PlannedFault, Steady, TailWatch},
    run::{
        Event, Exemplar, FaultTruth, Judgement, JudgementKind, JudgementVerdict, PhaseKind,
        RunError, TailRecord,
        account::{FaultPhase, PhaseFault},
        control::{FaultState, describe},
        pages::Pages,
        recording::{Page, Span},
        tail::Tail,
    },
};

/// Where one page in a hundred was sent later than this, the machine was too busy to measure.
const LATE_MAX_US: u64 = 100_000;
/// How many pages are told as worth a look.
const EXEMPLARS_MAX: usize = 10;

impl Story<'_> {
    pub(super) async fn steady(&mut self, steady: &Steady) -> Result<(), Halt> {
        let name = self.repetition.named("steady");
        if !steady.warmup.is_zero() {
            self.pass(Some(steady.warmup), &name).await?;
        }
        let from = self.shared.now();
        self.begin(&name, PhaseKind::Steady, from);
        self.pass(Some(steady.duration), &name).await?;
        let span = self.close(&name, from).await?;
        let faults = BTreeMap::new();
        let before = self.judgements.len();
        self.judge(&name, span, &steady.expect, &faults, steady.min_samples);
        self.baseline = Some(span);
        self.steady.get_or_insert(span);
        let own = &self.judgements[before..];
        let any = |verdict| own.iter().any(|it| it.verdict == verdict);
        if any(JudgementVerdict::Failed) {
            Err(Halt::SteadyNotMet)
        } else if any(JudgementVerdict::Inconclusive) {
            Err(Halt::SteadyUnknown)
        } else {
            Ok(())
        }
    }

    pub(super) async fn phase(&mut self, phase: &Phase) -> Result<(), Halt> {
        let named = self.repetition.named(&phase.name);
        let name = named.as_str();
        self.shared.set_leave_after(phase.leave_after);
        let life = self.life(phase);
        let whole: Vec<&PlannedFault> = phase
            .faults
            .iter()
            .filter(|it| it.pages.is_none())
            .collect();
        // What an earlier phase saw of a fault of the same id is not of this one.
        self.shared.recording().forget_faults();
        let unanswered_before = self.unanswered_syns(&phase.faults).await;
        self.proxy.arm(name, &whole, life).await?;
        let from = self.shared.now();
        if self.pages.is_away() {
            self.shared.recording().load_begins(from);
        }
        for fault in &phase.faults {
            self.say(&Event::FaultArmed {
                id: fault.id.clone(),
                phase: name.to_owned(),
                what: describe(&fault.body),
                body: fault.body.clone(),
                at_ms: from / 1_000,
            });
        }
        self.begin(name, PhaseKind::Fault, from);
        let by_page: Vec<&PlannedFault> = phase
            .faults
            .iter()
            .filter(|it| it.pages.is_some())
            .collect();
        let mut states = BTreeMap::new();
        let passed = if by_page.is_empty() {
            self.pass(phase.duration, name).await
        } else {
            self.pass_with_faults_for_pages(phase, name, &by_page, life, &mut states)
                .await
        };
        let to = self.shared.now();
        self.shared.set_leave_after(None);
        let passed = match (passed, &phase.tail) {
            (Ok(()), Some(tail)) => self.tail(name, tail).await.map(Some),
            (passed, _) => passed.map(|()| None),
        };
        let until = self.shared.now();
        let unanswered = self.unanswered_syns(&phase.faults).await;
        let mut left = Vec::new();
        for fault in &phase.faults {
            let (state, is_gone) = match states.get(&fault.id) {
                Some(state) => (Some(FaultState::clone(state)), true),
                None => self.proxy.remove(&fault.id).await,
            };
            if !is_gone {
                left.push(fault.id.clone());
            }
            // One that ended by itself was seen before.
            let state = state.or_else(|| self.shared.recording().fault_seen(&fault.id));
            let mut state = state.unwrap_or_default();
            if state.at_listener {
                state.counters = connects(&fault.id, &unanswered_before, &unanswered);
            }
            self.removed(name, fault, &state, from, until);
            states.insert(fault.id.clone(), state);
        }
        self.fault_phases
            .push(fault_phase(name, phase, Span { from, to }));
        let tail = passed?;
        let span = self.close_at(name, from, to, tail).await?;
        self.judge(
            name,
            span,
            &phase.expect,
            &states,
            self.experiment.verdict.min_samples,
        );
        self.judge_met(name, phase, &states, span);
        self.judge_lateness(name, span);
        self.tell_exemplars(name, span);
        if let Some(length) = phase.after_length() {
            self.after(phase, length, &states).await?;
        }
        Ok(())
    }

    /// Watches what comes after the faults of one phase.
    async fn after(
        &mut self,
        phase: &Phase,
        length: Duration,
        states: &BTreeMap<String, FaultState>,
    ) -> Result<(), Halt> {
        let name = self.repetition.named(&after_name(&phase.name));
        let from = self.shared.now();
        self.begin(&name, PhaseKind::After, from);
        self.pass(Some(length), &name).await?;
        let span = self.close(&name, from).await?;
        self.judge(
            &name,
            span,
            &phase.after,
            states,
            self.experiment.verdict.min_samples,
        );
        Ok(())
    }

    /// How long faults of a phase live if nobody removes them.
    fn life(&self, phase: &Phase) -> Duration {
        let guard = &self.experiment.guard;
        let serial = match self.experiment.load.arrivals {
            // Each page may take all of its patience.
            Arrivals::Serial(serial) => {
                let pages = u32::try_from(serial.pages).unwrap_or(u32::MAX);
                (self.experiment.load.timeout + serial.pause).saturating_mul(pages)
            }
            Arrivals::Open(_) | Arrivals::Closed(_) | Arrivals::External => Duration::ZERO,
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let tail = phase.tail.as_ref().map_or(Duration::ZERO, |it| it.limit);
        (phase.duration.unwrap_or(serial) + tail).min(left) + guard.lease
    }

    /// Arms faults anew for each page that they are for.
    async fn pass_with_faults_for_pages(
        &mut self,
        phase: &Phase,
        name: &str,
        faults: &[&PlannedFault],
        life: Duration,
        states: &mut BTreeMap<String, FaultState>,
    ) -> Result<(), Halt> {
        let end = phase.duration.map(|it| Instant::now() + it);
        let pages = match (end, self.experiment.load.arrivals) {
            (None, Arrivals::Serial(serial)) => serial.pages,
            _ => u64::MAX,
        };
        for fault in faults {
            states.insert(fault.id.clone(), FaultState::default());
        }
        for page in 1..=pages {
            for fault in faults {
                if let Some(every) = fault.pages.filter(|it| page % it.every == 0) {
                    self.proxy
                        .arm_for_page(name, fault, every.attempts, life)
                        .await?;
                }
            }
            let asked = self.serial_page().await;
            for fault in faults {
                if fault.pages.is_some_and(|it| page % it.every == 0) {
                    let (state, _) = self.proxy.remove(&fault.id).await;
                    add(states.entry(fault.id.clone()).or_default(), state);
                }
            }
            asked?;
            self.look(name)?;
            if end.is_some_and(|end| Instant::now() >= end) {
                break;
            }
        }
        Ok(())
    }

    /// The load leaves, and the service is watched until it has nothing to do, and nobody is left to give it something: a
    /// caller that works for nobody goes on calling it.
    async fn tail(&mut self, phase: &str, watch: &TailWatch) -> Result<TailRecord, Halt> {
        self.pages.leave(&self.shared).await;
        let began = Instant::now();
        let mut tail = Tail::default();
        let mut told = 0;
        loop {
            let all = self.services.ask().await;
            let all = all.map_err(|source| RunError::Stats { source })?;
            let of = all.iter().find(|(name, _)| *name == watch.of);
            let Some((_, of)) = of else {
                let service = watch.of.clone();
                return Err(RunError::NoService { service }.into());
            };
            let elapsed = began.elapsed();
            tail.saw(elapsed, of);
            if elapsed.as_secs() >= told {
                told = elapsed.as_secs() + 1;
                self.say(&Event::Tail {
                    phase: phase.to_owned(),
                    waiting: of.waiting(),
                    at_ms: self.shared.now() / 1_000,
                });
            }
            if !all.iter().any(|(_, it)| it.is_busy()) {
                return Ok(tail.ended(&watch.of));
            }
            if elapsed >= watch.limit {
                return Ok(tail.cut(&watch.of));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Halt::Interrupted),
                () = sleep(LOOK / 2) => {}
            }
            self.look(phase)?;
        }
    }

    fn removed(
        &mut self,
        phase: &str,
        fault: &PlannedFault,
        state: &FaultState,
        from: u64,
        to: u64,
    ) {
        let struck = self.shared.recording().struck();
        let struck = struck
            .into_iter()
            .find(|(id, _)| *id == fault.id)
            .map(|(_, at)| at);
        self.say(&Event::FaultRemoved(FaultTruth {
            id: fault.id.clone(),
            phase: phase.to_owned(),
            what: describe(&fault.body),
            armed_ms: from / 1_000,
            removed_ms: to / 1_000,
            // Seen between two looks, at the last.
            struck_ms: state.has_struck().then(|| struck.unwrap_or(to) / 1_000),
            counters: state.counters,
            magnitude: state.magnitude.clone(),
        }));
    }

    /// Where the load itself was late, its latencies say more of this machine than of the service.
    fn judge_lateness(&mut self, phase: &str, span: Span) {
        if !matches!(self.pages, Pages::Background(_)) {
            return;
        }
        let late = {
            let recording = self.shared.recording();
            let mut late: Vec<u64> = recording
                .pages_in(span)
                .map(|it| it.sent.saturating_sub(it.intended))
                .collect();
            late.sort_unstable();
            crate::run::recording::ranked(&late, 0.99).unwrap_or(0)
        };
        if late <= LATE_MAX_US {
            return;
        }
        let shown = crate::expectation::Unit::Time.show(late as f64 / 1e6);
        self.judged(Judgement {
            phase: phase.to_owned(),
            kind: JudgementKind::LoadInTime,
            text: "the load was sent in time".to_owned(),
            line: 0,
            column: 0,
            verdict: JudgementVerdict::Inconclusive,
            observed: format!("one page in a hundred was sent {shown} late or later"),
            expected: "<= 100ms".to_owned(),
            baseline: None,
            margin: None,
            samples: 0,
            interval: None,
            proven: None,
            why: Some("this machine was too busy to send pages in time".to_owned()),
            at_ms: span.to / 1_000,
            repetition: None,
        });
    }

    fn tell_exemplars(&mut self, phase: &str, span: Span) {
        let chosen = {
            let recording = self.shared.recording();
            let pages: Vec<&Page> = recording.pages_in(span).collect();
            let mut whole: Vec<&Page> = pages.iter().copied().filter(|it| !it.is_error()).collect();
            whole.sort_by_key(|it| it.latency());
            let failed = pages.iter().copied().find(|it| it.is_error());
            let typical = whole.get(whole.len() / 2).copied();
            let slowest = whole.last().copied();
            [
                ("failed", failed),
                ("slowest", slowest),
                ("typical", typical),
            ]
            .map(|(why, page)| (why, page.copied()))
        };
        for (why, page) in chosen {
            let Some(page) = page.filter(|_| self.exemplars_told < EXEMPLARS_MAX) else {
                continue;
            };
            self.exemplars_told += 1;
            let marked = self.experiment.load.mark.traceparent;
            self.say(&Event::Exemplar(Exemplar {
                phase: phase.to_owned(),
                why: why.to_owned(),
                trace_id: marked.then(|| self.shared.trace_id(page.number)),
                outcome: page.describe(),
                latency_ms: page.latency() / 1_000,
                at_ms: page.intended / 1_000,
            }));
        }
    }
}

/// A phase that is over, for the account of what happened.
fn fault_phase(name: &str, phase: &Phase, span: Span) -> FaultPhase {
    let mut routes = Vec::new();
    for fault in &phase.faults {
        if let Ok(brownout_fault::Routes::Named(names)) =
            brownout_fault::Routes::read(&fault.body["route"])
        {
            routes.extend(
                names
                    .into_iter()
                    .filter(|it| !routes.contains(it))
                    .collect::<Vec<_>>(),
            );
        }
    }
    let faults = phase.faults.iter();
    FaultPhase {
        name: name.to_owned(),
        span,
        faults: faults
            .map(|it| PhaseFault {
                id: it.id.clone(),
                what: describe(&it.body),
                on: span,
            })
            .collect(),
        routes,
        breakers_opened: Vec::new(),
    }
}

/// Adds what a fault did for one more page.
fn add(sum: &mut FaultState, more: Option<FaultState>) {
    let Some(more) = more else { return };
    let Some(counted) = more.counters else { return };
    match &mut sum.counters {
        None => sum.counters = Some(counted),
        Some(sum) => {
            sum.matched += counted.matched;
            sum.injected += counted.injected;
            sum.skipped += counted.skipped;
            sum.overflow += counted.overflow;
            sum.client_gave_up += counted.client_gave_up;
        }
    }
    sum.magnitude = more.magnitude;
}
