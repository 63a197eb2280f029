//! Reports of an audit that was recorded: two layers retry, and no breaker takes effect.

use brownout_experiment::{
    audit::{AuditEvent, AuditReport, audit_schema},
    render::{AuditTerminal, Line, audit_html, audit_markdown},
};

use crate::page_text::read;

const REPORT: &str = include_str!("../data/audit.json");

fn report() -> AuditReport {
    serde_json::from_str(REPORT).unwrap()
}

fn text(lines: Vec<Line>) -> String {
    lines.into_iter().map(|line| line.text + "\n").collect()
}

#[test]
fn an_audit_on_a_terminal() {
    let report = report();
    let mut terminal = AuditTerminal::default();
    let calm = report.calm.iter().cloned().map(AuditEvent::Calm);
    let experiments = report
        .experiments
        .iter()
        .cloned()
        .map(Box::new)
        .map(AuditEvent::Experiment);
    let stopped = AuditEvent::Stopped {
        route: "up".to_owned(),
        why: "it did not come back within 8.00s after S15".to_owned(),
    };
    let events = [AuditEvent::Ready]
        .into_iter()
        .chain(calm)
        .chain(experiments)
        .chain([stopped]);
    let mut told = text(events.flat_map(|event| terminal.lines(&event)).collect());
    told.push_str(&text(AuditTerminal::report(&report)));

    insta::assert_snapshot!(told);
}

#[test]
fn lines_of_an_audit_fit_a_terminal_of_80_columns() {
    let report = report();
    let mut terminal = AuditTerminal::default();
    let experiments = report
        .experiments
        .iter()
        .cloned()
        .map(Box::new)
        .map(AuditEvent::Experiment);
    let mut lines: Vec<Line> = experiments
        .flat_map(|event| terminal.lines(&event))
        .collect();
    lines.extend(AuditTerminal::report(&report));

    // A command to paste is not broken.
    let long = lines
        .iter()
        .filter(|it| it.text.chars().count() > 80 && !it.text.starts_with("again"));
    assert_eq!(
        long.map(|it| &it.text).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}

#[test]
fn an_audit_as_markdown() {
    insta::assert_snapshot!(audit_markdown(&report()));
}

#[test]
fn an_audit_that_was_interrupted_says_so_in_every_report() {
    let mut report = report();
    report.interrupted = true;

    let terminal = text(AuditTerminal::report(&report));
    let markdown = audit_markdown(&report);
    let page = read(&audit_html(&report));

    assert!(
        terminal.contains("FAIL      interrupted: 4 defects"),
        "{terminal}"
    );
    assert!(
        markdown.starts_with("### ❌ brownout audit: interrupted: 4 defects"),
        "{markdown}"
    );
    assert!(page.contains("interrupted"), "{page}");
}

#[test]
fn an_audit_as_a_page() {
    insta::assert_snapshot!(read(&audit_html(&report())));
}

#[test]
fn the_page_of_an_audit_needs_no_network_and_is_small() {
    let page = audit_html(&report());

    std::fs::write(
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit.html"),
        &page,
    )
    .unwrap();
    assert!(page.len() < 300_000, "{}", page.len());
    for word in ["src=", "@import", "url(", "<link"] {
        assert!(!page.contains(word), "{word}");
    }
    // No raw JSON where people read.
    let read = read(&page);
    assert!(!read.contains('{') && !read.contains("_us"), "{read}");
}

#[test]
fn text_of_the_service_is_no_markup_on_the_page() {
    let mut report = report();
    for finding in &mut report.findings {
        finding.sentence = "<script>alert(1)</script>".to_owned();
    }
    report.reproduce = "</code><img src=x onerror=alert(1)>".to_owned();
    report.experiments[0].fault = "</script><script>alert(1)".to_owned();

    let page = audit_html(&report);

    assert!(
        !page.contains("<script>alert") && !page.contains("<img"),
        "{page}"
    );
}

#[test]
fn an_audit_is_as_its_schema_says_and_reads_back() {
    let value = serde_json::to_value(report()).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("audit.json", audit_schema()).unwrap();
    let compiled = compiler.compile("audit.json", &mut schemas).unwrap();

    schemas
        .validate(&value, compiled)
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(
        serde_json::from_value::<AuditReport>(value).unwrap(),
        report()
    );
}
