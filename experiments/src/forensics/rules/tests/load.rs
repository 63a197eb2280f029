//! Many pages at once.

use super::*;

/// Pages every 50 ms, with a fault from 1 s to 8 s and records until 24 s.
const REMOVED: u64 = 8_000;
const UNTIL: u64 = 24_000;

/// Pages over an outage; `calls` says when a page calls, and each call of the outage ends so.
pub(super) fn outage(ends: Ends, status: u16, calls: impl Fn(u64) -> bool) -> Trial {
    let mut records = Records::armed(1_000);
    for page in 0..UNTIL / 50 {
        let at = page * 50;
        let during = (1_000..REMOVED).contains(&at);
        records.page(at, Some(20), if during { status } else { 200 }, during);
        if calls(at) {
            let ends = if during { ends } else { Ends::With(200) };
            records.attempt(at + 1, 10, ends, page);
        }
    }
    records.removed(REMOVED).until(UNTIL)
}

/// A breaker that lets calls pass for half a second, then probes each `open` ms, and closes when a probe is good.
fn breaker(open: u64) -> impl Fn(u64) -> bool {
    move |at| {
        let since = at.saturating_sub(1_500);
        let closes = 1_500 + (REMOVED - 1_500).div_ceil(open) * open;
        at < 1_500 || at >= closes || since % open == 0
    }
}

pub(super) fn outages(errors: Trial, resets: Trial) -> Battery {
    Battery {
        outage_503: Some(errors),
        outage_reset: Some(resets),
        ..Battery::default()
    }
}

#[test]
fn a_breaker_stops_calls_and_closes_again() {
    for (client, open) in CLIENTS.into_iter().zip([1_500, 5_000, 1_000]) {
        let battery = outages(
            outage(Ends::With(503), 200, breaker(open)),
            outage(Ends::Reset, 200, breaker(open)),
        );

        for id in [
            Id::NoEffectiveBreaker,
            Id::BreakerIgnores5xx,
            Id::BreakerNeverCloses,
            Id::PoolLeak,
            Id::UncappedBackoff,
        ] {
            assert_told(client, &battery, id, Verdict::Ok);
        }
    }
}

#[test]
fn calls_that_another_one_fails_before_are_stopped_by_no_breaker() {
    // Each page calls /items and, with its answer, /prices.
    let in_turn = |ends: Ends| {
        let mut trial = outage(ends, 503, |_| true);
        let good = trial.attempts.iter().filter(|it| !it.is_failed());
        let prices: Vec<AttemptRecord> = good
            .cloned()
            .map(|mut it| {
                it.path = "/prices".to_owned();
                it.t_head += 12 * MS;
                it
            })
            .collect();
        trial.attempts.extend(prices);
        trial.of_path("/prices")
    };
    let client = CLIENTS[0];
    let mut hangs = outage(Ends::ByClient, 503, |_| true);
    for page in &mut hangs.pages {
        if (1_000 * MS..REMOVED * MS).contains(&page.intended) {
            page.ended = Some(page.sent + client.timeout * MS);
        }
    }
    let battery = Battery {
        hang_under_load: Some(hangs),
        ..outages(in_turn(Ends::With(503)), in_turn(Ends::Reset))
    };

    for (id, verdict) in [
        (Id::NoEffectiveBreaker, Verdict::Ok),
        (Id::SlowFallback, Verdict::Ok),
        (Id::HalfOpenStampede, Verdict::NotApplicable),
    ] {
        assert_told(client, &battery, id, verdict);
    }
}

#[test]
fn calls_that_go_on_are_a_defect_where_pages_suffer() {
    let always = |_: u64| true;
    // Each call is made twice.
    let twice = |mut trial: Trial| {
        let again = trial.attempts.clone().into_iter().map(|mut it| {
            it.t_head += 15 * MS;
            it
        });
        trial.attempts.extend(
            again
                .filter(|it| (1_000 * MS..REMOVED * MS).contains(&it.t_head))
                .collect::<Vec<_>>(),
        );
        trial
    };
    let suffers = outages(
        twice(outage(Ends::With(503), 200, always)),
        twice(outage(Ends::Reset, 200, always)),
    );
    let serves = Battery {
        hang_under_load: Some(outage(Ends::ByClient, 200, always)),
        ..outages(
            outage(Ends::With(503), 200, always),
            outage(Ends::Reset, 200, always),
        )
    };
    let ignores = outages(
        outage(Ends::With(503), 200, always),
        outage(Ends::Reset, 200, breaker(1_500)),
    );

    assert_told(
        CLIENTS[0],
        &suffers,
        Id::NoEffectiveBreaker,
        Verdict::Defect,
    );
    assert_told(
        CLIENTS[0],
        &suffers,
        Id::BreakerIgnores5xx,
        Verdict::NotApplicable,
    );
    // By design is no defect: one call a page, and every page is served in time.
    assert_told(CLIENTS[0], &serves, Id::NoEffectiveBreaker, Verdict::Ok);
    assert_told(CLIENTS[0], &ignores, Id::BreakerIgnores5xx, Verdict::Defect);
    assert_told(CLIENTS[0], &ignores, Id::NoEffectiveBreaker, Verdict::Ok);
}

#[test]
fn what_never_comes_back_is_told_by_kind_and_dose() {
    let client = CLIENTS[0];
    let never = |at: u64| at < 1_500;
    let comes = breaker(1_500);
    let after = |calls: bool| {
        outage(Ends::With(503), 200, move |at| {
            at < 1_100 || (calls && at >= REMOVED)
        })
    };

    let breaker_stays = Battery {
        after_failure: Some(after(true)),
        ..outages(
            outage(Ends::With(503), 200, never),
            outage(Ends::Reset, 200, never),
        )
    };
    assert_told(
        client,
        &breaker_stays,
        Id::BreakerNeverCloses,
        Verdict::Defect,
    );
    for follows in [
        Id::PoolLeak,
        Id::NoEffectiveBreaker,
        Id::BreakerIgnores5xx,
        Id::HalfOpenStampede,
    ] {
        assert_told(client, &breaker_stays, follows, Verdict::NotApplicable);
    }
    assert_told(client, &breaker_stays, Id::StickyFallback, Verdict::Ok);

    let leaks = outages(
        outage(Ends::With(503), 200, &comes),
        outage(Ends::Reset, 200, never),
    );
    assert_told(client, &leaks, Id::PoolLeak, Verdict::Defect);
    let counted = Battery {
        pool_places: Some(8),
        ..leaks.clone()
    };
    let sentence = told(client, &counted, Id::PoolLeak).sentence;
    assert!(sentence.ends_with("; 8 resets are enough"), "{sentence}");
    assert_told(
        client,
        &leaks,
        Id::BreakerNeverCloses,
        Verdict::NotApplicable,
    );

    let pinned = Battery {
        after_failure: Some(after(true)),
        after_hang: Some(after(false)),
        ..Battery::default()
    };
    assert_told(client, &pinned, Id::PinnedConnection, Verdict::Defect);

    let sticky = Battery {
        after_failure: Some(after(false)),
        after_hang: Some(after(false)),
        ..outages(
            outage(Ends::With(503), 200, never),
            outage(Ends::Reset, 200, never),
        )
    };
    assert_told(client, &sticky, Id::StickyFallback, Verdict::Defect);
    assert_told(
        client,
        &sticky,
        Id::PinnedConnection,
        Verdict::NotApplicable,
    );
    assert_told(
        client,
        &sticky,
        Id::BreakerNeverCloses,
        Verdict::NotApplicable,
    );
}

#[test]
fn a_watch_that_is_shorter_than_the_breaker_tells_nothing() {
    // It probes once after 6 s; 2.5 times that were not watched.
    let calls = |at: u64| at < 1_500 || at == 7_500;
    let short = |ends| Trial {
        until: (REMOVED + 9_000) * MS,
        ..outage(ends, 200, calls)
    };
    let battery = outages(short(Ends::With(503)), short(Ends::Reset));
    let cut = |mut trial: Trial| {
        trial.attempts.retain(|it| it.t_head < trial.until);
        trial
    };
    let battery = Battery {
        outage_503: battery.outage_503.map(cut),
        outage_reset: battery.outage_reset.map(cut),
        ..Battery::default()
    };

    assert_told(
        CLIENTS[0],
        &battery,
        Id::BreakerNeverCloses,
        Verdict::Undetermined,
    );
}

#[test]
fn pauses_that_double_are_told_from_a_breaker() {
    let doubling = |at: u64| {
        [1_000, 1_200, 1_600, 2_400, 4_000, 7_200, 13_600].contains(&at)
            || !(1_000..=13_600).contains(&at)
    };
    let battery = outages(
        outage(Ends::With(503), 200, doubling),
        outage(Ends::Reset, 200, doubling),
    );

    assert_told(CLIENTS[0], &battery, Id::UncappedBackoff, Verdict::Defect);
}

#[test]
fn a_breaker_does_not_count_the_callers_mistakes() {
    for client in CLIENTS {
        let opens = Battery {
            storm_404: Some(outage(Ends::With(404), 200, breaker(1_500))),
            ..Battery::default()
        };
        let stays = Battery {
            storm_404: Some(outage(Ends::With(404), 200, |_| true)),
            ..Battery::default()
        };

        assert_told(client, &opens, Id::BreakerOpensOn4xx, Verdict::Defect);
        assert_told(client, &stays, Id::BreakerOpensOn4xx, Verdict::Ok);
    }
}

/// Seen of opossum: it opened at the first 404s, and its probe, another path's 404 that its filter knows, closed it before the last
/// third of the storm.
#[test]
fn a_breaker_that_opens_on_404s_and_closes_again_opens_on_404s() {
    for client in CLIENTS {
        let opens = Battery {
            storm_404: Some(outage(Ends::With(404), 200, |at| {
                !(1_200..3_700).contains(&at)
            })),
            ..Battery::default()
        };

        assert_told(client, &opens, Id::BreakerOpensOn4xx, Verdict::Defect);
    }
}

#[test]
fn a_budget_holds_retries_down() {
    let partial = |pages: u64, repeats: fn(u64) -> bool| {
        let mut records = Records::armed(0);
        for page in 0..pages {
            let at = page * 250;
            records.page(at, Some(200), 200, false);
            // Every page asks for the same.
            if page % 5 >= 2 {
                records.attempt(at, 5, Ends::With(200), 1);
                continue;
            }
            records.attempt(at, 5, Ends::With(503), 1);
            if repeats(page) {
                let again = if page % 25 < 10 { 503 } else { 200 };
                records.attempt(at + 50, 5, Ends::With(again), 1);
                if again == 503 {
                    records.attempt(at + 150, 5, Ends::With(200), 1);
                }
            }
        }
        Battery {
            partial: Some(records.until(pages * 250)),
            partial_percent: 40,
            ..Battery::default()
        }
    };
    let told = |battery: &Battery, verdict| {
        assert_told(CLIENTS[0], battery, Id::NoRetryBudget, verdict);
    };

    told(&partial(200, |_| true), Verdict::Defect);
    told(&partial(200, |page| page % 10 == 0), Verdict::Ok);
    // What was saved up is spent first.
    told(
        &partial(200, |page| page < 20 || page % 10 == 0),
        Verdict::Ok,
    );
    told(&partial(30, |_| true), Verdict::Undetermined);
}

#[test]
fn a_fallback_does_not_pay_the_time_out_for_ever() {
    for client in CLIENTS {
        let late = |took: u64| {
            let mut records = Records::armed(0);
            for page in 0..90 {
                records.page(page * 100, Some(took), 200, true);
                records.attempt(page * 100, took, Ends::ByClient, page);
            }
            Battery {
                hang_under_load: Some(records.until(9_000)),
                ..outages(
                    outage(Ends::With(503), 200, breaker(1_500)),
                    outage(Ends::Reset, 200, breaker(1_500)),
                )
            }
        };
        // Without a breaker each page pays, by design.
        let by_design = Battery {
            outage_503: None,
            outage_reset: None,
            ..late(client.timeout)
        };
        assert_told(client, &by_design, Id::SlowFallback, Verdict::Ok);

        assert_told(
            client,
            &late(client.timeout),
            Id::SlowFallback,
            Verdict::Defect,
        );
        assert_told(client, &late(client.page), Id::SlowFallback, Verdict::Ok);
    }
}

#[test]
fn a_fallback_asks_somebody_else() {
    let battery = |path: &str, status: u16| {
        let mut trial = outage(Ends::With(503), status, |_| true);
        for attempt in trial
            .attempts
            .iter_mut()
            .filter(|it| (2_000 * MS..REMOVED * MS).contains(&it.t_head))
        {
            attempt.path = path.to_owned();
        }
        Battery {
            outage_503: Some(trial),
            ..Battery::default()
        }
    };

    assert_told(
        CLIENTS[0],
        &battery("/popular", 500),
        Id::FallbackSameDependency,
        Verdict::Defect,
    );
    assert_told(
        CLIENTS[0],
        &battery("/popular", 200),
        Id::FallbackSameDependency,
        Verdict::Ok,
    );
    assert_told(
        CLIENTS[0],
        &battery("/items", 500),
        Id::FallbackSameDependency,
        Verdict::Ok,
    );
}

#[test]
fn one_slow_dependency_does_not_hold_everything() {
    for client in CLIENTS {
        let slow = |watched: u64, together: bool| {
            let mut records = Records::armed(1).form("200ms");
            for page in 0..60 {
                records.page(page * 16, Some(2_000), 200, false);
                let at = 1 + if together { page * 16 } else { page * 250 };
                records.attempt(at, 200, Ends::With(200), page);
            }
            let mut trial = records.until(20_000);
            trial.watched = (0..20)
                .map(|number| PageRecord {
                    number,
                    intended: (1 + number * 200) * MS,
                    sent: (1 + number * 200) * MS,
                    ended: Some((1 + number * 200 + watched) * MS),
                    status: Some(200),
                    ..PageRecord::default()
                })
                .collect();
            Battery {
                slow_under_load: vec![trial],
                ..Battery::default()
            }
        };

        assert_told(client, &slow(2, true), Id::NoBulkhead, Verdict::Ok);
        assert_told(client, &slow(2, true), Id::Serialised, Verdict::Ok);
        assert_told(
            client,
            &slow(client.budget * 3, true),
            Id::NoBulkhead,
            Verdict::Defect,
        );
        assert_told(client, &slow(2, false), Id::Serialised, Verdict::Defect);
        // Seen of a client with one thread: it had given a call up and begun the next, before the proxy saw that the first was over.
        let mut handed_over = slow(2, false);
        handed_over.slow_under_load[0].attempts[3].age_us = 258 * MS;
        assert_told(client, &handed_over, Id::Serialised, Verdict::Defect);
    }
}

#[test]
fn single_calls_whose_pages_are_late_now_and_then_are_no_defect() {
    let late = |share: usize| {
        let late = |mut trial: Trial| {
            for page in trial.pages.iter_mut().step_by(share) {
                page.ended = page.ended.map(|it| it + 60_000 * MS);
            }
            trial
        };
        let always = |_: u64| true;
        Battery {
            hang_under_load: Some(outage(Ends::ByClient, 200, always)),
            ..outages(
                late(outage(Ends::With(503), 200, always)),
                late(outage(Ends::Reset, 200, always)),
            )
        }
    };
    let told_of = |share| told(CLIENTS[0], &late(share), Id::NoEffectiveBreaker).verdict;

    assert_eq!(told_of(50), Verdict::Ok);
    assert_eq!(told_of(10), Verdict::Undetermined);
    assert_eq!(told_of(2), Verdict::Defect);
}
