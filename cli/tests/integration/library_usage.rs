//! The library's commands, used wrongly: each mistake is told what would be right.

use crate::run;

#[test]
fn wrong_words_are_refused_with_the_right_ones() {
    let cases: [(&[&str], &str); 13] = [
        (&["demo", "libary"], "'library'"),
        (
            &["demo-service", "library-gat"],
            "did you mean `library-gate`?",
        ),
        (
            &["demo-service", "library-gate"],
            "library-gate calls library-primary, whose URL is missing",
        ),
        (
            &[
                "demo-service",
                "library-gate",
                "--upstream",
                "primary=http://127.0.0.1:9",
            ],
            "unknown service `primary`",
        ),
        (
            &[
                "demo-service",
                "library-gate",
                "--upstream",
                "library-primary",
            ],
            "is not of the form SERVICE=URL",
        ),
        (
            &["demo-service", "library-gate", "--policy", "gold"],
            "use --gate-policy",
        ),
        (
            &["demo-service", "library-gate", "--database", "books.db"],
            "library-gate has no database",
        ),
        (
            &["demo-service", "library-primary", "--policy", "gold"],
            "library-primary calls nobody",
        ),
        (
            &[
                "demo-service",
                "library-fallback",
                "--upstream",
                "library-gate=http://127.0.0.1:9",
            ],
            "library-fallback calls nobody",
        ),
        (
            &["demo-service", "homepage", "--database", "books.db"],
            "homepage has no database",
        ),
        (
            &["demo-service", "homepage", "--gate-policy", "g1=gold"],
            "homepage is no gate; use --policy",
        ),
        (
            &["demo", "library", "--database", "mysql://db/books"],
            "`mysql://` is not supported",
        ),
        (
            &[
                "demo-service",
                "library-primary",
                "--database",
                "/nowhere/books.db",
            ],
            "could not open the database /nowhere/books.db",
        ),
    ];
    for (args, wanted) in cases {
        let ran = run(args);
        assert_eq!(ran.code(), 2, "{args:?}: {}", ran.err());
        assert!(ran.err().contains(wanted), "{args:?}: {}", ran.err());
    }
}

#[test]
fn wrong_gate_policies_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books.db");
    for (policy, wanted) in [
        ("g1", "`--gate-policy g1` is not of the form GATE=FILE"),
        ("g6=gate-1", "unknown gate `g6`; known: g1, g2, g3, g4, g5"),
        ("g1=golden", "golden"),
        ("g1=gold", "the policy of g1 has `breaker.scope` \"worker\""),
    ] {
        let ran = run(&[
            "demo",
            "library",
            "--control",
            "127.0.0.1:0",
            "--database",
            books.to_str().unwrap(),
            "--gate-policy",
            policy,
        ]);

        assert_eq!(ran.code(), 2, "{policy}: {}", ran.err());
        assert!(ran.err().contains(wanted), "{policy}: {}", ran.err());
    }
}
