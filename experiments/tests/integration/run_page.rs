//! The page of a run with an outage of 20 seconds, as it was recorded: a fallback answered, and a circuit breaker stayed open after
//! the fault.

use brownout_experiment::{
    forensics::join::JoinedBy,
    render::html,
    run::{Event, HopSummary, RetryWaits, RunRecord},
};

use crate::page_text::read;

const EVENTS: &str = include_str!("../data/outage.jsonl");

fn record() -> RunRecord {
    let events: Vec<Event> = EVENTS
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    RunRecord::of(&events).unwrap()
}

/// What tables have of a hop: phases and the times between.
fn rows<'r>(record: &'r RunRecord, hop: &str) -> Vec<&'r HopSummary> {
    let between = &record.account.as_ref().unwrap().between;
    let phases = record.phases.iter().map(|it| &it.hops);
    let all = phases.chain(between.iter().map(|it| &it.hops)).flatten();
    all.filter(|it| it.hop == hop).collect()
}

#[test]
fn the_page_of_an_outage() {
    insta::assert_snapshot!(read(&html(&record())));
}

#[test]
fn numbers_of_one_thing_agree_everywhere() {
    let record = record();
    let account = record.account.as_ref().unwrap();
    let outage = &account.outages[0];
    let charted = |hop: &str, of: fn(&brownout_experiment::run::SecondOfHop) -> f64| -> f64 {
        let own = record.seconds.iter().filter(|it| it.hop == hop);
        own.map(of).sum()
    };

    // Pages: tables, chart and account.
    let pages: u64 = rows(&record, "edge").iter().map(|it| it.requests).sum();
    let counted = account.pages.unwrap();
    assert_eq!(pages, counted.ended);
    assert_eq!(charted("edge", |it| it.requests), pages as f64);
    assert_eq!(counted.asked, counted.ended + counted.cut_off);
    // Fallback pages: tables, chart, banner and the order of events.
    let fallback: u64 = rows(&record, "edge")
        .iter()
        .filter_map(|it| it.fallback)
        .sum();
    assert_eq!(outage.effect.unwrap().fallback, fallback);
    assert_eq!(charted("edge", |it| it.degraded), fallback as f64);
    let last = outage.moments.iter().find(|it| it.what == "last_fallback");
    let told = format!("{fallback} pages were fallbacks since the fault was on");
    assert!(last.unwrap().text.contains(&told), "{last:?}");
    // Calls: tables, chart and who calls whom.
    let calls: u64 = rows(&record, "recommendations")
        .iter()
        .map(|it| it.requests)
        .sum();
    let mut routes = account.routes.iter();
    let route = routes.find(|it| it.route == "recommendations").unwrap();
    assert_eq!(route.calls, calls);
    // A call of a page that was cut off may have ended or not.
    let ended = charted("recommendations", |it| it.requests);
    assert!(
        (route.of_pages as f64..=calls as f64).contains(&ended),
        "{ended} of {route:?}"
    );
    assert_eq!(route.of_pages + route.of_cut_off, calls);
    // Nothing that the fault did comes before it.
    let fault = &record.faults[0];
    assert!(fault.armed_ms <= fault.struck_ms.unwrap());
    assert!(outage.moments.iter().all(|it| it.at_ms >= fault.armed_ms));
    assert_eq!(outage.moments[0].what, "fault_on");
}

#[test]
fn a_green_verdict_says_how_much_of_it_is_proven() {
    let mut record = record();
    let page = html(&record);
    let unproven = record
        .expectations()
        .filter(|it| it.proven == Some(false))
        .count();

    assert!(unproven > 0);
    let badge = format!(
        "<strong>Passed:</strong> <span class=\"badge unsure\">{unproven} of {} not proven</span>",
        record.expectations().count()
    );
    assert!(page.contains(&badge), "{badge}");
    assert!(
        record
            .sentence
            .contains("had too few requests to be proven"),
        "{}",
        record.sentence
    );

    for judgement in &mut record.judgements {
        judgement.proven = judgement.proven.map(|_| true);
    }
    assert!(!html(&record).contains("not proven</span>"));
}

#[test]
fn the_banner_says_when_users_saw_it_by_the_wall_clock() {
    let mut record = record();
    record.run.started_at = "2026-11-28T23:59:50.500Z".to_owned();
    let outage = &mut record.account.as_mut().unwrap().outages[0];
    (outage.from_ms, outage.to_ms) = (9_000, 29_000);
    let effect = outage.effect.as_mut().unwrap();
    (effect.from_ms, effect.to_ms) = (9_510, 40_120);
    let phase = record
        .phases
        .iter_mut()
        .find(|it| it.name == "dead")
        .unwrap();
    (phase.from_ms, phase.to_ms) = (9_000, Some(29_000));

    let page = html(&record);

    for said in [
        "from 9.00s to 29.00s of the run (20.00s, 23:59:59 to 00:00:19 UTC)",
        "from 9.51s to 40.12s of the run (30.61s, 00:00:00 to 00:00:30 UTC); the last one 11.12s later than the fault",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn the_map_says_how_calls_were_joined_to_pages() {
    let mut record = record();
    let told = |record: &mut RunRecord, by: JoinedBy, of_pages: u64| {
        let routes = &mut record.account.as_mut().unwrap().routes;
        let route = routes.iter_mut().find(|it| it.route == "recommendations");
        let route = route.unwrap();
        (route.calls, route.of_pages, route.of_cut_off) = (100, of_pages, 0);
        route.joined_by = Some(by);
        html(record)
    };

    let by_id = told(&mut record, JoinedBy::Id, 90);
    let by_time = told(&mut record, JoinedBy::Serial, 90);
    let some = told(&mut record, JoinedBy::Totals, 10);
    let none = told(&mut record, JoinedBy::Totals, 0);

    let without = "without the id of a page of the load";
    assert!(by_id.contains(&format!(
        "100 calls in the run: 90 for pages that ended, 10 {without}"
    )));
    assert!(by_time.contains(
        "100 calls in the run, joined to pages by time: 90 for pages that ended, 10 while no page was asked for"
    ));
    assert!(some.contains(&format!("10 for pages that ended, 90 {without}")));
    assert!(none.contains(
        "Who makes these calls is undetermined, because they carry no id of a page, and are not joined to pages by time:"
    ));
}

#[test]
fn the_banner_does_not_hide_that_something_is_undetermined() {
    let mut record = record();
    let outage = &mut record.account.as_mut().unwrap().outages[0];
    outage.saved.retain(|it| it.by == "fallback");
    let mut unknown = outage.saved[0].clone();
    unknown.by = "undetermined".to_owned();
    outage.saved.push(unknown);

    assert!(
        html(&record).contains("<dd>A fallback. Whether anything else did is undetermined.</dd>")
    );
}

#[test]
fn waits_before_retries_are_a_histogram() {
    let mut record = record();
    assert!(!html(&record).contains("were tried again"));

    let outage = &mut record.account.as_mut().unwrap().outages[0];
    outage.retry_waits = vec![RetryWaits {
        route: "recommendations".to_owned(),
        waits_ms: vec![41.0, 43.5, 78.0, 99.0],
    }];
    let page = html(&record);

    for said in [
        "Waits before calls to recommendations were tried again",
        "4 waits: from the end of an attempt to the start of the next.",
        "<th scope=\"row\">40 to 50 ms</th><td class=\"n\">2</td>",
        ".waterfall",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_column_in_which_nothing_stands_is_left_out() {
    let mut record = record();
    let page = html(&record);

    for absent in [
        "delays</th>",
        "caller gave up</th>",
        "too many at once</th>",
        "baseline</th>",
    ] {
        assert!(!page.contains(absent), "{absent}");
    }
    record.faults[0].counters.as_mut().unwrap().client_gave_up = 2;
    record.judgements[0].baseline = Some("5ms".to_owned());
    let page = html(&record);
    assert!(page.contains("caller gave up</th>") && page.contains("baseline</th>"));
}

#[test]
fn routes_without_a_fault_are_folded_up_behind_the_one_that_has_it() {
    let mut record = record();
    for phase in &mut record.phases {
        let own = phase.hops.iter().find(|it| it.hop == "recommendations");
        let other = own.map(|it| HopSummary {
            hop: "popular-items".to_owned(),
            ..it.clone()
        });
        phase.hops.extend(other);
    }

    let page = html(&record);

    let folded = "<summary>Routes without a fault: popular-items</summary>";
    let (open, folded) = page.split_once(folded).expect(folded);
    let row = |route: &str| format!("<td class=\"head\">{route}</td><td data-label=\"phase\">");
    assert!(open.contains(&row("recommendations")) && !open.contains(&row("popular-items")));
    assert!(folded.contains(&row("popular-items")));
}

#[test]
fn fallbacks_after_the_fault_are_told_where_no_expectation_asks_about_them() {
    let mut record = record();
    let told = "recovery: 82.17% of 600 pages were still fallbacks.";

    assert!(html(&record).contains(told));
    let asked = record.judgements.iter_mut();
    for judgement in asked.filter(|it| it.phase == "recovery") {
        judgement.text = "edge.fallback_rate < 100%".to_owned();
    }
    assert!(!html(&record).contains(told));
}

#[test]
fn every_cell_of_a_table_has_its_name_on_a_phone() {
    let page = html(&record());
    let tables: Vec<&str> = page.split("<table class=\"stack").skip(1).collect();

    assert!(tables.len() >= 5, "{}", tables.len());
    for table in tables {
        let body = table.split_once("<tbody>").unwrap().1;
        let body = body.split_once("</tbody>").unwrap().0;
        for cell in body.split("<td").skip(1) {
            let is_named = cell.contains("data-label=");
            let leads = ["head\"", "wide\""]
                .iter()
                .any(|it| cell.split('>').next().unwrap().contains(it));
            let is_empty = cell.contains("></td>");
            assert!(is_named || leads || is_empty, "{cell}");
        }
    }
}
