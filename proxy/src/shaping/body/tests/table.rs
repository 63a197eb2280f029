//! Each fault by itself, on bodies of each form.

use super::*;

/// What is to come of a body.
struct Expected {
    /// Bytes that come out.
    bytes: usize,
    how: BodyNext,
    /// When it ends: at the least and at the most.
    ends: (u64, u64),
    acts: bool,
    /// What the head must say, if the length is known.
    new_length: Option<u64>,
}

/// It passes as if there were no fault.
fn untouched(bytes: usize) -> Expected {
    Expected {
        bytes,
        how: BodyNext::End,
        ends: (0, 0),
        acts: false,
        new_length: None,
    }
}

fn late(bytes: usize, from: u64, to: u64) -> Expected {
    Expected {
        ends: (from, to),
        acts: true,
        ..untouched(bytes)
    }
}

fn cut(bytes: usize, how: Break, at: u64) -> Expected {
    Expected {
        how: BodyNext::Cut { by: 0, how },
        ..late(bytes, at, at)
    }
}

/// The chunks of a body, and whether its length is known.
#[derive(Debug, Clone, Copy)]
struct Form {
    length: usize,
    chunk: usize,
    is_known: bool,
}

fn forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for (length, chunk) in [(100, 7), (100, 100), (0, 1)] {
        for is_known in [true, false] {
            forms.push(Form {
                length,
                chunk,
                is_known,
            });
        }
    }
    forms
}

fn check(fault: &Value, expected: impl Fn(Form) -> Expected) {
    for form in forms() {
        let case = format!("{fault}, {form:?}");
        let expected = expected(form);
        let sent = content(form.length);
        let mut world = World::new(std::slice::from_ref(fault));
        let mut body = world.body(form.is_known.then_some(form.length as u64));
        let new_length = body.shaper.new_length();

        body.run(&mut world, sent.chunks(form.chunk), Duration::ZERO);

        assert_eq!(new_length, expected.new_length, "{case}");
        assert_eq!(body.ended, Some(expected.how), "{case}");
        assert_eq!(body.bytes().len(), expected.bytes, "{case}");
        if !fault.to_string().contains("corrupt") {
            assert!(sent.starts_with(&body.bytes()), "{case}");
        }
        let (from, to) = expected.ends;
        let ended = world.elapsed;
        assert!(ms(from) <= ended && ended <= ms(to), "{case}: {ended:?}");
        assert_eq!(!body.acted().is_empty(), expected.acts, "{case}");
    }
}

#[test]
fn without_a_fault_a_body_passes() {
    check(&json!({ "latency": "1s" }), |form| untouched(form.length));
}

#[test]
fn damage_keeps_the_length() {
    check(
        &json!({ "corrupt": { "how": "random", "rate": 1 } }),
        |form| Expected {
            acts: form.length > 0,
            ..untouched(form.length)
        },
    );
}

#[test]
fn damage_that_meets_no_byte_is_no_effect() {
    let fault = json!({ "corrupt": { "rate": 1, "offset": "100B" } });
    check(&fault, |form| untouched(form.length));
    let fault = json!({ "corrupt": { "how": "json" } });
    let mut world = World::new(&[fault]);
    let mut body = world.body(None);

    body.run(&mut world, [&b"no brackets"[..]], Duration::ZERO);

    assert_eq!(
        (body.bytes(), body.acted().len()),
        (b"no brackets".to_vec(), 0)
    );
}

#[test]
fn a_rate_takes_its_time() {
    check(
        &json!({ "bandwidth": { "rate": "1000B/s", "burst": "0B" } }),
        |form| match form.length {
            0 => untouched(0),
            bytes => late(bytes, 100, 100),
        },
    );
}

#[test]
fn a_rate_that_holds_nothing_back_is_no_effect() {
    for bandwidth in [
        json!({ "rate": "1GB/s" }),
        json!({ "rate": "10B/s", "burst": "100B" }),
    ] {
        check(&json!({ "bandwidth": bandwidth }), |form| {
            untouched(form.length)
        });
    }
}

#[test]
fn pieces_have_their_gaps() {
    let fault = json!({ "dribble": { "chunk_size": "30B", "gap": "10ms" } });
    check(&fault, |form| match form.length {
        0 => untouched(0),
        bytes => late(bytes, 30, 30),
    });
}

#[test]
fn a_dribble_over_a_time_needs_the_length() {
    let fault = json!({ "dribble": { "chunks": 4, "duration": "30ms" } });
    check(&fault, |form| match form {
        Form {
            length: 100,
            is_known: true,
            ..
        } => late(100, 30, 30),
        form => untouched(form.length),
    });
}

#[test]
fn a_body_of_one_piece_has_no_gap() {
    let fault = json!({ "dribble": { "chunk_size": "100B", "gap": "1h" } });
    check(&fault, |form| untouched(form.length));
}

#[test]
fn a_stall_holds_what_is_behind_it() {
    let fault = json!({ "stall": { "after_bytes": "40B", "for": "50ms" } });
    check(&fault, |form| match form.length {
        0 => untouched(0),
        bytes => late(bytes, 50, 50),
    });
}

#[test]
fn a_stall_at_the_end_holds_the_end_if_that_is_not_known() {
    for (after, length) in [("100B", 100), ("0B", 0)] {
        let fault = json!({ "stall": { "after_bytes": after, "for": "50ms" } });
        check(&fault, |form| match form {
            Form { is_known: true, .. } if form.length == length => untouched(form.length),
            Form { length: 0, .. } if length == 100 => untouched(0),
            form => late(form.length, 50, 50),
        });
    }
}

#[test]
fn a_stall_may_end_the_body() {
    for (then, how) in [("fin", Break::Fin), ("rst", Break::Reset(ResetScope::AUTO))] {
        let fault = json!({ "stall": { "after_bytes": "40B", "for": "50ms", "then": then } });
        check(&fault, |form| match form.length {
            0 => untouched(0),
            _ => cut(40, how, 50),
        });
    }
}

#[test]
fn a_cut_lets_exactly_so_many_bytes_through() {
    for after in [0, 1, 40, 99] {
        let after_bytes = format!("{after}B");
        for (ending, how) in [("fin", Break::Fin), ("rst", Break::Reset(ResetScope::AUTO))] {
            let fault = json!({ "truncate": { "after_bytes": after_bytes, "ending": ending } });
            check(&fault, |form| match form {
                Form { length: 100, .. } => cut(after, how, 0),
                Form {
                    is_known: false, ..
                } if after == 0 => cut(0, how, 0),
                _ => untouched(0),
            });
        }
    }
}

#[test]
fn a_cut_at_the_end_or_behind_it_is_none() {
    for (after, cuts_unknown) in [("100B", true), ("101B", false)] {
        let fault = json!({ "reset": { "after_bytes": after } });
        check(&fault, |form| match form {
            Form {
                length: 100,
                is_known: false,
                ..
            } if cuts_unknown => cut(100, Break::Reset(ResetScope::AUTO), 0),
            form => untouched(form.length),
        });
    }
}

#[test]
fn a_clean_cut_announces_its_length_if_there_is_one_to_announce() {
    let fault = json!({ "truncate": { "after_bytes": "40B", "ending": "clean" } });
    check(&fault, |form| match form.length {
        0 => untouched(0),
        _ => Expected {
            new_length: form.is_known.then_some(40),
            ..cut(40, Break::Clean, 0)
        },
    });
}

#[test]
fn a_fraction_is_one_of_the_length_or_of_the_first_chunk() {
    let fault = json!({ "truncate": { "fraction": 0.25 } });
    check(&fault, |form| match form {
        Form { length: 0, .. } => untouched(0),
        Form { is_known: true, .. } => cut(25, Break::Fin, 0),
        Form { chunk, .. } => cut(chunk / 4, Break::Fin, 0),
    });
}
