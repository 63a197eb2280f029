//! Reports, from the events of a run that was recorded: a fallback saved the page, and a retry doubled the calls.

use brownout_experiment::{
    render::{Terminal, annotations, html, junit, markdown},
    run::{Event, JudgementVerdict, RunRecord, SecondOfHop, result_schema},
};

const EVENTS: &str = include_str!("../data/run.jsonl");

fn events() -> Vec<Event> {
    let lines = EVENTS.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn record() -> RunRecord {
    RunRecord::of(&events()).unwrap()
}

fn terminal(quiet: bool) -> String {
    let mut terminal = Terminal::new(quiet);
    let events = events();
    let lines = events.iter().flat_map(|event| terminal.lines(event));
    lines.map(|line| line.text + "\n").collect()
}

#[test]
fn a_run_on_a_terminal() {
    insta::assert_snapshot!(terminal(false));
}

#[test]
fn a_quiet_run_says_what_did_not_hold() {
    insta::assert_snapshot!(terminal(true));
}

#[test]
fn a_run_as_junit() {
    insta::assert_snapshot!(junit(&[&record()]));
}

#[test]
fn what_is_inconclusive_may_be_skipped() {
    let mut record = record();
    record.run.inconclusive_fails = false;

    let page = junit(&[&record]);

    assert!(
        page.contains("<skipped message=\"inconclusive: needs GET /requests"),
        "{page}"
    );
    assert!(
        page.contains("failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{page}"
    );
}

#[test]
fn a_run_as_markdown() {
    insta::assert_snapshot!(markdown(&[&record()]));
}

#[test]
fn a_summary_never_outgrows_its_step() {
    let record = record();
    let many: Vec<&RunRecord> = std::iter::repeat_n(&record, 400).collect();

    let page = markdown(&many);

    assert!(page.len() < 201 * 1024, "{}", page.len());
    assert!(page.ends_with("Further results did not fit here.\n"));
}

#[test]
fn failures_are_shown_at_their_lines() {
    insta::assert_snapshot!(annotations(&[&record()]).join("\n"));
}

#[test]
fn at_most_ten_annotations_are_shown() {
    let mut record = record();
    let failed = record
        .judged(JudgementVerdict::Failed)
        .next()
        .unwrap()
        .clone();
    record.judgements = vec![failed; 25];

    let lines = annotations(&[&record]);

    assert_eq!(lines.len(), 10);
    assert_eq!(
        lines[9],
        "::error title=brownout::16 more did not hold; see the step's summary"
    );
}

#[test]
fn the_page_needs_no_network_and_says_everything() {
    let record = record();

    let page = html(&record);

    for outside in ["src=\"", "href=\"http://fonts", "@import", "url(", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for said in [
        "The homepage stays up when recommendations are gone",
        "INC-1412",
        "reset on recommendations; it was injected into 99 calls",
        "98% of the answers were fallbacks",
        "brownout run data.toml --seed 42",
        "needs GET /requests",
        "http://127.0.0.1:16686/trace/",
        "prefers-color-scheme: dark",
        "@media print",
        "<html lang=\"en\">",
    ] {
        assert!(page.contains(said), "{said}");
    }
    // Each hop has two charts, each for screens and for phones, told to screen readers; and one of percentiles.
    assert_eq!(
        page.matches("<svg class=\"wide\" role=\"img\" aria-label=")
            .count(),
        5
    );
    assert_eq!(
        page.matches("<svg class=\"narrow\" role=\"img\" aria-label=")
            .count(),
        5
    );
    assert_eq!(
        page.matches("<table").count(),
        page.matches("</table>").count()
    );
    for colour in ["\"#010101\"", "\"#060606\"", "\"#0A0A0A\""] {
        assert!(!page.contains(colour), "{colour} is no colour of the page");
    }
}

#[test]
fn nothing_that_is_told_becomes_markup() {
    let mut record = record();
    let wicked = "</script><img src=x onerror=alert(1)>\"'&";
    record.run.title = wicked.to_owned();
    record.run.name = wicked.to_owned();
    record.judgements[0].text = wicked.to_owned();
    record.sentence = wicked.to_owned();
    for second in &mut record.seconds {
        second.hop = wicked.to_owned();
    }

    let page = html(&record);
    let summary = markdown(&[&record]);

    assert!(!page.contains("<img"), "{page}");
    assert_eq!(page.matches("</script>").count(), 2);
    // Between backticks it is text.
    let outside: String = summary.split('`').step_by(2).collect();
    assert!(!outside.contains("<img"), "{summary}");
}

#[test]
fn the_longest_page_is_below_a_megabyte() {
    let mut record = record();
    let busy = |hop: &str, second: u32| SecondOfHop {
        hop: hop.to_owned(),
        second,
        requests: 100.0 + f64::from(second % 7),
        errors: f64::from(second % 3),
        degraded: f64::from(second % 5),
        p50_ms: Some(12.345 + f64::from(second % 11)),
        p99_ms: Some(234.567 + f64::from(second % 13)),
        mean_ms: None,
    };
    // An hour of twelve hops.
    record.seconds = (0..3_600)
        .flat_map(|second| (0..12).map(move |hop| busy(&format!("service-{hop}"), second)))
        .collect();

    let page = html(&record);

    assert!(page.len() < 1_000_000, "{}", page.len());
}

#[test]
fn the_result_is_as_its_schema_says_and_reads_back() {
    let record = record();
    let value = serde_json::to_value(&record).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler
        .add_resource("result.json", result_schema())
        .unwrap();
    let compiled = compiler.compile("result.json", &mut schemas).unwrap();

    schemas
        .validate(&value, compiled)
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(serde_json::from_value::<RunRecord>(value).unwrap(), record);
}

#[test]
fn events_that_break_off_are_an_interrupted_run() {
    let all = events();

    let record = RunRecord::of(&all[..all.len() / 2]).unwrap();

    assert_eq!(record.exit_code, 130);
    assert!(RunRecord::of(&[]).is_none());
    assert!(html(&record).contains("the events of this run break off"));
}
