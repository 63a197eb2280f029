//! Pages and calls of runs that are made up, and what is read from them.

use super::*;
use crate::{forensics::record::tests::attempt, run::recording::tests::page};

const CALM: Span = Span {
    from: 0,
    to: 2_000_000,
};
const FAULT: Span = Span {
    from: 2_000_000,
    to: 5_000_000,
};

fn trace(number: u64) -> String {
    format!("{number:032x}")
}

/// A client that asks `reco` once for each page, 20 pages a second; what comes of each call is `how`'s to say.
struct Made {
    pages: Vec<Page>,
    attempts: Vec<AttemptRecord>,
}

impl Made {
    fn new() -> Self {
        Self {
            pages: Vec::new(),
            attempts: Vec::new(),
        }
    }

    /// A page at `ms` with `calls` on `reco`, each good or hit by the fault; answered with `status`.
    fn page(&mut self, ms: u64, calls: &[bool], status: u16, is_fallback: bool) {
        let number = self.pages.len() as u64;
        let mut made = page(number, ms, 30, status);
        made.fits = u32::from(is_fallback);
        self.pages.push(made);
        for (index, good) in (0..).zip(calls) {
            let mut call = attempt(
                number * 10 + index + 1,
                ms * 1_000 + 2_000 + index * 5_000,
                3_000,
            );
            call.route = "reco".to_owned();
            call.trace_id = Some(trace(number));
            if !good {
                call.status = None;
                call.end = RequestEnd::Fault;
                call.faults = vec!["dead".to_owned()];
            }
            self.attempts.push(call);
        }
    }

    fn account(self, with_ids: bool, end: u64) -> Account {
        let mut log = CallLog::default();
        let mut attempts = self.attempts;
        if !with_ids {
            attempts.iter_mut().for_each(|it| it.trace_id = None);
        }
        log.add(&Ok(JournalPage {
            attempts,
            ..JournalPage::default()
        }));
        account(Seen {
            calls: log,
            pages: self.pages,
            trace_id: &trace,
            fallback: "header x-degraded".to_owned(),
            load: Some("edge".to_owned()),
            load_to: "edge".to_owned(),
            steady: Some(CALM),
            phases: vec![FaultPhase {
                name: "dead".to_owned(),
                span: FAULT,
                faults: vec![("reset on reco".to_owned(), FAULT)],
                routes: vec!["reco".to_owned()],
            }],
            end,
        })
    }
}

fn words(outage: &Outage) -> Vec<&str> {
    outage.moments.iter().map(|it| it.what.as_str()).collect()
}

fn savers(outage: &Outage) -> Vec<&str> {
    outage.saved.iter().map(|it| it.by.as_str()).collect()
}

#[test]
fn a_breaker_is_seen_to_open_to_let_a_call_through_and_to_close() {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        match ms {
            2_000..2_500 | 3_500 => made.page(ms, &[false], 200, true),
            2_500..5_500 => made.page(ms, &[], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
    }

    let told = made.account(true, 7_000_000);
    let outage = &told.outages[0];

    assert_eq!(
        words(outage),
        [
            "fault_on",
            "first_error",
            "first_fallback",
            "breaker_open",
            "half_open",
            "fault_off",
            "last_fallback",
            "first_good_call",
            "breaker_closed"
        ]
    );
    let at = |what: &str| {
        outage
            .moments
            .iter()
            .find(|it| it.what == what)
            .unwrap()
            .at_ms
    };
    assert_eq!((at("fault_on"), at("fault_off")), (2_000, 5_000));
    assert_eq!(at("first_error"), 2_005);
    assert_eq!(at("breaker_open"), 2_455);
    assert_eq!(at("half_open"), 3_502);
    assert_eq!(at("breaker_closed"), 5_505);
    assert_eq!(at("first_good_call"), 5_505);
    assert_eq!(savers(outage), ["fallback", "breaker"]);
    assert!(
        outage.saved[0]
            .text
            .starts_with("60 of 60 pages were good without"),
        "{outage:#?}"
    );
    assert!(
        outage.readers.starts_with("no page failed"),
        "{}",
        outage.readers
    );
    assert_eq!(told.routes[0].of_pages, told.routes[0].calls);
}

#[test]
fn a_retry_saves_pages_whose_first_call_failed() {
    let mut made = Made::new();
    for ms in (0..6_000).step_by(50) {
        match ms {
            2_000..5_000 => made.page(ms, &[false, true], 200, false),
            _ => made.page(ms, &[true], 200, false),
        }
    }

    let told = made.account(true, 6_000_000);

    assert_eq!(savers(&told.outages[0]), ["retry", "no_breaker"]);
    assert_eq!(
        told.outages[0].readers,
        "readers of the page did not notice"
    );
}

#[test]
fn nothing_saves_pages_that_fail() {
    let mut made = Made::new();
    for ms in (0..6_000).step_by(50) {
        match ms {
            2_000..5_000 => made.page(ms, &[false], 502, false),
            _ => made.page(ms, &[true], 200, false),
        }
    }

    let outage = made.account(true, 6_000_000).outages.remove(0);

    assert_eq!(savers(&outage), ["no_breaker", "nothing"]);
    assert!(
        words(&outage).contains(&"first_failed_page")
            && words(&outage).contains(&"last_failed_page")
    );
    assert_eq!(outage.readers, "60 of 60 pages failed");
}

#[test]
fn without_ids_only_what_follows_from_totals_is_said() {
    let mut made = Made::new();
    for ms in (0..6_000).step_by(50) {
        match ms {
            // Half of the calls fail, and no page says how it was answered.
            2_000..5_000 => made.page(ms, &[ms % 100 == 0], 200, false),
            _ => made.page(ms, &[true], 200, false),
        }
    }

    let outage = made.account(false, 6_000_000).outages.remove(0);

    assert_eq!(savers(&outage), ["undetermined"]);
    assert!(
        outage.saved[0]
            .text
            .starts_with("undetermined, because calls on reco do not carry")
    );
}

#[test]
fn without_a_journal_the_reason_is_said() {
    let mut log = CallLog::default();
    log.add(&Err(JournalError::NotThere));
    let mut made = Made::new();
    for ms in (0..6_000).step_by(50) {
        made.page(ms, &[], 200, false);
    }
    let told = account(Seen {
        calls: log,
        pages: made.pages,
        trace_id: &trace,
        fallback: "header x-degraded".to_owned(),
        load: Some("edge".to_owned()),
        load_to: "edge".to_owned(),
        steady: Some(CALM),
        phases: vec![FaultPhase {
            name: "dead".to_owned(),
            span: FAULT,
            faults: Vec::new(),
            routes: vec!["reco".to_owned()],
        }],
        end: 6_000_000,
    });

    assert_eq!(savers(&told.outages[0]), ["undetermined"]);
    assert!(told.outages[0].saved[0].text.contains("GET /requests"));
    assert!(told.calls_unknown.is_some());
}

#[test]
fn a_call_is_made_by_the_shortest_call_around_it() {
    let mut made = Made::new();
    for ms in (0..6_000).step_by(50) {
        made.page(ms, &[true], 200, false);
    }
    let more: Vec<AttemptRecord> = made
        .attempts
        .iter()
        .flat_map(|it| {
            let mut edge = it.clone();
            edge.number += 100_000;
            edge.route = "edge".to_owned();
            edge.t_head -= 1_000;
            edge.age_us = 20_000;
            let mut deep = it.clone();
            deep.number += 200_000;
            deep.route = "database".to_owned();
            deep.t_head += 500;
            deep.age_us = 1_000;
            [edge, deep]
        })
        .collect();
    made.attempts.extend(more);

    let told = made.account(true, 6_000_000);
    let by = |name: &str| {
        told.routes
            .iter()
            .find(|it| it.route == name)
            .unwrap()
            .called_by
            .clone()
    };

    assert_eq!(by("edge"), None);
    assert_eq!(by("reco").as_deref(), Some("edge"));
    assert_eq!(by("database").as_deref(), Some("reco"));
}
