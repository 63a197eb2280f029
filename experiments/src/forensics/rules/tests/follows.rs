//! What is told of few waits, beside another defect, and of what pages send.

use super::{
    serial::{all_503, hanging, with_hang},
    *,
};

#[test]
fn few_waits_of_single_failures_are_filled_up_with_those_of_other_503s() {
    let client = CLIENTS[0];
    // Of fifteen single failures a small budget lets four be retried.
    let single = |wait: &dyn Fn(u64) -> u64| {
        let mut records = Records::armed(0);
        for page in 0..45 {
            let at = page * 2_000;
            records.page(at, Some(500), 200, page % 3 == 0);
            if page % 3 == 0 {
                records.attempt(at + 1, 5, Ends::With(503), page);
            }
            if page % 12 == 0 {
                records.attempt(at + 6 + wait(page), 10, Ends::With(200), page);
            }
        }
        records.form("a 503").until(90_000)
    };
    let with_others = |wait: &dyn Fn(u64) -> u64| Battery {
        one_failure: vec![single(wait)],
        ..all_503(9, |page| vec![wait(page)])
    };
    let fixed = |_: u64| 60;
    let drawn = |page: u64| client.wait_before(page, 0);
    let alone = Battery {
        one_failure: vec![single(&fixed)],
        ..Battery::default()
    };

    assert_told(client, &alone, Id::NoJitter, Verdict::Undetermined);
    assert_told(client, &with_others(&fixed), Id::NoJitter, Verdict::Defect);
    assert_told(client, &with_others(&drawn), Id::NoJitter, Verdict::Ok);
}

#[test]
fn beside_a_call_without_end_other_time_outs_say_which_id_tells_it() {
    let client = CLIENTS[0];
    let told_beside = |hang: Trial, id: Id| told(client, &with_hang(hang), id);

    for id in [
        Id::TimeoutOverBudget,
        Id::NoTotalTimeout,
        Id::PerReadTimeout,
        Id::HeadOnlyTimeout,
    ] {
        let finding = told_beside(hanging(client, 1, None), id);
        assert_eq!(finding.verdict, Verdict::NotApplicable, "{finding:?}");
        assert_eq!(finding.why, "no-timeout tells it");
    }
    let long = told_beside(hanging(client, 1, Some(client.budget * 3)), Id::NoTimeout);
    assert_eq!(long.verdict, Verdict::Ok);
    assert_eq!(
        long.sentence,
        "a call that hangs is given up after 3.00s: timeout-over-budget tells that this is too long"
    );
}

#[test]
fn what_pages_send_is_no_order_and_its_repeat_is_told() {
    let client = CLIENTS[0];
    let posting = |waits: &[u64]| {
        let mut battery = all_503(3, |_| waits.to_vec());
        for attempt in &mut battery.all_503.as_mut().unwrap().attempts {
            attempt.method = "POST".to_owned();
            attempt.path = "/search".to_owned();
        }
        battery.all_503.as_mut().unwrap().form = "a 503".to_owned();
        battery
    };

    let repeated = told(client, &posting(&[50]), Id::RetriesPost);
    assert_eq!(repeated.verdict, Verdict::Undetermined);
    assert!(
        repeated
            .why
            .starts_with("a page sends POST /search 2 times when it meets a 503"),
        "{}",
        repeated.why
    );
    assert_told(client, &posting(&[]), Id::RetriesPost, Verdict::Ok);
    assert_told(
        client,
        &all_503(3, |_| vec![50]),
        Id::RetriesPost,
        Verdict::Undetermined,
    );
}
