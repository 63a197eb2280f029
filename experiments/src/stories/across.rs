//! Expectations that compare one run with another.

use crate::{
    expectation::{Condition, Subject, Threshold},
    experiment::{Expected, Experiment},
    run::{
        Judgement, JudgementKind, JudgementVerdict, RunRecord, Verdict, margin_of,
        text_of_threshold,
    },
};

/// The other runs that an experiment compares itself with, each once.
pub(crate) fn others(experiment: &Experiment) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (_, expected) in across(experiment) {
        if let Some((run, _)) = expected.expectation.other_run()
            && !names.iter().any(|it| it == run)
        {
            names.push(run.to_owned());
        }
    }
    names
}

/// The other runs that an experiment compares itself with and that are not among `names`.
pub fn missing(experiment: &Experiment, names: &[&str]) -> Vec<String> {
    let mut all = others(experiment);
    all.retain(|it| !names.contains(&it.as_str()));
    all
}

/// Judges what `experiment` expects of its run beside those of `others`, and says it in the record. What compares with a
/// run that is not there is left out: nothing is known of it.
pub fn judge_across(experiment: &Experiment, record: &mut RunRecord, others: &[&RunRecord]) {
    if record.verdict == Verdict::Interrupted {
        return;
    }
    let before = record.judgements.len();
    let judged: Vec<Judgement> = across(experiment)
        .filter_map(|(phase, expected)| judge(phase, expected, record, others))
        .collect();
    if judged.is_empty() {
        return;
    }
    // The rollback is told last.
    let at = before.saturating_sub(1);
    record.judgements.splice(at..at, judged);
    if matches!(
        record.verdict,
        Verdict::Passed | Verdict::Failed | Verdict::Inconclusive
    ) {
        record.judge_again();
    }
}

/// The expectations that compare with other runs, with their phases.
fn across(experiment: &Experiment) -> impl Iterator<Item = (&str, &Expected)> {
    let all = experiment.phases.iter();
    let all = all.flat_map(|phase| phase.expect.iter().map(|it| (phase.name.as_str(), it)));
    all.filter(|(_, it)| it.expectation.other_run().is_some())
}

fn judge(
    phase: &str,
    expected: &Expected,
    record: &RunRecord,
    others: &[&RunRecord],
) -> Option<Judgement> {
    let (run, other_phase) = expected.expectation.other_run()?;
    let other = others.iter().find(|it| it.run.name == run)?;
    let Condition::Compare {
        op,
        threshold: Threshold::Times(factor, _),
    } = &expected.expectation.condition
    else {
        return None;
    };
    let Subject::Hop { name, measure } = &expected.expectation.subject else {
        return None;
    };
    let value = |of: &RunRecord, phase: &str| {
        let phase = of.phases.iter().find(|it| it.is_named(phase))?;
        phase.value(name, measure)
    };
    let unit = expected.expectation.unit();
    let own = value(record, phase);
    let theirs = value(other, other_phase.unwrap_or(phase));
    let threshold = theirs.map(|it| it * factor);
    let (verdict, why) = match (own, threshold) {
        (Some(own), Some(threshold)) if op.holds(own, threshold) => {
            (JudgementVerdict::Passed, None)
        }
        (Some(_), Some(_)) => (JudgementVerdict::Failed, None),
        _ => (
            JudgementVerdict::Inconclusive,
            Some(format!("it was not measured in {run} or here")),
        ),
    };
    let observed = own.map_or_else(|| "unknown".to_owned(), |it| unit.show(it));
    let margin = own.zip(threshold);
    Some(Judgement {
        phase: phase.to_owned(),
        kind: JudgementKind::Expectation,
        text: expected.expectation.text.clone(),
        line: expected.line,
        column: expected.column,
        verdict,
        observed,
        expected: text_of_threshold(expected, threshold),
        baseline: theirs.map(|it| unit.show(it)),
        margin: margin.and_then(|(own, threshold)| margin_of(*op, own, threshold)),
        samples: 0,
        interval: None,
        proven: None,
        why,
        at_ms: record.length_ms,
        repetition: None,
    })
}
