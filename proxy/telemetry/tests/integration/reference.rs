//! The reference page is made from the tables of names and nothing else.

use std::path::Path;

use brownout_telemetry::{names, reference};

/// `BROWNOUT_WRITE=1` writes the page instead of comparing it.
#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/telemetry.md");
    if std::env::var_os("BROWNOUT_WRITE").is_some() {
        std::fs::write(&path, reference::page()).unwrap();
    }

    let written = std::fs::read_to_string(&path).unwrap_or_default();

    assert!(
        written == reference::page(),
        "docs/telemetry.md is stale; write it anew with\n  \
         BROWNOUT_WRITE=1 cargo test -p brownout-telemetry the_reference_page_is_up_to_date"
    );
}

#[test]
fn every_name_is_on_the_page_once() {
    let page = reference::page();
    let metrics = names::ALL.iter().map(|metric| metric.name);
    let attributes = names::attr::ALL.iter().map(|attribute| attribute.key);

    // An attribute and a metric may share a name.
    let names: Vec<&str> = metrics.chain(attributes).collect();
    for name in &names {
        let row = format!("\n| `{name}` |");
        let wanted = names.iter().filter(|other| *other == name).count();
        assert_eq!(page.matches(&row).count(), wanted, "{name}");
    }
}
