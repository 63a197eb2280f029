//! A run on a terminal: a line for each phase and expectation as it goes.

use super::span;
use crate::run::{
    Event, Judgement, JudgementKind, JudgementVerdict, PhaseKind, PlannedPhase, RunStarted, Verdict,
};

/// Where observed values begin.
const OBSERVED: usize = 62;
/// Where texts begin, behind the verdict.
const TEXT: usize = 16;

/// A line, and how it should look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The words, without colours.
    pub text: String,
    /// How it should look.
    pub tone: Tone,
}

/// How a line should look where colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Without a style.
    Plain,
    /// Bold.
    Strong,
    /// An expectation that held: green.
    Good,
    /// An expectation that did not hold: red.
    Bad,
    /// It cannot be told.
    Unsure,
}

/// Turns events into lines, in their order.
#[derive(Debug, Default)]
pub struct Terminal {
    planned: Vec<PlannedPhase>,
    file: String,
    reproduce: String,
    /// What did not hold, to be said again at the end.
    failures: Vec<Judgement>,
    /// Say only what did not hold, and the verdict.
    quiet: bool,
}

impl Terminal {
    /// `quiet`: only what did not hold, and the verdict.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            ..Self::default()
        }
    }

    /// The lines that an event adds.
    pub fn lines(&mut self, event: &Event) -> Vec<Line> {
        match event {
            Event::RunStarted(run) => self.begin(run),
            Event::PhaseStarted { phase, kind, .. } => self.phase(phase, *kind),
            Event::Judged(judgement) => self.judged(judgement),
            Event::Note { text } => vec![line(Tone::Plain, format!("  note          {text}"))],
            Event::GuardTripped {
                guard,
                observed,
                at_ms,
            } => vec![line(
                Tone::Bad,
                format!(
                    "  HALT          {guard}: {observed}, {} into the run",
                    span(at_ms / 1_000 * 1_000)
                ),
            )],
            Event::RolledBack { left, .. } if !left.is_empty() => vec![line(
                Tone::Bad,
                format!("  LEFT          {} may still be armed", left.join(", ")),
            )],
            Event::RunEnded {
                verdict, sentence, ..
            } => self.end(*verdict, sentence),
            Event::FaultArmed { .. }
            | Event::FaultStruck { .. }
            | Event::Second(_)
            | Event::Recounted { .. }
            | Event::FaultRemoved(_)
            | Event::PhaseEnded { .. }
            | Event::Tail { .. }
            | Event::Exemplar(_)
            | Event::Account(_)
            | Event::RolledBack { .. } => Vec::new(),
        }
    }

    fn begin(&mut self, run: &RunStarted) -> Vec<Line> {
        self.planned.clone_from(&run.phases);
        self.file.clone_from(&run.file);
        self.reproduce.clone_from(&run.reproduce);
        self.failures.clear();
        if self.quiet {
            return Vec::new();
        }
        let mut lines = vec![
            line(Tone::Strong, format!("{}: {}", run.name, run.title)),
            line(Tone::Plain, format!("{}; seed {}", run.load, run.seed)),
        ];
        if let Some(watch) = &run.watch {
            lines.push(line(Tone::Plain, format!("watch {watch}")));
        }
        if let Some(because) = &run.because {
            lines.push(line(Tone::Plain, format!("because {because}")));
        }
        lines
    }

    fn phase(&self, name: &str, kind: PhaseKind) -> Vec<Line> {
        if self.quiet {
            return Vec::new();
        }
        let planned = self.planned.iter().find(|it| it.name == name);
        let length = planned.map_or_else(String::new, |it| format!(", {}", super::length(it)));
        let what = format!("{}{length}", super::phase_title(name, kind));
        let faults = planned.into_iter().flat_map(|it| &it.faults);
        let faults = faults.map(|it| line(Tone::Plain, format!("  fault         {it}")));
        let mut lines = vec![line(Tone::Plain, ""), line(Tone::Strong, what)];
        lines.extend(faults);
        lines
    }

    fn judged(&mut self, judgement: &Judgement) -> Vec<Line> {
        let decides = judgement.repetition.is_none();
        if decides && judgement.verdict != JudgementVerdict::Passed {
            self.failures.push(judgement.clone());
        }
        let is_news = judgement.kind != JudgementKind::NothingLeft
            || judgement.verdict != JudgementVerdict::Passed;
        if !is_news || (self.quiet && judgement.verdict == JudgementVerdict::Passed) {
            return Vec::new();
        }
        let word = judgement.verdict.word();
        let text = format!("  {word:<width$}{}", judgement.text, width = TEXT - 2);
        let mut seen = judgement.observed.clone();
        if judgement.verdict != JudgementVerdict::Passed || judgement.baseline.is_some() {
            seen = format!("{seen}, expected {}", judgement.expected);
        }
        let text = match text.chars().count() {
            length if length < OBSERVED => format!("{text:<OBSERVED$}{seen}"),
            _ => format!("{text}  {seen}"),
        };
        let mut lines = vec![line(tone(judgement.verdict), text)];
        lines.extend(
            judgement
                .why
                .as_ref()
                .map(|why| line(Tone::Plain, format!("{:TEXT$}{why}", ""))),
        );
        lines
    }

    fn end(&self, verdict: Verdict, sentence: &str) -> Vec<Line> {
        let mut lines = vec![line(Tone::Plain, "")];
        if !self.failures.is_empty() && !self.quiet {
            lines.push(line(Tone::Strong, "what did not hold"));
        }
        for it in self.failures.iter().filter(|_| !self.quiet) {
            let place = match it.line {
                0 => it.phase.clone(),
                number => format!("{}:{number}, {}", self.file, it.phase),
            };
            let word = it.verdict.word();
            lines.push(line(
                tone(it.verdict),
                format!("  {word:<width$}{} ({place})", it.text, width = TEXT - 2),
            ));
            let observed = format!("observed {}, expected {}", it.observed, it.expected);
            let samples = match it.samples {
                0 => String::new(),
                count => format!(", from {count} requests"),
            };
            let interval = it.interval.as_ref();
            let interval = interval.map_or_else(String::new, |it| format!(", interval {it}"));
            lines.push(line(
                Tone::Plain,
                format!("{:TEXT$}{observed}{samples}{interval}", ""),
            ));
            lines.extend(
                it.why
                    .as_ref()
                    .map(|why| line(Tone::Plain, format!("{:TEXT$}{why}", ""))),
            );
        }
        if !self.failures.is_empty() && !self.quiet {
            lines.push(line(Tone::Plain, ""));
        }
        let how = match verdict {
            Verdict::Passed => Tone::Good,
            Verdict::Failed | Verdict::FaultsLeft | Verdict::Halted => Tone::Bad,
            Verdict::SteadyNotMet | Verdict::Inconclusive | Verdict::Interrupted => Tone::Unsure,
        };
        lines.push(line(how, sentence));
        if verdict != Verdict::Passed {
            lines.push(line(Tone::Plain, format!("reproduce: {}", self.reproduce)));
        }
        lines
    }
}

fn line(tone: Tone, text: impl Into<String>) -> Line {
    Line {
        text: text.into(),
        tone,
    }
}

fn tone(verdict: JudgementVerdict) -> Tone {
    match verdict {
        JudgementVerdict::Passed => Tone::Good,
        JudgementVerdict::Failed => Tone::Bad,
        JudgementVerdict::Inconclusive => Tone::Unsure,
    }
}
