//! What is said of the calls of single pages, where calls are joined to pages by ids, by time, or not at all.

use super::*;

/// An outage with a breaker, after which only every third page makes a call.
fn slowly_back() -> Made {
    let mut made = Made::new();
    for ms in (0..9_000).step_by(50) {
        match ms {
            2_000..2_500 => made.page(ms, &[false], 200, true),
            2_500..5_500 => made.page(ms, &[], 200, true),
            5_500.. if ms % 150 != 0 => made.page(ms, &[], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
        if (2_000..5_500).contains(&ms) {
            made.pages.last_mut().unwrap().ended -= 15_000;
        }
    }
    made
}

/// All sentences of an outage.
fn text(outage: &Outage) -> String {
    let moments = outage.moments.iter().map(|it| it.text.as_str());
    let saved = outage.saved.iter().map(|it| it.text.as_str());
    let noticed = outage.noticed.iter().map(String::as_str);
    moments
        .chain(saved)
        .chain(noticed)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn by_time_the_same_is_said_as_by_ids_where_pages_come_one_at_a_time() {
    let (by_id, by_time) = (
        slowly_back().account(true, 9_000_000),
        slowly_back().account(false, 9_000_000),
    );

    assert_eq!(by_time.outages, by_id.outages);
    assert!(text(&by_time.outages[0]).contains("50 of them made no call to reco"));
    let joined = |told: &Account| told.routes[0].joined_by;
    assert_eq!(joined(&by_id), Some(JoinedBy::Id));
    assert_eq!(joined(&by_time), Some(JoinedBy::Serial));
    assert_eq!(by_time.routes[0].of_pages, by_id.routes[0].of_pages);
}

#[test]
fn nothing_is_said_of_single_pages_where_they_overlap_and_calls_have_no_ids() {
    let told = slowly_back().overlapping().account(false, 9_000_000);

    let outage = &told.outages[0];
    let text = text(outage);
    for claim in [
        "make no call",
        "makes no call",
        "made no call",
        "retry answered",
    ] {
        assert!(!text.contains(claim), "{claim}: {text}");
    }
    // Totals are true without it.
    for total in [
        "Calls to reco stop after 10 failed: none comes in 3.10s, in which 62 pages are asked for.",
        "No call to reco had a good answer, and 60 of 60 pages were good: their service has a fallback.",
        "and pages overlap in time, so what else helped which page cannot be told.",
    ] {
        assert!(text.contains(total), "{total}: {text}");
    }
    assert_eq!(told.routes[0].joined_by, Some(JoinedBy::Totals));
    assert_eq!(savers(outage), ["fallback", "undetermined"]);
}

#[test]
fn why_pages_got_faster_is_told_by_totals_where_calls_are_not_joined() {
    let mut made = slowly_back().overlapping();
    for page in &mut made.pages {
        if (2_000_000..5_500_000).contains(&page.intended) {
            page.ended = page.intended + 10_000;
        }
    }

    let outage = made.account(false, 9_000_000).outages.remove(0);

    let users = outage.noticed.last().unwrap();
    assert!(
        users
            .ends_with("The median is lower than before; only 10 calls to reco came in the phase."),
        "{users}"
    );
}

#[test]
fn calls_that_come_without_pages_are_not_joined_by_time() {
    let mut made = Made::new();
    for ms in (0..6_000).step_by(50) {
        match ms {
            2_000..5_000 => made.page(ms, &[false], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
    }
    // A refresher calls between pages: 40 ms after each was asked for, and 10 ms after it ended.
    let more: Vec<AttemptRecord> = made
        .attempts
        .iter()
        .map(|it| {
            let mut more = it.clone();
            more.number += 100_000;
            more.t_head += 38_000;
            more
        })
        .collect();
    made.attempts.extend(more);

    let told = made.account(false, 6_000_000);

    assert!(text(&told.outages[0]).contains("and calls come while no page is asked for, so"));
    assert_eq!(told.routes[0].of_pages, 0);
}

#[test]
fn a_watched_endpoint_may_cause_calls_as_well() {
    let made = slowly_back();
    let calls = made.log(false);
    let mut seen = made.seen(calls, 9_000_000);
    seen.is_watched = true;

    let told = account(seen);

    assert!(text(&told.outages[0]).contains("the watched endpoint may cause calls as well"));
}

#[test]
fn waits_before_retries_are_those_of_one_page() {
    let waits = |with_ids: bool, overlapping: bool| {
        let mut made = Made::new();
        for ms in (0..6_000).step_by(50) {
            match ms {
                // Each page fails twice, and the next page's first call is no retry of it.
                2_000..2_500 => made.page(ms, &[false, false], 200, true),
                _ => made.page(ms, &[true], 200, false),
            }
        }
        // One of two calls at once that asks for something else.
        let mut other = made
            .attempts
            .iter()
            .rfind(|it| it.end == RequestEnd::Fault)
            .unwrap()
            .clone();
        other.number += 100_000;
        other.t_head += 8_000;
        other.fingerprint = "other".to_owned();
        made.attempts.push(other);
        let made = if overlapping {
            made.overlapping()
        } else {
            made
        };
        made.account(with_ids, 6_000_000)
            .outages
            .remove(0)
            .retry_waits
    };

    let by_id = waits(true, true);

    assert_eq!(
        by_id,
        [RetryWaits {
            route: "reco".to_owned(),
            waits_ms: vec![2.0; 10]
        }]
    );
    assert_eq!(waits(false, false), by_id);
    assert_eq!(waits(false, true), []);
}

#[test]
fn only_the_last_page_of_all_is_called_the_last_of_the_run() {
    let mut made = Made::new();
    for ms in (0..9_000).step_by(50) {
        match ms {
            2_000..5_000 => made.page(ms, &[false], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
    }
    let calls = made.log(true);
    let mut seen = made.seen(calls, 9_000_000);
    let next = Span {
        from: 5_000_000,
        to: 7_000_000,
    };
    seen.phases.push(FaultPhase {
        name: "next".to_owned(),
        span: next,
        faults: Vec::new(),
        ..seen.phases[0].clone()
    });

    let told = account(seen);

    let last = &moment(&told.outages[0], "last_fallback").text;
    assert!(
        last.ends_with("60 pages were fallbacks between this fault and the next. It is the last page asked for before the next fault."),
        "{last}"
    );
    assert!(!told.outages[0].effect.unwrap().goes_on);
}
