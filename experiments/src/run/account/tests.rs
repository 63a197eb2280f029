//! Pages and calls of runs that are made up, and what is read from them.

mod breakers;
mod joining;

use brownout_wire::RequestEnd;

use super::*;
use crate::{
    forensics::{AttemptRecord, record::tests::attempt},
    run::{
        journal::{JournalError, JournalPage},
        recording::tests::page,
    },
};

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
    /// How long a failed call takes, in µs.
    failed_takes: u64,
    /// Numbers of pages that are cut off.
    cut_off: Vec<(u64, u64)>,
    /// How often the service says that its breaker went open.
    told: Vec<(String, u64)>,
}

impl Made {
    fn new() -> Self {
        Self {
            pages: Vec::new(),
            attempts: Vec::new(),
            failed_takes: 3_000,
            cut_off: Vec::new(),
            told: Vec::new(),
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
                call.age_us = self.failed_takes;
                call.status = None;
                call.end = RequestEnd::Fault;
                call.faults = vec!["dead".to_owned()];
            }
            self.attempts.push(call);
        }
    }

    /// Calls to `deep` that `reco` makes while it is reached.
    fn with_calls_of_reco(mut self) -> Self {
        let reached = self
            .attempts
            .iter()
            .filter(|it| it.end != RequestEnd::Fault);
        let deep: Vec<AttemptRecord> = reached
            .map(|it| {
                let mut deep = it.clone();
                deep.number += 200_000;
                deep.route = "deep".to_owned();
                deep.t_head += 500;
                deep.age_us = 1_000;
                deep
            })
            .collect();
        self.attempts.extend(deep);
        self
    }

    /// The same pages, each of which ends after the next one is sent.
    fn overlapping(mut self) -> Self {
        self.pages.iter_mut().for_each(|it| it.ended += 40_000);
        self
    }

    fn log(&self, with_ids: bool) -> CallLog {
        let mut log = CallLog::default();
        let mut attempts = self.attempts.clone();
        if !with_ids {
            attempts.iter_mut().for_each(|it| it.trace_id = None);
        }
        log.add(&Ok(JournalPage {
            attempts,
            ..JournalPage::default()
        }));
        log
    }

    fn account(self, with_ids: bool, end: u64) -> Account {
        let calls = self.log(with_ids);
        account(self.seen(calls, end))
    }

    fn seen(self, calls: CallLog, end: u64) -> Seen<'static> {
        Seen {
            calls,
            pages: self.pages,
            cut_off: self.cut_off,
            is_watched: false,
            joined: Vec::new(),
            trace_id: &trace,
            fallback: "header x-degraded".to_owned(),
            load: Some("edge".to_owned()),
            load_to: "edge".to_owned(),
            steady: Some(CALM),
            phases: vec![FaultPhase {
                name: "dead".to_owned(),
                span: FAULT,
                faults: vec![PhaseFault {
                    id: "dead".to_owned(),
                    what: "reset on reco".to_owned(),
                    on: FAULT,
                }],
                routes: vec!["reco".to_owned()],
                breakers_opened: self.told,
            }],
            end,
            between: Vec::new(),
        }
    }
}

fn words(outage: &Outage) -> Vec<&str> {
    outage.moments.iter().map(|it| it.what.as_str()).collect()
}

fn moment<'o>(outage: &'o Outage, what: &str) -> &'o Moment {
    let found = outage.moments.iter().find(|it| it.what == what);
    found.unwrap_or_else(|| panic!("{what}: {outage:#?}"))
}

fn saver<'o>(outage: &'o Outage, by: &str) -> &'o str {
    let found = outage.saved.iter().find(|it| it.by == by);
    &found.unwrap_or_else(|| panic!("{by}: {outage:#?}")).text
}

/// An outage with a breaker: calls fail for half a second, one more is let through, and then none until half a second after
/// the fault is off.
fn with_breaker() -> Made {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        match ms {
            2_000..2_500 | 3_500 => made.page(ms, &[false], 200, true),
            2_500..5_500 => made.page(ms, &[], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
    }
    made
}

fn savers(outage: &Outage) -> Vec<&str> {
    outage.saved.iter().map(|it| it.by.as_str()).collect()
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
    assert_eq!(told.outages[0].readers, "users did not notice");
}

#[test]
fn fallbacks_before_the_fault_acted_show_what_came_before() {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        match ms {
            // What an earlier fault left: one call in ten.
            2_000..3_000 if ms % 500 == 0 => made.page(ms, &[true], 200, false),
            3_000..5_000 if ms % 500 == 0 => made.page(ms, &[false], 200, true),
            2_000..5_000 => made.page(ms, &[], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
    }

    let told = made.account(true, 7_000_000);

    let outage = &told.outages[0];
    let noticed = outage.noticed.join(" ");
    assert!(
        noticed.contains(
            "The first of these ended at 2.08s, before the fault was injected into any call"
        ),
        "{noticed}"
    );
    let told = saver(outage, "undetermined");
    assert!(
        told.contains("6 calls for 60 pages") && told.contains("one may have been open before"),
        "{told}"
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
            breakers_opened: vec![("reco".to_owned(), 2)],
        }],
        cut_off: Vec::new(),
        is_watched: false,
        joined: Vec::new(),
        end: 6_000_000,
        between: Vec::new(),
    });

    assert_eq!(savers(&told.outages[0]), ["undetermined", "breaker_seen"]);
    assert!(told.outages[0].saved[0].text.contains("GET /requests"));
    assert!(
        told.outages[0].saved[1]
            .text
            .starts_with("Services counted that circuit breakers for reco opened 2 times.")
    );
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

#[test]
fn no_effect_comes_before_its_cause() {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        match ms {
            // The fault acts on the call of a page that was asked for just before the answer that it is armed.
            1_950..5_000 => made.page(ms, &[false], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
    }
    let early = made
        .attempts
        .iter_mut()
        .find(|it| it.end == RequestEnd::Fault);
    early.unwrap().t_head = 1_998_000;

    let told = made.account(true, 7_000_000);

    let outage = &told.outages[0];
    let moments: Vec<u64> = outage.moments.iter().map(|it| it.at_ms).collect();
    assert_eq!(words(outage)[0], "fault_on");
    assert!(moments.is_sorted() && moments[0] == 1_998, "{moments:?}");
    assert_eq!(
        told.first_injected,
        [FirstInjected {
            id: "dead".to_owned(),
            phase: "dead".to_owned(),
            at_ms: 1_998
        }]
    );
    assert_eq!(moment(outage, "first_error").at_ms, 2_001);
}

#[test]
fn a_page_that_was_on_its_way_when_the_fault_came_counts() {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        // The page of 1,980 ms ends 10 ms after the fault is on.
        let ms = if ms == 1_950 { 1_980 } else { ms };
        let is_hit = (1_980..5_000).contains(&ms);
        made.page(ms, &[!is_hit], 200, is_hit);
    }
    let all = made.pages.iter().filter(|it| it.is_fallback()).count() as u64;

    let outage = made.account(true, 7_000_000).outages.remove(0);

    let effect = outage.effect.unwrap();
    assert_eq!((effect.fallback, all), (61, 61));
    assert_eq!((effect.from_ms, effect.to_ms), (2_010, 4_980));
    assert_eq!(moment(&outage, "first_fallback").at_ms, 2_010);
    assert!(!effect.goes_on);
    let last = &moment(&outage, "last_fallback").text;
    assert!(
        last.contains("it was asked for at 4.95s. 61 pages were fallbacks")
            && last.ends_with("The 40 pages that end after it are whole."),
        "{last}"
    );
}

#[test]
fn pages_that_are_only_slow_are_an_effect() {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        made.page(ms, &[true], 200, false);
        if (2_000..5_000).contains(&ms) {
            made.pages.last_mut().unwrap().ended += 200_000;
        }
    }

    let outage = made.account(true, 7_000_000).outages.remove(0);

    let effect = outage.effect.unwrap();
    assert_eq!(
        (effect.slow, effect.from_ms, effect.to_ms),
        (60, 2_230, 5_180)
    );
    assert_eq!(outage.readers, "no page failed, but users waited longer");
}

#[test]
fn a_route_behind_the_fault_loses_its_traffic() {
    let told = with_breaker().with_calls_of_reco().account(true, 7_000_000);

    let noticed = &told.outages[0].noticed;
    assert!(
        noticed.iter().any(|it| it
            == "Calls of the service behind reco to deep: 0 calls came in the phase, 0 a second (before: 20.0); reco, which calls it, had the fault."),
        "{noticed:#?}"
    );
    assert!(
        noticed[0].starts_with("Calls to reco: 11 of 11 calls failed (before: 0 of 40); 11 calls came in the phase, 3.7 a second"),
        "{noticed:#?}"
    );
}

#[test]
fn of_pages_that_got_faster_it_is_told_how_many_made_no_call() {
    let mut made = with_breaker();
    for page in &mut made.pages {
        if page.is_fallback() {
            page.ended = page.intended + 10_000;
        }
    }

    let outage = made.account(true, 7_000_000).outages.remove(0);

    let users = outage.noticed.last().unwrap();
    assert!(
        users.contains("median 10ms (before: 30ms)")
            && users.ends_with("The median is lower than before; 49 of them made no call to reco."),
        "{users}"
    );
}

#[test]
fn calls_of_pages_that_were_cut_off_are_told_apart() {
    let mut made = Made::new();
    for ms in (0..6_000).step_by(50) {
        made.page(ms, &[true], 200, false);
    }
    made.cut_off = made
        .pages
        .split_off(117)
        .iter()
        .map(|it| (it.number, it.intended))
        .collect();

    let told = made.account(true, 6_000_000);

    let route = &told.routes[0];
    assert_eq!(
        (route.calls, route.of_pages, route.of_cut_off),
        (120, 117, 3)
    );
    assert_eq!(
        told.pages,
        Some(PageCount {
            asked: 120,
            ended: 117,
            cut_off: 3
        })
    );
}

#[test]
fn calls_of_a_phase_are_counted_one_by_one() {
    let log = with_breaker().log(true);

    let count = log.count("reco", FAULT).unwrap();

    assert_eq!((count.calls, count.ended, count.errors), (11, 11, 11));
    assert!((count.error_rate() - 1.0).abs() < 1e-9);
    assert_eq!(count.mean_ms(), Some(3.0));
    let seconds = log.seconds("reco", 7_000_000).unwrap();
    let ended: Vec<f64> = seconds.iter().map(|it| it.requests).collect();
    assert_eq!(ended, [20.0, 20.0, 10.0, 1.0, 0.0, 10.0, 20.0]);
    let failed: Vec<f64> = seconds.iter().map(|it| it.errors).collect();
    assert_eq!(failed, [0.0, 0.0, 10.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn calls_after_the_end_of_a_run_are_left_out() {
    let mut log = with_breaker().log(true);

    // The call that began at 6,902 ms has not ended then, and that of 6,952 ms has not begun.
    log.cut(6_903_000);

    let whole = Span {
        from: 0,
        to: 7_000_000,
    };
    let count = log.count("reco", whole).unwrap();
    assert_eq!((count.calls, count.ended, count.errors), (80, 79, 11));
    let seconds = log.seconds("reco", 6_903_000).unwrap();
    let ended: f64 = seconds.iter().map(|it| it.requests).sum();
    assert_eq!(ended, 79.0);
}
