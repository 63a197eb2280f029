//! Property tests keep their regressions: what failed once is tried first from then on.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, test_runner::TestRunner};

/// The sources below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn an_input_that_failed_is_kept_and_tried_first_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("src/some/module.rs");
    fs::create_dir_all(source.parent().unwrap()).unwrap();
    fs::write(folder.path().join("src/lib.rs"), "").unwrap();
    fs::write(&source, "").unwrap();
    let source: &'static str = source.to_str().unwrap().to_owned().leak();
    let tried = RefCell::new(Vec::new());
    let run = || {
        let config = ProptestConfig {
            source_file: Some(source),
            max_shrink_iters: 0,
            ..ProptestConfig::default()
        };
        TestRunner::new(config).run(&any::<u64>(), |input| {
            tried.borrow_mut().push(input);
            prop_assert!(input % 16 != 0);
            Ok(())
        })
    };

    run().unwrap_err();
    let failed = tried.take().pop();
    run().unwrap_err();

    assert_eq!(tried.take().first().copied(), failed);
    let kept = folder.path().join("proptest-regressions/some/module.txt");
    assert!(fs::read_to_string(kept).unwrap().contains("\ncc "));
}

/// The macro `proptest!` says where a test stands; a runner of one's own has to.
#[test]
fn every_property_test_says_where_its_regressions_are_kept() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut runners = 0;
    for folder in [
        "proxy",
        "control-api",
        "demo-services",
        "experiments",
        "cli",
    ] {
        for file in rust_files(&root.join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let own = text.matches(concat!("TestRunner", "::new(")).count();
            let told = text.matches("source_file: Some(").count();
            runners += own;
            assert!(own <= told, "{}: no source_file", file.display());
            assert!(
                !text.contains(concat!("failure", "_persistence")),
                "{}: keeps its regressions elsewhere, or nowhere",
                file.display()
            );
        }
    }
    assert!(runners >= 2, "the runners were not found");
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap();
    assert!(!ignored.contains("proptest"));
}
