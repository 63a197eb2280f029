//! Requests that must not be done twice.

use std::collections::BTreeMap;

use serde_json::json;

use super::{AttemptRecord, Case, Id, Outcome, Trial, usable, usable_of};

/// An order that met a failure is sent once, or under one key.
pub(super) fn orders(case: &Case<'_>) -> Outcome {
    let id = Id::RetriesPost;
    let (calm, failing): (Vec<&Trial>, Vec<&Trial>) = case
        .battery
        .orders
        .iter()
        .partition(|it| it.struck.is_none());
    let failing: Vec<Trial> = failing.into_iter().cloned().collect();
    if case.battery.orders.is_empty() {
        return of_pages(case);
    }
    if let Some(order) = calm
        .iter()
        .flat_map(|it| &it.pages)
        .find(|it| !it.is_good())
    {
        let told = order.status.map_or("gets no answer".to_owned(), |it| {
            format!("is answered with {it}")
        });
        return Outcome::unknown(id, format!("an order {told} though nothing fails"));
    }
    let usual = calm
        .iter()
        .map(|it| most_posts(it).map_or(0, |(posts, _)| posts))
        .max();
    if usual == Some(0) {
        return Outcome::not_applicable(id, "an order does not call this dependency");
    }
    let trials = match usable_of(&failing) {
        Ok(trials) => trials,
        Err(why) => return Outcome::unknown(id, why),
    };
    let usual = usual.unwrap_or(1);
    let repeats = trials.iter().filter_map(|trial| {
        let (count, is_keyed) = most_posts(trial)?;
        (count > usual).then_some((trial.form.as_str(), count, is_keyed))
    });
    let (keyed, twice): (Vec<_>, Vec<_>) = repeats.partition(|(_, _, is_keyed)| *is_keyed);
    let forms: Vec<&str> = trials.iter().map(|it| it.form.as_str()).collect();
    let evidence = json!({
        "tried": forms, "repeated": twice.iter().map(|it| json!({ "after": it.0, "sent": it.1 })).collect::<Vec<_>>(),
        "repeated_with_a_key": keyed.len(),
    });
    match twice.first() {
        Some((form, count, _)) => Outcome::defect(
            id,
            format!("an order that met {form} is sent {count} times without an idempotency key"),
            evidence,
        ),
        None if !keyed.is_empty() => Outcome::ok(
            id,
            "an order is repeated under one idempotency key",
            evidence,
        ),
        None => Outcome::ok(id, "an order is sent once", evidence),
    }
}

/// What pages send that may change something, where no order was named: a page is a GET, so it most likely only reads, and
/// to repeat that is harmless. Nothing outside tells; so a repeat is told, and not as a defect.
fn of_pages(case: &Case<'_>) -> Outcome {
    let id = Id::RetriesPost;
    let battery = case.battery;
    let failing = battery
        .one_failure
        .iter()
        .chain(&battery.all_503)
        .chain(&battery.hang)
        .filter(|it| usable(Some(it)).is_ok());
    let mut seen = 0;
    let mut repeated: Option<(&AttemptRecord, &str, usize)> = None;
    for trial in failing {
        for chain in trial.chains() {
            let first = chain[0];
            if !changes(first) {
                continue;
            }
            seen += 1;
            let key = &first.idempotency_key_hash;
            let is_keyed = key.is_some() && chain.iter().all(|it| it.idempotency_key_hash == *key);
            if chain.len() > 1 && !is_keyed && repeated.is_none() {
                let form = if trial.form.starts_with('/') {
                    "no answer"
                } else {
                    &trial.form
                };
                repeated = Some((first, form, chain.len()));
            }
        }
    }
    match repeated {
        Some((first, form, sent)) => Outcome::unknown(
            id,
            format!(
                "a page sends {} {} {sent} times when it meets {form}, without an idempotency key: harmless if that only reads",
                first.method, first.path
            ),
        ),
        None if seen > 0 => Outcome::ok(
            id,
            "what pages send is sent once when it fails; no order was named",
            json!({ "calls_that_failed": seen }),
        ),
        None => Outcome::unknown(id, "no order was named, such as --order POST:/order"),
    }
}

/// Whether a request may change something (RFC 9110 §9.2.1).
fn changes(attempt: &AttemptRecord) -> bool {
    !matches!(
        attempt.method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE"
    )
}

/// How often the request that changes something was sent that was sent most often, and whether under one key.
fn most_posts(trial: &Trial) -> Option<(usize, bool)> {
    let mut by_fp: BTreeMap<&str, Vec<&AttemptRecord>> = BTreeMap::new();
    for attempt in trial.attempts.iter().filter(|it| changes(it)) {
        by_fp.entry(&attempt.fingerprint).or_default().push(attempt);
    }
    let most = by_fp.into_values().max_by_key(Vec::len)?;
    let key = &most[0].idempotency_key_hash;
    let is_keyed = key.is_some() && most.iter().all(|it| it.idempotency_key_hash == *key);
    Some((most.len(), is_keyed))
}
