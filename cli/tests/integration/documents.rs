//! The project's pages name only what is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every page of the project, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let files = [root().to_owned(), root().join("docs")]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    files
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The lines of the blocks of commands in a page.
fn commands(page: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line.trim_start() {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// What follows each `before` in `text`, up to one of `ends`.
fn after<'t>(text: &'t str, before: &str, ends: &[char]) -> Vec<&'t str> {
    let parts = text.split(before).skip(1);
    parts
        .filter_map(|part| part.split(ends).next())
        .filter(|part| !part.is_empty())
        .collect()
}

#[test]
fn every_link_leads_to_a_file() {
    let mut seen = 0;
    for (path, text) in pages() {
        for link in after(&text, "](", &[')', '#']) {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let target = path.parent().unwrap().join(link);
            assert!(target.exists(), "{}: {link}", path.display());
        }
    }
    assert!(seen > 30, "{seen} links");
}

#[test]
fn every_command_names_scripts_crates_and_benchmarks_that_are_there() {
    let manifests = [
        "cli",
        "control-api",
        "demo-services",
        "experiments",
        "proxy",
    ];
    let mut crates = BTreeSet::new();
    for folder in manifests {
        let within = fs::read_dir(root().join(folder)).unwrap();
        let folders = within.map(|entry| entry.unwrap().path());
        for folder in folders.chain([root().join(folder)]) {
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
            crates.extend(
                after(&manifest, "name = \"", &['"'])
                    .first()
                    .map(ToString::to_string),
            );
        }
    }
    let folders = [".ci/", "compose/", "proxy/"];
    let mut seen = 0;
    for (path, text) in pages() {
        let page = path.display();
        for line in commands(&text) {
            let line = line.split(" #").next().unwrap();
            for word in line.split_whitespace() {
                if folders.iter().any(|folder| word.starts_with(folder)) {
                    seen += 1;
                    assert!(root().join(word).exists(), "{page}: {word}");
                }
            }
            if !line.starts_with("cargo") && !line.contains(" cargo ") {
                continue;
            }
            for name in after(line, " -p ", &[' ']) {
                seen += 1;
                assert!(crates.contains(name), "{page}: {name}");
            }
            for name in after(line, "--bench ", &[' ']) {
                seen += 1;
                let bench = root().join("proxy/benches").join(name);
                let is_there = bench.exists() || bench.with_extension("rs").exists();
                assert!(is_there, "{page}: {name}");
            }
        }
    }
    assert!(seen > 10, "{seen} names");
}
