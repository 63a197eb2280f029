//! Answers that are damaged, or end early.

use serde_json::json;

use super::{Case, Scale, Trial, usable_of};
use crate::forensics::{
    PageRecord, Usual,
    finding::{FindingId as Id, Outcome},
};

pub(super) fn outcomes(case: &Case<'_>) -> Vec<Outcome> {
    let battery = case.battery;
    let early = "an answer that ends early";
    vec![
        accepts(case, Id::AcceptsTruncated, &battery.truncated, early),
        accepts(
            case,
            Id::AcceptsCorrupt,
            &battery.damaged,
            "a damaged answer",
        ),
    ]
}

/// What pages are like that go without a call that hangs, and do not say so: a part that nobody needs.
fn pages_without(case: &Case<'_>) -> Usual {
    let mut usual = Usual::default();
    for trial in &case.battery.hang {
        let by_page = trial.by_page().unwrap_or_default().into_iter();
        let calling = by_page.filter(|(page, attempts)| page.is_whole() && !attempts.is_empty());
        let contents = calling.filter_map(|(page, _)| page.content.as_ref());
        contents.for_each(|it| usual.learn(it));
    }
    usual
}

/// What cannot be used is served as if it were whole.
fn accepts(case: &Case<'_>, id: Id, trials: &[Trial], what: &str) -> Outcome {
    let trials = match usable_of(trials) {
        Ok(trials) => trials,
        Err(why) => return Outcome::unknown(id, why),
    };
    let without = pages_without(case);
    let mut taken: Vec<&str> = Vec::new();
    let mut invisible: Vec<&str> = Vec::new();
    let mut is_left_out = false;
    for trial in &trials {
        let leaves_out = |page: &PageRecord| {
            let content = page.content.as_ref().filter(|_| page.is_whole());
            content.is_some_and(|it| !case.scale.calm.fits(it) && without.fits(it))
        };
        is_left_out |= trial.pages.iter().any(leaves_out);
        let takes = |page: &PageRecord| {
            let is_known = page.content.as_ref().is_some_and(|it| {
                let Scale { calm, fallback, .. } = case.scale;
                calm.fits(it) || fallback.fits(it) || without.fits(it)
            });
            page.is_whole() && !is_known
        };
        let by_page = match trial.by_page() {
            Ok(by_page) => by_page,
            Err(why) => return Outcome::unknown(id, why),
        };
        let once = by_page
            .iter()
            .any(|(page, attempts)| attempts.len() <= 1 && takes(page));
        // A clean end nobody can see, and an object without members may be one without items.
        if once && (trial.form.contains("clean") || trial.form == "an empty object") {
            invisible.push(&trial.form);
        } else if once {
            taken.push(&trial.form);
        }
    }
    let forms: Vec<&str> = trials.iter().map(|it| it.form.as_str()).collect();
    let evidence = json!({ "tried": forms, "accepted": taken, "nobody_can_see": invisible });
    match taken.is_empty() {
        true if is_left_out => Outcome::ok(
            id,
            format!(
                "{what} is left out of the page, as is one that does not come; the page does not say so"
            ),
            evidence,
        ),
        true => Outcome::ok(
            id,
            format!("{what} is never served as a whole one"),
            evidence,
        ),
        false => Outcome::defect(
            id,
            format!("{what} is served as a whole one: {}", taken.join("; ")),
            evidence,
        ),
    }
}
