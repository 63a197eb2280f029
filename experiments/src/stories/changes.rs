//! What is different from an earlier report.

use super::{Row, Spread, StoriesReport};

/// A change is told from here on, as a share of what it was; where there are several runs of each, what their spreads
/// have in common is no change.
const SHARE_MIN: f64 = 0.05;

/// What has changed since `before`, a line each: in the order of `now`; and what only one of them has.
#[must_use]
pub fn changes(before: &StoriesReport, now: &StoriesReport) -> Vec<String> {
    let (old, new) = (before.groups(), now.groups());
    let mut lines = Vec::new();
    for group in &new {
        let title = title(&group[0]);
        let same =
            |it: &&Vec<Row>| (&it[0].name, &it[0].phase) == (&group[0].name, &group[0].phase);
        let Some(earlier) = old.iter().find(same) else {
            lines.push(format!("{title}: was not run before"));
            continue;
        };
        let (was, is) = (earlier[0].verdict, group[0].verdict);
        if was != is {
            lines.push(format!("{title}: {} before, {} now", was.word(), is.word()));
        }
        for (index, (name, _)) in group[0].numbers().iter().enumerate() {
            let pick =
                |rows: &[Row]| Spread::of(rows.iter().filter_map(|it| it.numbers()[index].1));
            let (Some(was), Some(is)) = (pick(earlier), pick(group)) else {
                continue;
            };
            if let Some(change) = change(was, is) {
                lines.push(format!(
                    "{title}: {name} {} -> {} ({change})",
                    shown(was.median),
                    shown(is.median)
                ));
            }
        }
    }
    for group in old {
        let same =
            |it: &&Vec<Row>| (&it[0].name, &it[0].phase) == (&group[0].name, &group[0].phase);
        if !new.iter().any(|it| same(&it)) {
            lines.push(format!("{}: was not run now", title(&group[0])));
        }
    }
    lines
}

fn title(row: &Row) -> String {
    match &row.phase {
        Some(phase) => format!("{} {phase}", row.name),
        None => row.name.clone(),
    }
}

/// By how much a number has changed; none where that is noise.
fn change(was: Spread, is: Spread) -> Option<String> {
    let overlap = was.min <= is.max && is.min <= was.max && (was.min < was.max || is.min < is.max);
    if overlap {
        return None;
    }
    if was.median == 0.0 {
        return (is.median != 0.0).then(|| "from nothing".to_owned());
    }
    let share = is.median / was.median - 1.0;
    (share.abs() >= SHARE_MIN).then(|| format!("{:+.0} %", share * 100.0))
}

fn shown(value: f64) -> String {
    if value.abs() < 10.0 && value.fract() != 0.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Verdict;

    fn report(served: &[u64]) -> StoriesReport {
        let row = |served: &u64| Row {
            name: "a".to_owned(),
            phase: None,
            served: *served,
            failed: 0,
            unfinished: 10,
            degraded: 0.0,
            rate: 1.0,
            p50_ms: Some(100.0),
            p99_ms: None,
            calls: Some(10),
            amplification: None,
            tail_seconds: None,
            breakers_opened: 0,
            verdict: Verdict::Passed,
        };
        StoriesReport {
            rows: served.iter().map(row).collect(),
            ..StoriesReport::of(Vec::new())
        }
    }

    #[test]
    fn a_change_is_told_and_noise_is_not() {
        assert_eq!(
            changes(&report(&[100]), &report(&[150])),
            ["a: served 100 -> 150 (+50 %)"]
        );
        assert!(changes(&report(&[100]), &report(&[103])).is_empty());
        // The spreads of three runs each overlap.
        assert!(changes(&report(&[80, 100, 130]), &report(&[120, 140, 150])).is_empty());
        assert_eq!(
            changes(&report(&[100]), &report(&[])),
            ["a: was not run now"]
        );
    }
}
