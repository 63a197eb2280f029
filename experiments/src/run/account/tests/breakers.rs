//! Circuit breakers, as calls that come and do not come show them.

use super::*;

#[test]
fn a_breaker_is_seen_to_open_to_let_a_call_through_and_to_close() {
    let told = with_breaker().account(true, 7_000_000);
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
    let at = |what: &str| moment(outage, what).at_ms;
    assert_eq!((at("fault_on"), at("fault_off")), (2_000, 5_000));
    assert_eq!(at("first_error"), 2_005);
    assert_eq!(at("breaker_open"), 2_455);
    assert_eq!(at("half_open"), 3_502);
    assert_eq!(at("breaker_closed"), 5_505);
    assert_eq!(at("first_good_call"), 5_505);
    assert_eq!(savers(outage), ["fallback", "breaker_seen"]);
    assert!(
        outage.saved[0]
            .text
            .starts_with("60 of 60 pages were answered without a good call to reco"),
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
fn a_breaker_is_credited_only_where_failed_calls_cost_something() {
    let by = |failed_takes: u64, failing: u16| {
        let mut made = Made::new();
        made.failed_takes = failed_takes;
        for ms in (0..7_000).step_by(50) {
            match ms {
                2_000..2_500 => made.page(ms, &[false], failing, failing == 200),
                2_500..5_500 => made.page(ms, &[], 200, true),
                _ => made.page(ms, &[true], 200, false),
            }
        }
        made.account(true, 7_000_000).outages.remove(0)
    };

    let (quick, slow, fatal) = (by(200, 200), by(300_000, 200), by(200, 502));

    assert_eq!(savers(&quick), ["fallback", "breaker_seen"]);
    assert!(
        saver(&quick, "breaker_seen").contains(
            "It is not shown that this kept the page up: 0 of 10 pages that did call failed"
        ),
        "{quick:#?}"
    );
    assert_eq!(savers(&slow), ["fallback", "breaker"]);
    assert!(
        saver(&slow, "breaker").contains("a failed call took 300ms in the median"),
        "{slow:#?}"
    );
    assert_eq!(savers(&fatal), ["fallback", "breaker", "nothing"]);
    assert!(
        saver(&fatal, "breaker").contains("10 of 10 failed; of those that did not, 0 of 50"),
        "{fatal:#?}"
    );
}

#[test]
fn the_pages_that_called_are_told_apart_from_their_calls() {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        match ms {
            // A retry: two calls for each of ten pages.
            2_000..2_500 => made.page(ms, &[false, false], 200, true),
            2_500..5_500 => made.page(ms, &[], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
    }

    let outage = made.account(true, 7_000_000).outages.remove(0);

    let told = saver(&outage, "breaker_seen");
    assert!(
        told.starts_with("50 of 60 pages made no call to reco; the other 10 made 20 calls."),
        "{told}"
    );
    // The same 50 pages, and the 10 that came after the phase.
    let opens = &moment(&outage, "breaker_open").text;
    assert!(
        opens.starts_with("Calls to reco stop after 20 failed: 60 pages make no call in ")
            && opens.contains("(50 of them in the phase dead)"),
        "{opens}"
    );
}

#[test]
fn a_breaker_is_inferred_unless_its_service_told_of_it() {
    let inferred = with_breaker().account(true, 7_000_000).outages.remove(0);
    let mut made = with_breaker();
    made.told = vec![("reco".to_owned(), 2)];
    let told = made.account(true, 7_000_000).outages.remove(0);

    let text = |outage: &Outage| moment(outage, "breaker_open").text.clone();
    assert!(text(&inferred).ends_with("From that it is inferred that a circuit breaker opens."));
    assert!(
        text(&told)
            .ends_with("A circuit breaker opens: its service counted that 2 times in the phase.")
    );
    let closes = &moment(&inferred, "breaker_closed").text;
    assert!(
        closes.contains("it is inferred that the circuit breaker closes. That is 505ms since the fault on reco is off; the call before \
                         came while the fault was still on."),
        "{closes}"
    );
}

#[test]
fn what_users_saw_lasts_longer_than_the_fault_where_a_breaker_stays_open() {
    let outage = with_breaker().account(true, 7_000_000).outages.remove(0);

    let effect = outage.effect.unwrap();
    assert_eq!((outage.from_ms, outage.to_ms), (2_000, 5_000));
    assert_eq!((effect.from_ms, effect.to_ms), (2_030, 5_480));
    assert_eq!((effect.failed, effect.fallback, effect.slow), (0, 70, 0));
}

#[test]
fn pages_without_a_call_while_a_breaker_is_about_to_close_are_told() {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        match ms {
            2_000..2_500 => made.page(ms, &[false], 200, true),
            2_500..5_500 | 5_550..5_650 => made.page(ms, &[], 200, true),
            _ => made.page(ms, &[true], 200, false),
        }
    }

    let account = made.account(true, 7_000_000);

    let closed = &moment(&account.outages[0], "breaker_closed").text;
    let told = "2 pages asked for after it began still make no call, the last one 98ms later.";
    assert!(closed.contains(told), "{closed}");
}

#[test]
fn a_page_without_a_call_is_no_sign_where_many_make_none() {
    let mut made = Made::new();
    for ms in (0..7_000).step_by(50) {
        match ms {
            2_000..2_500 => made.page(ms, &[false], 200, true),
            2_500..5_500 => made.page(ms, &[], 200, true),
            _ if ms % 100 == 0 => made.page(ms, &[], 200, false),
            _ => made.page(ms, &[true], 200, false),
        }
    }

    let account = made.account(true, 7_000_000);

    let closed = &moment(&account.outages[0], "breaker_closed").text;
    assert!(!closed.contains("still"), "{closed}");
}
