//! Who tries whether a dependency is back.

use super::*;

#[test]
fn one_probe_at_a_time() {
    let probes = |count: u64| {
        let mut records = Records::armed(0);
        for page in 0..20 {
            records.page(page * 17, Some(20), 200, true);
            records.attempt(page * 17, 10, Ends::With(503), page);
        }
        for probe in 0..count {
            records.page(3_000 + probe * 15, Some(220), 200, false);
            records.attempt(3_000 + probe * 15, 200, Ends::With(200), 100 + probe);
        }
        Battery {
            half_open: Some(records.until(6_000)),
            ..Battery::default()
        }
    };

    assert_told(CLIENTS[0], &probes(1), Id::HalfOpenStampede, Verdict::Ok);
    assert_told(CLIENTS[0], &probes(2), Id::HalfOpenStampede, Verdict::Ok);
    assert_told(
        CLIENTS[0],
        &probes(3),
        Id::HalfOpenStampede,
        Verdict::Undetermined,
    );
    assert_told(
        CLIENTS[0],
        &probes(9),
        Id::HalfOpenStampede,
        Verdict::Defect,
    );
    assert_told(
        CLIENTS[0],
        &probes(0),
        Id::HalfOpenStampede,
        Verdict::NotApplicable,
    );
}

/// Calls of two paths after a silence of both: the probe of one, and those that follow its good answer, or nothing but a burst.
fn after_a_silence(waits_for_the_probe: bool) -> Battery {
    let mut records = Records::armed(2_000);
    let mut page = |at: u64, status: u16| {
        let number = at * 2;
        records.page(at, Some(220), status, status != 200);
        for path in ["/items", "/prices"] {
            records.attempt(at, 200, Ends::With(status), number).path = path.to_owned();
        }
    };
    (0..20).for_each(|it| page(it * 17, 503));
    let first = if waits_for_the_probe { 3_220 } else { 3_000 };
    (0..20).for_each(|it| page(first + it * 15, 200));
    if waits_for_the_probe {
        records.page(3_000, Some(220), 200, true);
        records.attempt(3_000, 200, Ends::With(200), 1).path = "/prices".to_owned();
    }
    let mut trial = records.until(6_000);
    trial.slow = Some(200 * MS);
    Battery {
        half_open: Some(trial),
        ..Battery::default()
    }
}

/// Seen of pages that call two or three paths through one breaker: what followed its one probe was taken for a burst of the other path.
#[test]
fn the_probe_of_one_path_closes_the_breaker_of_all() {
    let client = CLIENTS[0];
    let calm = calm_of_two_paths(client);
    let told = |waits_for_the_probe| {
        let battery = after_a_silence(waits_for_the_probe);
        let told = findings_by_path("up", &calm, &calm.scale, &battery);
        let told = told.into_iter().find(|it| it.id == Id::HalfOpenStampede);
        told.expect("every id is there")
    };

    assert_eq!(told(true).verdict, Verdict::Ok);
    // Of two paths that are both well the one whose probe was seen is told.
    assert!(told(true).sentence.starts_with("1 call tries"));
    assert_eq!(told(false).verdict, Verdict::Defect);
}
