//! The reasons have words of their own, and say what is wrong in a sentence.

use std::collections::HashSet;

use crate::http1::{BadAnswer, BadBody, Refusal};

fn expect_told_apart(reasons: impl Iterator<Item = (&'static str, &'static str)>) {
    let mut words = HashSet::new();
    for (why, detail) in reasons {
        assert!(words.insert(why), "{why} stands there twice");
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
        assert!(!why.is_empty() && why.bytes().all(is_word), "{why}");
        assert!(
            detail.ends_with('.') && detail.len() > 20,
            "{why}: {detail}"
        );
    }
}

#[test]
fn each_reason_has_a_word_and_a_sentence() {
    let bodies = BadBody::ALL;
    let refusals = bodies.iter().map(|bad| Refusal::from(*bad));
    let refusals = refusals.chain(Refusal::ALL.iter().copied());
    expect_told_apart(refusals.map(|refusal| (refusal.why, refusal.detail)));
    let answers = bodies.iter().map(|bad| BadAnswer::from(*bad));
    let answers = answers.chain(BadAnswer::ALL.iter().copied());
    expect_told_apart(answers.map(|bad| (bad.why, bad.detail)));
    for refusal in Refusal::ALL {
        assert!(
            matches!(refusal.status, 400 | 405 | 414 | 431 | 501 | 505),
            "{refusal:?}"
        );
    }
}

#[test]
fn the_page_of_what_is_refused_has_every_refusal() {
    let page = include_str!("../../../../docs/http.md");

    for refusal in Refusal::ALL {
        let row = format!(
            "| `{}` | {} | {} |",
            refusal.why, refusal.status, refusal.detail
        );
        assert!(page.contains(&row), "docs/http.md lacks {row}");
    }
}
