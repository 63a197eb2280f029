//! The reference page is made from the registry and nothing else.

use std::path::Path;

use brownout_fault::{Fault, FaultSpec, reference};

/// `BROWNOUT_WRITE=1` writes the page instead of comparing it.
#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
    if std::env::var_os("BROWNOUT_WRITE").is_some() {
        std::fs::write(&path, reference::page()).unwrap();
    }

    let written = std::fs::read_to_string(&path).unwrap_or_default();

    assert!(
        written == reference::page(),
        "docs/faults.md is stale; write it anew with\n  \
         BROWNOUT_WRITE=1 cargo test -p brownout-fault the_reference_page_is_up_to_date"
    );
}

#[test]
fn every_example_can_be_armed_and_names_only_parameters_of_its_kind() {
    for kind in Fault::kinds() {
        let spec = FaultSpec::read(&kind.example_fault()).unwrap();

        let written = spec.fault.to_value();
        let known: Vec<&str> = kind.params.iter().map(|param| param.name).collect();
        for key in written.as_object().unwrap().keys() {
            assert!(known.contains(&key.as_str()), "{}: {key}", kind.name);
        }
    }
}
