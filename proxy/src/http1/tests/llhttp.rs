//! What is accepted reads the same by llhttp, the parser of Node.

use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::Value;

use super::{
    heads,
    split::{End, Message, Side, check},
};
use crate::http1::BodyLength;

/// Whether Node is there. Where `BROWNOUT_REQUIRE_TOOLS` is set it must be.
fn has_node() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join("node").exists());
    if !found {
        let required = env::var_os("BROWNOUT_REQUIRE_TOOLS").is_some();
        assert!(!required, "node is not installed");
        println!("skipped: node is not installed");
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What llhttp reads of each of the messages.
fn read_by_llhttp(side: &str, messages: &[Vec<u8>]) -> Vec<Value> {
    let folder = env::temp_dir();
    let input = folder.join(format!("brownout-llhttp-{side}-{}", std::process::id()));
    let mut file = fs::File::create(&input).unwrap();
    for message in messages {
        writeln!(file, "{side} {}", hex(message)).unwrap();
    }
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llhttp.mjs"))
        .stdin(Stdio::from(fs::File::open(&input).unwrap()))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    fs::remove_file(&input).unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let read: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), messages.len());
    read
}

/// Messages as they came, of which we take each, and what we read of them.
fn accepted(
    side: Side,
    count: usize,
    tried: impl Strategy<Value = Vec<u8>>,
) -> Vec<(Vec<u8>, Message)> {
    let mut runner = TestRunner::deterministic();
    let mut accepted = Vec::new();
    for _ in 0..count {
        let input = tried.new_tree(&mut runner).unwrap().current();
        if let Some(first) = check(&input, side, 7).into_iter().next()
            && first.end == End::Complete
            && first.length != Some(BodyLength::UntilClose)
        {
            accepted.push((input[..first.end_at].to_vec(), first));
        }
    }
    accepted
}

fn with_body(heads: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (heads, heads::chunked()).prop_map(|(head, body)| [head, body].concat())
}

/// Names, values and content as llhttp gives them.
fn expect_same(input: &[u8], ours: &Message, theirs: &Value, fields: &[(&[u8], &[u8])]) {
    let fields: Vec<Value> = fields
        .iter()
        .flat_map(|(name, value)| [hex(name).into(), hex(value).into()])
        .collect();
    assert_eq!(
        theirs["fields"],
        Value::from(fields),
        "{}",
        input.escape_ascii()
    );
    assert_eq!(
        theirs["body"],
        hex(&ours.content),
        "{}",
        input.escape_ascii()
    );
}

#[test]
fn requests_read_the_same_by_llhttp() {
    if !has_node() {
        return;
    }
    let accepted = accepted(Side::Client, 6000, with_body(heads::requests()));
    let messages: Vec<Vec<u8>> = accepted.iter().map(|(input, _)| input.clone()).collect();
    let read = read_by_llhttp("request", &messages);

    let mut same = 0;
    for ((input, ours), theirs) in accepted.iter().zip(&read) {
        // It knows a list of methods, no bytes beyond ASCII in a target, and takes fewer extensions.
        if theirs.is_null() || theirs["upgrade"] == true {
            continue;
        }
        let head = super::reader::request(&ours.head).unwrap();
        let [method, target, _] = head.line;
        assert_eq!(theirs["method"].as_str().unwrap().as_bytes(), method);
        assert_eq!(theirs["target"], hex(target));
        expect_same(input, ours, theirs, &head.fields);
        same += 1;
    }
    println!(
        "{same} of {} requests that we accept, llhttp reads the same; it refuses the others",
        read.len()
    );
    assert!(
        same > 500 && same * 10 > read.len() * 7,
        "{same} of {}",
        read.len()
    );
}

#[test]
fn answers_read_the_same_by_llhttp() {
    if !has_node() {
        return;
    }
    let accepted = accepted(
        Side::Upstream { to_head: false },
        6000,
        with_body(heads::answers()),
    );
    // As they go to the client: what was mended counts.
    let messages: Vec<Vec<u8>> = accepted
        .iter()
        .map(|(input, ours)| [&ours.head, &input[ours.body_at..]].concat())
        .collect();
    let read = read_by_llhttp("response", &messages);

    let mut same = 0;
    for ((input, ours), theirs) in accepted.iter().zip(&read) {
        if theirs.is_null() || theirs["upgrade"] == true {
            continue;
        }
        let head = super::reader::answer(&ours.head).unwrap();
        assert_eq!(theirs["status"].to_string().as_bytes(), head.line[1]);
        expect_same(input, ours, theirs, &head.fields);
        same += 1;
    }
    println!(
        "{same} of {} answers that we accept, llhttp reads the same; it refuses the others",
        read.len()
    );
    assert!(
        same > 300 && same * 10 > read.len() * 7,
        "{same} of {}",
        read.len()
    );
}
