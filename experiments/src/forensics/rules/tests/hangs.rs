//! A service without a breaker while calls hang, and the attempts of a page that takes too long in all.

use super::{
    load::{outage, outages},
    serial::{hanging, with_hang},
    *,
};

/// Seen of a page that asks two paths one after the other, twice each: either may hang, and both are too much.
#[test]
fn paths_that_hang_together_are_too_long_together() {
    let client = CLIENTS[0];
    let calm = calm_of_two_paths(client);
    let each = client.budget * 7 / 10;
    let alone = |path: &str| {
        let mut records = Records::armed(0);
        records.page(0, Some(each), 200, true);
        records.attempt(1, each, Ends::ByClient, 1).path = path.to_owned();
        let mut trial = records.until(12_000);
        trial.path = Some(path.to_owned());
        trial
    };
    let told = |together: u64| {
        let mut records = Records::armed(0);
        records.page(0, Some(each + together), 200, true);
        records.attempt(1, each, Ends::ByClient, 1).path = "/items".to_owned();
        records.attempt(together, each, Ends::ByClient, 2).path = "/prices".to_owned();
        let battery = Battery {
            hang: vec![alone("/items"), alone("/prices")],
            hang_of_all: Some(records.until(12_000)),
            ..Battery::default()
        };
        let told = findings_by_path("up", &calm, &calm.scale, &battery);
        told.into_iter().find(|it| it.id == Id::NoTotalTimeout)
    };

    let one_by_one = told(each).expect("every id is there");
    assert_eq!(one_by_one.verdict, Verdict::Defect);
    assert!(
        one_by_one.sentence.contains("several paths"),
        "{one_by_one:?}"
    );
    assert_eq!(told(1).expect("every id is there").verdict, Verdict::Ok);
}

/// Outages that a service without a breaker survives, a single page whose call hangs, and pages at a rate while all calls
/// hang: every 100 ms, each with so many calls, for so long.
fn without_breaker(client: Client, alone: Trial, calls: u64, took: Option<u64>) -> Battery {
    let mut records = Records::armed(0);
    for page in 0..90 {
        records.page(page * 100, took, 503, false);
        for call in 0..calls {
            let at = page * 100 + call * client.timeout;
            records.attempt(at, client.timeout, Ends::ByClient, page);
        }
    }
    Battery {
        hang: vec![alone],
        hang_under_load: Some(
            records
                .removed(9_000)
                .until(9_000 + client.budget * 2 + 1_000),
        ),
        ..outages(
            outage(Ends::With(503), 503, |_| true),
            outage(Ends::Reset, 503, |_| true),
        )
    }
}

#[test]
fn no_breaker_is_needed_where_one_call_that_hangs_ends_in_time() {
    for client in CLIENTS {
        let alone = || hanging(client, 1, Some(client.timeout));

        let fine = without_breaker(client, alone(), 1, Some(client.timeout));

        let found = told(client, &fine, Id::NoEffectiveBreaker);
        assert_eq!(found.verdict, Verdict::Ok, "{found:?}");
        assert!(found.sentence.contains("while calls hang"), "{found:?}");
    }
}

/// Seen of a Ruby service whose `Net::HTTP` repeats each GET, and of one with a time-out for connecting alone.
#[test]
fn where_pages_that_hang_are_late_a_time_out_tells_why_and_the_missing_breaker_is_not_ok() {
    let client = CLIENTS[0];
    let twice = without_breaker(client, hanging(client, 3, Some(900)), 2, Some(2_700));
    let never = without_breaker(client, hanging(client, 1, None), 1, None);
    let long = without_breaker(client, hanging(client, 1, Some(3_000)), 1, Some(3_000));

    for (battery, root) in [
        (twice, "no-total-timeout"),
        (never, "no-timeout"),
        (long, "timeout-over-budget"),
    ] {
        let found = told(client, &battery, Id::NoEffectiveBreaker);
        assert_eq!(found.verdict, Verdict::NotApplicable, "{found:?}");
        assert!(found.why.contains(root), "{found:?}");
    }
}

/// Seen of a service with four threads: one page that hangs is in time, and many wait for each other.
#[test]
fn pages_that_wait_for_each_other_while_calls_hang_are_not_ok() {
    let client = CLIENTS[0];
    let alone = || hanging(client, 1, Some(client.timeout));
    let queued = without_breaker(client, alone(), 1, Some(client.budget * 3));
    let few_threads = |mut battery: Battery| {
        let hang = battery.hang_under_load.as_mut().unwrap();
        let mut number = 0;
        hang.attempts.retain(|_| {
            number += 1;
            number % 2 == 0
        });
        battery
    };
    let unseen = Battery {
        hang_under_load: None,
        ..queued.clone()
    };

    let id = Id::NoEffectiveBreaker;
    assert_told(client, &queued, id, Verdict::Defect);
    assert_told(client, &few_threads(queued), id, Verdict::Undetermined);
    assert_told(client, &unseen, id, Verdict::Undetermined);
}

/// Of a page whose attempts are too long together, each attempt is looked at: its time-out may begin anew with each byte.
#[test]
fn beside_attempts_too_long_together_one_whose_bytes_dribble_in_is_looked_at() {
    for client in CLIENTS {
        let each = client.budget * 9 / 10;
        let body = |took: u64, ends: Ends| {
            let mut records = Records::armed(0);
            records.page(0, Some(client.budget * 3), 200, true);
            records.attempt(1, took, ends, 1);
            records.attempt(took + 50, took, ends, 1);
            records.until(client.budget * 6)
        };
        let with = |dribble: Trial, stall: Trial| Battery {
            dribble: vec![dribble],
            stall_in_body: vec![stall],
            ..with_hang(hanging(client, 3, Some(each)))
        };
        let whole = || body(each, Ends::ByClient);
        let for_ever = || body(client.budget * 2, Ends::Open);

        let covered = with(whole(), whole());
        let per_read = with(body(client.budget * 2, Ends::With(200)), whole());
        let head_only = with(for_ever(), for_ever());

        assert_told(client, &covered, Id::NoTotalTimeout, Verdict::Defect);
        assert_told(client, &covered, Id::PerReadTimeout, Verdict::Ok);
        assert_told(client, &covered, Id::HeadOnlyTimeout, Verdict::Ok);
        assert_told(client, &per_read, Id::PerReadTimeout, Verdict::Defect);
        assert_told(client, &per_read, Id::HeadOnlyTimeout, Verdict::Ok);
        assert_told(client, &head_only, Id::HeadOnlyTimeout, Verdict::Defect);
        assert_told(
            client,
            &head_only,
            Id::PerReadTimeout,
            Verdict::NotApplicable,
        );
    }
}
