//! The laws of the layout, as ARCHITECTURE.md states them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec();
    metadata.unwrap().packages
}

/// Which crates each crate may depend on, besides those of others.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        ("brownout-fault", vec![]),
        ("brownout-telemetry", vec![]),
        ("brownout-resilience", vec![]),
        (
            "brownout-proxy",
            vec!["brownout-fault", "brownout-telemetry"],
        ),
        ("brownout-wire", vec!["brownout-fault"]),
        (
            "brownout-control-api",
            vec![
                "brownout-proxy",
                "brownout-wire",
                "brownout-fault",
                "brownout-telemetry",
            ],
        ),
        ("brownout-client", vec!["brownout-wire", "brownout-fault"]),
        (
            "brownout-experiment",
            vec![
                "brownout-client",
                "brownout-wire",
                "brownout-fault",
                "brownout-telemetry",
            ],
        ),
        (
            "demo-services",
            vec!["brownout-resilience", "brownout-telemetry"],
        ),
        (
            "brownout-testkit",
            vec!["brownout-proxy", "brownout-fault", "brownout-telemetry"],
        ),
    ])
}

#[test]
fn the_arrows_run_as_planned() {
    let packages = packages();
    let ours: BTreeSet<String> = packages
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let allowed = allowed();
    for package in &packages {
        let name = package.name.as_str();
        if name == "brownout" {
            continue; // It puts the crates together, so it may know them all.
        }
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the plan"));
        for dependency in &package.dependencies {
            if dependency.kind == DependencyKind::Normal && ours.contains(&dependency.name) {
                assert!(
                    may.contains(&dependency.name.as_str()),
                    "{name} depends on {}, against the plan",
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn some_libraries_are_used_in_one_crate_alone() {
    let homes: [(&str, &[&str]); 4] = [
        ("axum", &["brownout-control-api", "demo-services"]),
        ("opentelemetry", &["brownout-telemetry", "brownout-testkit"]),
        ("statsd", &["brownout-telemetry"]),
        ("sqlx", &["demo-services"]),
    ];
    for package in packages() {
        for dependency in &package.dependencies {
            for (krate, homes) in homes {
                if dependency.name.starts_with(krate) && dependency.kind == DependencyKind::Normal {
                    assert!(
                        homes.contains(&package.name.as_str()),
                        "{} depends on {}",
                        package.name,
                        dependency.name
                    );
                }
            }
        }
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for package in packages() {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not",
            package.name
        );
    }
}

#[test]
fn the_ground_floor_bans_what_everybody_bans_and_more() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let banned = |path: &str| {
        let text = fs::read_to_string(root.join(path)).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.trim_start().starts_with('{'));
        lines
            .map(|line| line.trim().to_owned())
            .collect::<BTreeSet<_>>()
    };

    // Clippy reads the nearest file only, so the nearer one must be complete.
    let everybody = banned("clippy.toml");
    let ground_floor = banned("proxy/fault/clippy.toml");

    assert!(ground_floor.is_superset(&everybody));
    assert!(ground_floor.len() > everybody.len());
}
