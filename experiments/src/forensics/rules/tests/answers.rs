//! Bodies, kept connections, hedges and callers that leave.

use super::*;

#[test]
fn what_is_cut_or_damaged_is_not_served_as_whole() {
    let served = |form: &str, items: usize, degraded: bool, attempts: u64| {
        let mut records = Records::armed(0).form(form);
        records.page(0, Some(100), 200, degraded);
        records.trial.pages[0].content = Some(super::items(items));
        for attempt in 0..attempts {
            records.attempt(1 + attempt * 50, 5, Ends::With(200), 1);
        }
        records.until(2_000)
    };
    let battery = |truncated: Trial, damaged: Trial| Battery {
        truncated: vec![truncated],
        damaged: vec![damaged],
        ..Battery::default()
    };

    let bad = battery(
        served("content-length, fin", 11, false, 1),
        served("empty object", 0, false, 1),
    );
    assert_told(CLIENTS[2], &bad, Id::AcceptsTruncated, Verdict::Defect);
    assert_told(CLIENTS[2], &bad, Id::AcceptsCorrupt, Verdict::Defect);
    let good = battery(
        served("chunked, rst", 24, false, 2),
        served("html", 0, true, 1),
    );
    assert_told(CLIENTS[2], &good, Id::AcceptsTruncated, Verdict::Ok);
    assert_told(CLIENTS[2], &good, Id::AcceptsCorrupt, Verdict::Ok);
    // A clean end nobody can see.
    let clean = battery(
        served("chunked, clean", 11, false, 1),
        served("html", 0, true, 1),
    );
    assert_told(CLIENTS[2], &clean, Id::AcceptsTruncated, Verdict::Ok);
}

/// A page that leaves a part out, and does not say so, is the same page whether the part's answer hangs or is damaged.
#[test]
fn a_part_that_is_left_out_is_not_accepted() {
    let page = |items: usize| {
        let mut records = Records::armed(0).form("broken JSON");
        records.page(0, Some(100), 200, false);
        records.trial.pages[0].content = Some(super::items(items));
        records.attempt(1, 60, Ends::With(200), 1);
        records.until(2_000)
    };
    let battery = |while_it_hangs: Trial| Battery {
        damaged: vec![page(11)],
        hang: vec![while_it_hangs],
        ..Battery::default()
    };

    let id = Id::AcceptsCorrupt;
    let left_out = told(CLIENTS[2], &battery(page(11)), id);
    assert_eq!(left_out.verdict, Verdict::Ok);
    assert!(left_out.sentence.contains("left out"), "{left_out:?}");
    assert_told(CLIENTS[2], &battery(page(24)), id, Verdict::Defect);
}

#[test]
fn a_reset_of_a_kept_connection_is_survived() {
    let page = |kept: u64, status: u16, attempts: u64| {
        let mut records = Records::armed(0);
        records.page(0, Some(60), status, false);
        let first = records.attempt(1, 5, Ends::Reset, 1);
        first.conn_seq = kept;
        for attempt in 1..attempts {
            records.attempt(1 + attempt * 20, 5, Ends::With(200), 1);
        }
        Battery {
            reset_warm: Some(records.until(2_000)),
            ..Battery::default()
        }
    };

    assert_told(
        CLIENTS[0],
        &page(3, 500, 1),
        Id::ResetSurfaced,
        Verdict::Defect,
    );
    assert_told(CLIENTS[0], &page(3, 200, 2), Id::ResetSurfaced, Verdict::Ok);
    assert_told(CLIENTS[0], &page(3, 503, 1), Id::ResetSurfaced, Verdict::Ok);
    assert_told(
        CLIENTS[0],
        &page(0, 500, 1),
        Id::ResetSurfaced,
        Verdict::NotApplicable,
    );
}

#[test]
fn attempts_for_a_caller_that_left_end_inside_the_budget() {
    for client in CLIENTS {
        let leaves = |last: u64| {
            let mut records = Records::armed(0);
            records.page(0, None, 0, false);
            records.trial.pages[0].left = Some(100 * MS);
            records.attempt(1, 50, Ends::ByClient, 1);
            records.attempt(100 + last, 50, Ends::ByClient, 1);
            Battery {
                caller_leaves: vec![records.until(30_000)],
                ..Battery::default()
            }
        };

        assert_told(
            client,
            &leaves(client.budget / 2),
            Id::NoCancellation,
            Verdict::Ok,
        );
        assert_told(
            client,
            &leaves(client.budget * 2),
            Id::NoCancellation,
            Verdict::Defect,
        );
    }
}

#[test]
fn a_permanent_hedge_calls_twice_where_nothing_fails() {
    for client in CLIENTS {
        let hedged = |every: u64| {
            let mut records = Records::armed(0);
            for page in 0..20 {
                let at = page * 3_000;
                records.page(at, Some(client.call * 2), 200, false);
                records.attempt(at + 1, client.call * 2, Ends::With(200), page);
                if page % every == 0 {
                    records.attempt(at + 1 + client.call, client.call, Ends::ByClient, page);
                }
            }
            Battery {
                slow_but_fine: Some(records.until(60_000)),
                ..Battery::default()
            }
        };

        assert_told(client, &hedged(1), Id::PermanentHedge, Verdict::Defect);
        assert_told(client, &hedged(100), Id::PermanentHedge, Verdict::Ok);
        assert_told(
            client,
            &hedged(4),
            Id::PermanentHedge,
            Verdict::Undetermined,
        );
    }
}

/// Seen of a client that gives a call 300 ms, of an upstream that takes 120 ms: what was to be slow and fine was given up and tried again.
#[test]
fn calls_that_are_given_up_are_no_hedge() {
    let client = CLIENTS[0];
    let mut records = Records::armed(0);
    for page in 0..20 {
        let at = page * 3_000;
        records.page(at, Some(client.timeout * 2 + 60), 200, true);
        records.attempt(at + 1, client.timeout, Ends::ByClient, page);
        records.attempt(
            at + 50 + client.timeout,
            client.timeout,
            Ends::ByClient,
            page,
        );
    }
    let battery = Battery {
        slow_but_fine: Some(records.until(60_000)),
        ..Battery::default()
    };

    assert_told(client, &battery, Id::PermanentHedge, Verdict::Undetermined);
}

/// Seen of prices that are kept for 300 ms: 20 calm pages asked once, and 20 slow ones, which took longer together, four times.
#[test]
fn what_is_kept_for_a_while_and_asked_for_again_is_no_hedge() {
    for client in CLIENTS {
        let mut records = Records::armed(0);
        for page in 0..20 {
            let at = page * 3_000;
            records.page(at, Some(client.call * 2), 200, false);
            if page % 5 == 0 {
                records.attempt(at + 1, client.call * 2, Ends::With(200), page);
            }
        }
        let battery = Battery {
            slow_but_fine: Some(records.until(60_000)),
            ..Battery::default()
        };
        let scale = Scale {
            calls_per_page: 0.05,
            ..client.scale()
        };

        let found = told_at(&scale, &battery, Id::PermanentHedge);

        assert_eq!(found.verdict, Verdict::NotApplicable, "{found:?}");
        assert_eq!(found.why, "most pages make no call");
    }
}
