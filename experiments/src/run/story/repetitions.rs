//! Doing all again, and what the repetitions come to together.

use std::fmt;

use crate::run::{Judgement, JudgementVerdict as Told};

/// Which repetition goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repetition {
    /// From 1.
    pub(super) number: u32,
    /// How many there are.
    pub(super) of: u32,
}

impl fmt::Display for Repetition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.of)
    }
}

impl Repetition {
    /// The only one, or one of several.
    pub(super) fn is_only(self) -> bool {
        self.of == 1
    }

    /// The name of a phase, unique in the run.
    pub(super) fn named(self, phase: &str) -> String {
        match self.is_only() {
            true => phase.to_owned(),
            false => format!("{phase} ({self})"),
        }
    }
}

/// What repetitions come to: a judgement for each check, in the order in which they were made first.
pub(super) fn together(judgements: &[Judgement], of: u32) -> Vec<Judgement> {
    let mut groups: Vec<(String, Vec<&Judgement>)> = Vec::new();
    for it in judgements {
        let Some(number) = it.repetition else {
            continue;
        };
        let suffix = format!(" ({})", Repetition { number, of });
        let phase = it.phase.strip_suffix(&suffix).unwrap_or(&it.phase);
        let same = groups.iter_mut().find(|(of_phase, group)| {
            let first = group[0];
            of_phase == phase
                && (first.kind, &first.text, first.line) == (it.kind, &it.text, it.line)
        });
        match same {
            Some((_, group)) => group.push(it),
            None => groups.push((phase.to_owned(), vec![it])),
        }
    }
    groups
        .into_iter()
        .map(|(phase, group)| one(phase, &group))
        .collect()
}

/// Where no repetition says otherwise, and more than half of them say so, that is what they come to; else nothing is known.
fn one(phase: String, group: &[&Judgement]) -> Judgement {
    let count = |verdict: Told| group.iter().filter(|it| it.verdict == verdict).count();
    let (held, failed, unknown) = (
        count(Told::Passed),
        count(Told::Failed),
        count(Told::Inconclusive),
    );
    let verdict = match (held * 2 > group.len(), failed * 2 > group.len()) {
        (true, _) if failed == 0 => Told::Passed,
        (_, true) if held == 0 => Told::Failed,
        _ => Told::Inconclusive,
    };
    let all = group.len();
    let mut parts = Vec::new();
    if held > 0 {
        parts.push(format!("held in {held} of {all} repetitions"));
    }
    if failed > 0 {
        parts.push(format!("failed in {failed} of {all} repetitions"));
    }
    if unknown > 0 {
        let why = group.iter().find_map(|it| it.why.as_deref());
        let why = why.map_or_else(String::new, |it| format!(" ({it})"));
        parts.push(format!("unknown in {unknown} of {all} repetitions{why}"));
    }
    let each = |pick: fn(&Judgement) -> Option<&str>| -> String {
        let mut texts: Vec<&str> = group.iter().filter_map(|it| pick(it)).collect();
        // What is the same each time is said once.
        if texts.iter().all(|it| *it == texts[0]) {
            texts.truncate(1);
        }
        texts.join("; ")
    };
    let baseline = each(|it| it.baseline.as_deref());
    let last = group.last().expect("a group has a judgement");
    Judgement {
        phase,
        verdict,
        observed: each(|it| Some(&it.observed)),
        expected: each(|it| Some(&it.expected)),
        baseline: (!baseline.is_empty()).then_some(baseline),
        margin: group
            .iter()
            .filter_map(|it| it.margin)
            .min_by(f64::total_cmp),
        samples: group.iter().map(|it| it.samples).sum(),
        interval: None,
        // Together they are more requests than each alone, but what they prove together is not worked out.
        proven: match verdict {
            Told::Passed => last
                .proven
                .and(Some(group.iter().all(|it| it.proven != Some(false)))),
            Told::Failed | Told::Inconclusive => None,
        },
        why: Some(parts.join(", ")),
        repetition: None,
        ..Judgement::clone(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::JudgementKind;

    fn judged(number: u32, verdict: Told, observed: &str) -> Judgement {
        Judgement {
            phase: format!("slow ({number} of 3)"),
            kind: JudgementKind::Expectation,
            text: "edge.p99 < 300ms".to_owned(),
            line: 7,
            column: 3,
            verdict,
            observed: observed.to_owned(),
            expected: "< 300ms".to_owned(),
            baseline: None,
            margin: Some(f64::from(number)),
            samples: 100,
            interval: None,
            proven: None,
            why: None,
            at_ms: 0,
            repetition: Some(number),
        }
    }

    fn come_to(verdicts: [Told; 3]) -> Judgement {
        let judgements: Vec<Judgement> = (1..)
            .zip(verdicts)
            .map(|(number, verdict)| judged(number, verdict, &format!("{number}00ms")))
            .collect();
        let together = together(&judgements, 3);
        assert_eq!(together.len(), 1);
        together[0].clone()
    }

    #[test]
    fn what_is_the_same_each_time_is_the_verdict() {
        let held = come_to([Told::Passed; 3]);

        assert_eq!(held.verdict, Told::Passed);
        assert_eq!(held.phase, "slow");
        assert_eq!(held.observed, "100ms; 200ms; 300ms");
        assert_eq!(held.expected, "< 300ms");
        assert_eq!((held.samples, held.margin), (300, Some(1.0)));
        assert_eq!(held.why.as_deref(), Some("held in 3 of 3 repetitions"));
        assert_eq!(come_to([Told::Failed; 3]).verdict, Told::Failed);
    }

    #[test]
    fn what_differs_is_no_coin_toss() {
        let differs = come_to([Told::Passed, Told::Failed, Told::Passed]);

        assert_eq!(differs.verdict, Told::Inconclusive);
        assert_eq!(
            differs.why.as_deref(),
            Some("held in 2 of 3 repetitions, failed in 1 of 3 repetitions")
        );
    }

    #[test]
    fn more_than_half_must_be_known() {
        let unknown = Told::Inconclusive;

        assert_eq!(
            come_to([Told::Passed, unknown, Told::Passed]).verdict,
            Told::Passed
        );
        assert_eq!(come_to([Told::Passed, unknown, unknown]).verdict, unknown);
        assert_eq!(come_to([Told::Failed, unknown, unknown]).verdict, unknown);
    }
}
