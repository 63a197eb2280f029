//! How a run ends: rolled back, judged as a whole, told in one sentence.

use super::{Halt, RunFailure, Story, repetitions::together};
use crate::experiment::Asked;
use crate::run::{
    Event, FaultTruth, Judgement, JudgementKind, JudgementVerdict, Verdict, pages::Pages,
    verdict::unproven,
};

impl Story<'_> {
    /// Removes all that was armed, and tells how the run ended.
    pub(super) async fn end(mut self, halted: Option<Halt>) -> Result<Verdict, RunFailure> {
        let halted_at = self.shared.now();
        let left = self.proxy.roll_back().await;
        self.pages = Pages::External; // No more pages.
        self.watching.abort_all();
        {
            // The run removes what the load goes over: what becomes of pages then says nothing of the service.
            let mut recording = self.shared.recording();
            recording.of_mut(Asked::Load).cut(halted_at);
            recording.of_mut(Asked::Watch).cut(halted_at);
        }
        self.tell_seconds(halted_at);
        self.tell_last_second(halted_at);
        if let Some(Halt::Guard { guard, observed }) = &halted {
            self.say(&Event::GuardTripped {
                guard: guard.clone(),
                observed: observed.clone(),
                at_ms: halted_at / 1_000,
            });
        }
        let at_ms = self.shared.now() / 1_000;
        self.say(&Event::RolledBack {
            left: left.clone(),
            at_ms,
        });
        if !self.repetition.is_only() {
            for judgement in together(&self.judgements, self.repetition.of) {
                self.tell_judged(judgement);
            }
            self.judgements.retain(|it| it.repetition.is_none());
        }
        self.judge_left(&left, at_ms);
        self.tell_account(halted_at).await;
        let (verdict, sentence) = match halted {
            Some(Halt::Refused(error)) => return Err(RunFailure { error, left }),
            _ if !left.is_empty() => (
                Verdict::FaultsLeft,
                format!(
                    "Faults left: {} may still be armed; they end by themselves within {}.",
                    left.join(", "),
                    brownout_fault::units::show_duration(self.experiment.guard.lease)
                ),
            ),
            Some(Halt::Interrupted) => (
                Verdict::Interrupted,
                "Interrupted: every fault was removed, and nothing is known of what was not measured.".to_owned(),
            ),
            Some(Halt::Guard { guard, observed }) => (
                Verdict::Halted,
                format!("Halted by the guard `{guard}`: it was {observed}; every fault was removed."),
            ),
            Some(Halt::SteadyNotMet | Halt::SteadyUnknown) if self.repetition.number > 1 => (
                Verdict::Inconclusive,
                format!(
                    "Inconclusive: the steady state was not met again before repetition {}; \
                     nothing more was injected.",
                    self.repetition
                ),
            ),
            Some(Halt::SteadyNotMet) => {
                let worst = self.first(JudgementVerdict::Failed);
                (
                    Verdict::SteadyNotMet,
                    format!("Not started: the steady state did not hold ({worst}); nothing was injected."),
                )
            }
            Some(Halt::SteadyUnknown) => {
                let why = self.first(JudgementVerdict::Inconclusive);
                (
                    Verdict::Inconclusive,
                    format!("Inconclusive: the steady state is not known ({why}); nothing was injected."),
                )
            }
            Some(Halt::TimedOut) => (
                Verdict::Inconclusive,
                "Inconclusive: the file's timeout was over before all phases; every fault was removed.".to_owned(),
            ),
            None => self.verdict(),
        };
        self.say(&Event::RunEnded {
            verdict,
            exit_code: verdict.exit_code(),
            sentence,
            at_ms,
        });
        Ok(verdict)
    }

    fn verdict(&self) -> (Verdict, String) {
        let verdict = Verdict::of(&self.judgements);
        let of_file = |it: &&Judgement| it.kind == JudgementKind::Expectation;
        let all = self.judgements.iter().filter(of_file).count();
        let held = self.judgements.iter().filter(of_file);
        let held = held
            .filter(|it| it.verdict == JudgementVerdict::Passed)
            .count();
        let sentence = match verdict {
            Verdict::Failed => {
                let failed = self
                    .judgements
                    .iter()
                    .filter(|it| it.verdict == JudgementVerdict::Failed);
                format!(
                    "Failed: {} of {all} expectations did not hold; first, {}.",
                    failed.count(),
                    self.first(JudgementVerdict::Failed)
                )
            }
            Verdict::Inconclusive => {
                format!(
                    "Inconclusive: {}.",
                    self.first(JudgementVerdict::Inconclusive)
                )
            }
            _ => format!(
                "Passed: {held} of {all} expectations held{}{}{}.",
                match self.repetition.of {
                    1 => String::new(),
                    of => format!(" in {of} repetitions"),
                },
                self.while_what(),
                unproven(&self.judgements).map_or_else(String::new, |it| format!("; {it}"))
            ),
        };
        (verdict, sentence)
    }

    /// What was done to the system while its expectations held.
    fn while_what(&self) -> String {
        let struck = self
            .judgements
            .iter()
            .filter(|it| it.kind == JudgementKind::FaultStruck);
        let words: Vec<String> = struck
            .map(|it| {
                let id = it
                    .text
                    .trim_start_matches("fault ")
                    .trim_end_matches(" was injected");
                if !it.observed.ends_with("matched calls") {
                    return format!("fault {id} was on"); // At the listener, where no call is seen.
                }
                let each = it.observed.split("; ");
                let count = each.filter_map(|it| it.split(' ').next()?.parse::<u64>().ok());
                let count: u64 = count.sum();
                format!("fault {id} was injected into {count} calls")
            })
            .collect();
        match words.split_last() {
            None => String::new(),
            Some((only, [])) => format!(" while {only}"),
            Some((last, rest)) => format!(" while {} and {last}", rest.join(", ")),
        }
    }

    /// The first judgement that came out so, in words.
    fn first(&self, verdict: JudgementVerdict) -> String {
        let found = self.judgements.iter().find(|it| it.verdict == verdict);
        let Some(it) = found else {
            return "nothing was measured".to_owned();
        };
        let why = it.why.as_ref();
        match (it.kind, why) {
            (JudgementKind::Expectation, None) => {
                format!("in {} `{}`: observed {}", it.phase, it.text, it.observed)
            }
            (_, Some(why)) => format!("in {} `{}`: {why}", it.phase, it.text),
            (_, None) => format!("in {} `{}`: {}", it.phase, it.text, it.observed),
        }
    }

    fn judge_left(&mut self, left: &[String], at_ms: u64) {
        let verdict = match left.is_empty() {
            true => JudgementVerdict::Passed,
            false => JudgementVerdict::Failed,
        };
        let observed = match left.is_empty() {
            true => "none".to_owned(),
            false => left.join(", "),
        };
        self.tell_judged(Judgement {
            phase: "rollback".to_owned(),
            kind: JudgementKind::NothingLeft,
            text: "no fault is left behind".to_owned(),
            line: 0,
            column: 0,
            verdict,
            observed,
            expected: "none".to_owned(),
            baseline: None,
            margin: None,
            samples: 0,
            interval: None,
            proven: None,
            why: None,
            at_ms,
            repetition: None,
        });
    }
}

impl FaultTruth {
    /// How often it struck.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.counters.map_or(0, |it| it.injected)
    }
}
