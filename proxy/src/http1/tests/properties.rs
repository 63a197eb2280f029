//! What holds for any input.

use proptest::prelude::*;

use super::{answer, heads, reader, request, split};
use crate::http1::{
    HeadLimits, HeadSearch, RequestHead, ResponseHead, write_request, write_response,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// A request that is accepted reads the same by the grammar, and is written as it came.
    #[test]
    fn an_accepted_request_has_one_reading(input in heads::requests()) {
        let mut head = RequestHead::default();
        let parsed = head.parse(&input, &mut HeadSearch::default(), &HeadLimits::default());
        if let Ok(Some(used)) = parsed {
            let skipped = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let read = reader::request(&input[skipped..]).expect("the grammar takes it");
            prop_assert_eq!(skipped + read.used, used);
            prop_assert_eq!(read.line[0], head.method().as_bytes());
            prop_assert_eq!(read.line[1], head.target().as_bytes());
            let version = format!("HTTP/1.{}", head.minor);
            prop_assert_eq!(read.line[2], version.as_bytes());
            prop_assert_eq!(read.fields, head.fields.iter().collect::<Vec<_>>());
            let mut written = Vec::new();
            write_request(&head, &mut written);
            let as_1_1 = String::from_utf8_lossy(&input[skipped..used]).replacen(" HTTP/1.0\r\n", " HTTP/1.1\r\n", 1);
            prop_assert_eq!(String::from_utf8_lossy(&written), as_1_1);
        }
    }

    /// An answer that is accepted reads the same by the grammar once it is written, and is written as it came if
    /// the grammar takes it.
    #[test]
    fn an_accepted_answer_has_one_reading(input in heads::answers()) {
        let mut head = ResponseHead::default();
        let parsed = head.parse(&input, &mut HeadSearch::default(), &HeadLimits::default());
        if let Ok(Some(used)) = parsed {
            let mut written = Vec::new();
            write_response(&head, &mut written);
            let read = reader::answer(&written).expect("the grammar takes it");
            prop_assert_eq!(read.used, written.len());
            let status = head.status.to_string();
            prop_assert_eq!(read.line[1], status.as_bytes());
            prop_assert_eq!(read.line[2], head.reason());
            prop_assert_eq!(&read.fields, &head.fields.iter().collect::<Vec<_>>());
            if let Some(read) = reader::answer(&input) {
                prop_assert_eq!(read.used, used);
                if head.minor == 1 && head.fields.len() == read.fields.len() && !has_list(&read) {
                    prop_assert_eq!(&written, &input[..used]);
                }
            }
        }
    }

    /// Any split of the input gives the same messages.
    #[test]
    fn requests_read_the_same_in_any_pieces(
        first in heads::requests(), body in heads::chunked(), second in heads::requests(), seed in any::<u64>(),
    ) {
        split::check(&[&first[..], &body, &second].concat(), split::Side::Client, seed);
    }

    #[test]
    fn answers_read_the_same_in_any_pieces(
        first in heads::answers(), body in heads::chunked(), second in heads::answers(),
        seed in any::<u64>(), to_head: bool,
    ) {
        let input = [&first[..], &body, &second].concat();
        split::check(&input, split::Side::Upstream { to_head }, seed);
    }

    #[test]
    fn chunks_read_the_same_in_any_pieces(body in heads::chunked(), seed in any::<u64>()) {
        let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        split::check(&[&head[..], &body].concat(), split::Side::Client, seed);
    }

    #[test]
    fn bytes_never_make_it_panic(input in prop::collection::vec(any::<u8>(), 0..200), seed in any::<u64>()) {
        split::check(&input, split::Side::Client, seed);
        split::check(&input, split::Side::Upstream { to_head: false }, seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What the grammar takes, and has one length and host, is accepted.
    #[test]
    fn plain_requests_are_accepted(
        method in "[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,8}",
        target in "/[!-\"$-~]{0,40}",
        fields in prop::collection::vec(("x[!#$%&'*+.^_`|~0-9a-zA-Z-]{0,8}", "[!-~]{0,8}([ \t]{1,3}[!-~\u{80}-\u{ff}]{1,9})?"), 0..80),
    ) {
        prop_assume!(method != "CONNECT");
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let input = format!("{method} {target} HTTP/1.1\r\n{lines}Host: h\r\n\r\n");

        let (head, used) = request(input.as_bytes()).map_err(|refusal| TestCaseError::fail(refusal.why))?;

        prop_assert_eq!(used, input.len());
        prop_assert_eq!(head.fields.len(), fields.len() + 1);
    }

    #[test]
    fn plain_answers_are_accepted(
        status in 100..=599_u16,
        reason in "[ -~\u{80}-\u{ff}]{0,20}",
        fields in prop::collection::vec(("x[0-9a-zA-Z-]{0,8}", "[!-~]{0,8}"), 0..80),
    ) {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let input = format!("HTTP/1.1 {status} {reason}\r\n{lines}\r\n");

        let (head, used) = answer(input.as_bytes()).map_err(|bad| TestCaseError::fail(bad.why))?;

        prop_assert_eq!((head.status, head.reason(), used), (status, reason.as_bytes(), input.len()));
    }
}

/// Whether lengths were repeated: they are mended.
fn has_list(head: &reader::Head<'_>) -> bool {
    head.fields
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case(b"content-length") && value.contains(&b','))
}

/// The properties above are worth something only if much of what they try is accepted, and much is refused.
#[test]
fn what_is_tried_is_accepted_and_refused() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut accepted = [0, 0, 0];
    for _ in 0..1000 {
        let request = heads::requests().new_tree(&mut runner).unwrap().current();
        let answer = heads::answers().new_tree(&mut runner).unwrap().current();
        let chunked = heads::chunked().new_tree(&mut runner).unwrap().current();
        let limits = HeadLimits::default();
        let read = RequestHead::default().parse(&request, &mut HeadSearch::default(), &limits);
        accepted[0] += usize::from(matches!(read, Ok(Some(_))));
        let read = ResponseHead::default().parse(&answer, &mut HeadSearch::default(), &limits);
        accepted[1] += usize::from(matches!(read, Ok(Some(_))));
        accepted[2] += usize::from(reader::chunked(&chunked).is_some());
    }
    for accepted in accepted {
        assert!((50..950).contains(&accepted), "{accepted:?} of 1000");
    }
}
