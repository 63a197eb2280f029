//! The story of a run: what happens in which order, whatever goes wrong.

use std::{io, time::Duration};

use brownout_experiment::{Event, Report, Scenario, Simulation, SimulationError};
use brownout_fault::units::parse_duration;
use brownout_testkit::within;
use serde_json::json;

use crate::world::{Script, Trouble, World, run};

#[tokio::test]
async fn a_fault_is_armed_before_the_load_and_removed_after_the_tail() {
    let world = World::with(Script {
        recommendations: vec![3, 2, 1, 0],
        ..Script::default()
    })
    .await;

    let report = world.run(Scenario::Outage).await.unwrap();

    // What is watched in the end is whether all is quiet.
    assert_eq!(
        world.log(),
        ["armed", "page", "watched", "removed", "watched"]
    );
    let fault = report.fault.unwrap();
    assert_eq!(fault.counters.injected, world.asked());
    assert_eq!(fault.removal_error, None);
}

#[tokio::test]
async fn each_scenario_has_its_fault_and_none_is_armed_for_ever() {
    for (scenario, expected) in [
        (
            Scenario::Outage,
            json!({ "id": "outage", "route": "recommendations", "reset": {} }),
        ),
        (
            Scenario::Performance,
            json!({
                "id": "slow", "route": "recommendations-authentication",
                "latency": { "min": "5s", "max": "10s" },
            }),
        ),
    ] {
        let world = World::in_trouble(&[]).await;
        let simulation = world.simulation(scenario);

        run(&simulation).await.0.unwrap();

        let mut sent = world.sent();
        let ttl = sent[0].as_object_mut().unwrap().remove("ttl").unwrap();
        assert_eq!(sent, [expected]);
        let ttl = parse_duration(ttl.as_str().unwrap()).unwrap();
        assert!(
            ttl > simulation.duration + simulation.tail_limit(),
            "{ttl:?}"
        );
    }
}

#[tokio::test]
async fn an_ideal_run_arms_nothing() {
    let world = World::in_trouble(&[]).await;

    let (report, events) = run(&world.simulation(Scenario::Ideal)).await;

    assert_eq!(world.log(), ["page", "watched"]);
    assert_eq!(report.unwrap().fault, None);
    let is_of_a_fault = |it: &Event| matches!(it, Event::Armed { .. } | Event::Healed);
    assert!(!events.iter().any(is_of_a_fault), "{events:?}");
}

#[tokio::test]
async fn counts_are_those_of_the_run() {
    let world = World::in_trouble(&[]).await;

    let report = world.run(Scenario::Outage).await.unwrap();

    // A page may have been asked for and not been answered in time.
    let asked = world.asked();
    assert!(
        (asked - 10..=asked).contains(&report.served),
        "{asked} {}",
        report.served
    );
    assert_eq!(report.degraded.total, report.served);
    assert_eq!(report.degraded.share, 1.0);
    assert_eq!(report.errors.total, 0);
    assert_eq!(report.services.recommendations.received, asked);
    assert_eq!(report.services.homepage.received, asked);
    assert_eq!(report.routes["recommendations"], 4 * asked);
    let calls = report.upstreams["recommendations"];
    assert_eq!(
        (calls.calls, calls.attempts, calls.retries),
        (3 * asked, 4 * asked, 2 * asked)
    );
    assert_eq!((calls.timeouts, calls.fallbacks), (0, 0));
    assert_eq!(
        (report.breaker.opened, report.breaker.rejected),
        (asked, asked)
    );
    assert_eq!(report.amplification, Some(2.0)); // Of three calls, one was refused.
    assert!(report.settled);
}

#[tokio::test]
async fn events_tell_the_story_in_order() {
    let world = World::with(Script {
        recommendations: vec![3, 0],
        ..Script::default()
    })
    .await;
    let simulation = Simulation {
        duration: Duration::from_millis(1_200),
        ..world.simulation(Scenario::Outage)
    };

    let (report, events) = run(&simulation).await;

    let report = report.unwrap();
    let (route, id) = ("recommendations", "outage");
    assert_eq!(events[0], Event::Armed { id, route });
    assert_eq!(
        events[1],
        Event::Second {
            number: 0,
            counts: report.seconds[0]
        }
    );
    assert_eq!(
        events[2],
        Event::Second {
            number: 1,
            counts: report.seconds[1]
        }
    );
    let Event::BurstEnded { total } = events[3] else {
        panic!("{events:?}");
    };
    assert_eq!((total.served, total.errors), (report.served, 0));
    assert!(matches!(
        events[4],
        Event::Tail {
            queued: 1,
            running: 2,
            ..
        }
    ));
    assert!(matches!(
        events[5],
        Event::Tail {
            queued: 0,
            running: 0,
            ..
        }
    ));
    assert_eq!(events[6..], [Event::Healed]);
}

#[tokio::test]
async fn a_tail_lasts_until_nothing_waits() {
    let world = World::with(Script {
        recommendations: vec![8, 5, 2, 1, 0],
        ..Script::default()
    })
    .await;

    let tail = world.run(Scenario::Ideal).await.unwrap().tail;

    assert!(tail.ended);
    assert!(tail.seconds >= 0.15, "{tail:?}"); // Four looks, 50 ms between them.
    assert_eq!((tail.still_waiting, tail.estimated_rest_seconds), (0, None));
}

#[tokio::test]
async fn a_homepage_that_works_for_nobody_keeps_a_tail_going() {
    let world = World::with(Script {
        homepage: vec![2, 2, 1, 0],
        recommendations: vec![0, 0, 1, 0],
        ..Script::default()
    })
    .await;

    let tail = world.run(Scenario::Ideal).await.unwrap().tail;

    assert!(tail.ended);
    assert!(tail.seconds >= 0.1, "{tail:?}"); // The third look saw the last of it.
}

#[tokio::test]
async fn a_tail_without_end_is_cut_and_estimated() {
    let mut looks = vec![300; 8];
    looks.push(0); // Without the fault it is done at once.
    let world = World::with(Script {
        recommendations: looks,
        ..Script::default()
    })
    .await;
    let simulation = Simulation {
        tail_limit: Some(Duration::from_millis(200)),
        ..world.simulation(Scenario::Performance)
    };

    let tail = run(&simulation).await.0.unwrap().tail;

    assert!(!tail.ended);
    assert!(tail.seconds >= 0.2, "{tail:?}");
    assert_eq!(tail.still_waiting, 300);
    let rest = tail.estimated_rest_seconds.unwrap();
    assert!(rest > 300.0 * 0.05 * 0.9, "{tail:?}"); // One is done at each look.
    assert_eq!(
        world.log(),
        ["armed", "page", "watched", "removed", "watched"]
    );
}

#[tokio::test]
async fn pages_that_fail_are_part_of_the_report() {
    let world = World::with(Script {
        page_status: 500,
        ..Script::default()
    })
    .await;

    let report = world.run(Scenario::Outage).await.unwrap();

    assert_eq!((report.served, report.latency), (0, None));
    assert!(report.errors.total > 0);
    assert_eq!(report.errors.by_status[&500], report.errors.total);
}

#[tokio::test]
async fn a_homepage_that_is_not_there_is_no_report() {
    let world = World::in_trouble(&[]).await;
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let simulation = Simulation {
        homepage: taken.local_addr().unwrap(),
        ..world.simulation(Scenario::Outage)
    };

    let error = run(&simulation).await.0.unwrap_err();

    let SimulationError::Homepage { source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(world.log(), [""; 0]);
}

#[tokio::test]
async fn the_fault_is_removed_when_the_load_fails() {
    let world = World::in_trouble(&[Trouble::HomepageLeaves]).await;

    let error = world.run(Scenario::Outage).await.unwrap_err();

    assert!(
        matches!(error, SimulationError::HomepageGone { .. }),
        "{error}"
    );
    assert_eq!(world.log(), ["armed", "removed"]);
}

#[tokio::test]
async fn the_fault_is_removed_when_a_service_falls_silent() {
    let world = World::in_trouble(&[Trouble::RecommendationsIsMute]).await;

    let error = world.run(Scenario::Outage).await.unwrap_err();

    assert!(
        matches!(
            error,
            SimulationError::Stats {
                service: "recommendations",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(world.log(), ["armed", "page", "removed"]);
}

#[tokio::test]
async fn the_fault_is_removed_when_the_run_is_dropped() {
    let world = World::in_trouble(&[]).await;
    let simulation = Simulation {
        duration: Duration::from_secs(3_600),
        ..world.simulation(Scenario::Outage)
    };
    let run = simulation.run(|_| {});
    let asked = brownout_testkit::eventually("a page", || world.asked() > 0);

    tokio::select! {
        report = run => panic!("{report:?}"),
        () = asked => {}
    }
    within("the removal", simulation.cleaned_up()).await;

    assert_eq!(world.log(), ["armed", "page", "removed"]);
}

#[tokio::test]
async fn a_refused_fault_is_not_ours_to_remove() {
    let world = World::in_trouble(&[Trouble::RefusesArming]).await;
    let simulation = world.simulation(Scenario::Outage);

    let error = run(&simulation).await.0.unwrap_err();
    within("no removal", simulation.cleaned_up()).await;

    assert!(
        matches!(error, SimulationError::Arm { id: "outage", .. }),
        "{error}"
    );
    assert_eq!(world.log(), [""; 0]);
}

#[tokio::test]
async fn a_fault_that_stays_is_told_by_the_report() {
    let world = World::in_trouble(&[Trouble::RefusesRemoval]).await;

    let (report, events) = run(&world.simulation(Scenario::Outage)).await;

    let report = report.unwrap();
    let told = report.fault.as_ref().unwrap().removal_error.as_deref();
    let expected = "could not remove the fault `outage`; it ends by itself 80.15s after it was armed: shutting down";
    assert_eq!(told, Some(expected));
    assert!(report.to_text(1_000).contains(expected));
    assert!(!events.contains(&Event::Healed));
}

#[tokio::test]
async fn a_fault_that_stays_after_a_failed_run_is_told_by_the_error() {
    let world = World::in_trouble(&[Trouble::HomepageLeaves, Trouble::RefusesRemoval]).await;

    let error = world.run(Scenario::Outage).await.unwrap_err();

    let SimulationError::FaultLeft { run, source } = error else {
        panic!("{error}");
    };
    assert!(
        matches!(*run, SimulationError::HomepageGone { .. }),
        "{run}"
    );
    assert_eq!(source.id, "outage");
}

#[tokio::test]
async fn a_fault_that_somebody_removed_spoils_the_run() {
    let world = World::in_trouble(&[Trouble::LosesFault]).await;

    let error = world.run(Scenario::Outage).await.unwrap_err();

    assert!(
        matches!(error, SimulationError::Fault { id: "outage", .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_that_was_started_anew_spoils_the_run() {
    let world = World::in_trouble(&[Trouble::PopularItemsRestarts]).await;

    let error = world.run(Scenario::Outage).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "the counters of popular_items went back during the run, as if it had been started anew"
    );
    assert_eq!(
        world.log(),
        ["armed", "page", "watched", "removed", "watched"]
    );
}

#[tokio::test]
async fn settings_out_of_bounds_are_refused_before_anything_is_done() {
    let world = World::in_trouble(&[]).await;
    let usual = || world.simulation(Scenario::Outage);
    for (simulation, message) in [
        (
            Simulation {
                duration: Duration::ZERO,
                ..usual()
            },
            "duration: 0s is outside 1ms to 24h",
        ),
        (
            Simulation {
                connections: 0,
                ..usual()
            },
            "connections: 0 is outside 1 to 4096",
        ),
        (
            Simulation {
                connections: 4_097,
                ..usual()
            },
            "connections: 4097 is outside 1 to 4096",
        ),
        (
            Simulation {
                tail_limit: Some(Duration::from_secs(90_000)),
                ..usual()
            },
            "tail limit: 25h is above 24h",
        ),
    ] {
        let error = run(&simulation).await.0.unwrap_err();

        assert_eq!(error.to_string(), message);
    }
    assert_eq!(world.log(), [""; 0]);
}

#[tokio::test]
async fn a_report_reads_back_as_itself() {
    let world = World::in_trouble(&[]).await;
    let report = world.run(Scenario::Outage).await.unwrap();

    let text = serde_json::to_string(&report).unwrap();

    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}
