//! The faults of the square: every kind that acts on requests, in each of its forms.

/// By what an exchange shows that a fault acted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Differs {
    /// The answer, its end, or what the upstream got.
    Message,
    /// The answer comes no sooner than after so many milliseconds, or it differs.
    After(u64),
    /// The upstream gets the request twice.
    Copies,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) fault: &'static str,
    /// Whether the client may be left without a whole answer.
    pub(super) breaks: bool,
    pub(super) differs: Differs,
    /// The answers on which it acts, where that does not depend on the request.
    pub(super) injected_on: Option<&'static [&'static str]>,
}

impl Case {
    /// Whether its exchanges may end with a broken connection: not those on which it never acts.
    pub(super) fn may_break(&self) -> bool {
        self.breaks && self.injected_on != Some(NONE)
    }
}

const ALL: &[&str] = &["none", "short", "chunked", "unsized", "head", "204", "304"];
const WITH_CONTENT: &[&str] = &["short", "chunked", "unsized"];
const NONE: &[&str] = &[];

const fn case(fault: &'static str, differs: Differs, on: &'static [&'static str]) -> Case {
    Case {
        fault,
        breaks: false,
        differs,
        injected_on: Some(on),
    }
}

const fn changing(fault: &'static str, on: &'static [&'static str]) -> Case {
    case(fault, Differs::Message, on)
}

const fn slowing(fault: &'static str, millis: u64, on: &'static [&'static str]) -> Case {
    case(fault, Differs::After(millis), on)
}

const fn breaking(fault: &'static str, on: &'static [&'static str]) -> Case {
    Case {
        breaks: true,
        ..changing(fault, on)
    }
}

/// As it comes.
#[expect(clippy::needless_pass_by_value, reason = "a table reads better so")]
const fn open(case: Case) -> Case {
    Case {
        injected_on: None,
        ..case
    }
}

pub(super) const CASES: &[Case] = &[
    slowing(r#"{"latency":"30ms"}"#, 30, ALL),
    slowing(r#"{"latency":{"value":"30ms","side":"response"}}"#, 30, ALL),
    // An exchange that takes longer by itself is skipped.
    open(slowing(
        r#"{"latency":{"value":"60ms","mode":"floor"}}"#,
        60,
        NONE,
    )),
    changing(r#"{"latency":{"mode":"until_deadline"}}"#, NONE),
    changing(r#"{"abort":503}"#, ALL),
    changing(r#"{"abort":599}"#, ALL),
    changing(
        r#"{"abort":{"status":499,"at":"after","retry_after":"2s"}}"#,
        ALL,
    ),
    changing(r#"{"abort":204}"#, ALL),
    changing(r#"{"abort":205}"#, ALL),
    changing(r#"{"abort":{"status":205,"at":"after"}}"#, ALL),
    changing(r#"{"abort":{"status":304,"at":"after"}}"#, ALL),
    changing(
        r#"{"abort":{"status":200,"body":"{}","content_type":"application/json"}}"#,
        ALL,
    ),
    breaking(r#"{"reset":{}}"#, ALL),
    breaking(r#"{"reset":{"at":"response_head"}}"#, ALL),
    breaking(
        r#"{"reset":{"at":"response_body","after_bytes":"4B"}}"#,
        WITH_CONTENT,
    ),
    breaking(
        r#"{"reset":{"at":"response_body","after_bytes":"100B"}}"#,
        NONE,
    ),
    breaking(r#"{"close":{}}"#, ALL),
    breaking(r#"{"blackhole":{"hold":"20ms","then":"close"}}"#, ALL),
    breaking(r#"{"blackhole":{"hold":"20ms","then":"reset"}}"#, ALL),
    open(breaking(
        r#"{"truncate":{"fraction":0.5,"ending":"fin"}}"#,
        NONE,
    )),
    breaking(
        r#"{"truncate":{"fraction":0.5,"ending":"rst"}}"#,
        WITH_CONTENT,
    ),
    changing(
        r#"{"truncate":{"fraction":0.5,"ending":"clean"}}"#,
        WITH_CONTENT,
    ),
    changing(
        r#"{"truncate":{"after_bytes":"0B","ending":"clean"}}"#,
        WITH_CONTENT,
    ),
    changing(
        r#"{"truncate":{"after_bytes":"4B","ending":"clean"}}"#,
        WITH_CONTENT,
    ),
    changing(
        r#"{"truncate":{"after_bytes":"21B","ending":"clean"}}"#,
        NONE,
    ),
    changing(
        r#"{"truncate":{"after_bytes":"100B","ending":"clean"}}"#,
        NONE,
    ),
    breaking(
        r#"{"truncate":{"after_bytes":"100B","ending":"fin"}}"#,
        NONE,
    ),
    breaking(
        r#"{"truncate":{"after_bytes":"100B","ending":"rst"}}"#,
        NONE,
    ),
    slowing(
        r#"{"stall":{"after_bytes":"4B","for":"30ms"}}"#,
        30,
        WITH_CONTENT,
    ),
    open(breaking(
        r#"{"stall":{"after_bytes":"4B","for":"20ms","then":"fin"}}"#,
        NONE,
    )),
    breaking(
        r#"{"stall":{"after_bytes":"4B","for":"20ms","then":"rst"}}"#,
        WITH_CONTENT,
    ),
    changing(r#"{"stall":{"after_bytes":"100B","for":"30ms"}}"#, NONE),
    slowing(
        r#"{"dribble":{"chunk_size":"5B","gap":"10ms"}}"#,
        40,
        WITH_CONTENT,
    ),
    open(slowing(
        r#"{"dribble":{"chunks":3,"duration":"40ms"}}"#,
        40,
        NONE,
    )),
    changing(r#"{"dribble":{"chunk_size":"1KiB","gap":"1s"}}"#, NONE),
    slowing(
        r#"{"bandwidth":{"rate":"500B/s","burst":"0B"}}"#,
        40,
        WITH_CONTENT,
    ),
    slowing(r#"{"bandwidth":"100B/s"}"#, 100, WITH_CONTENT),
    changing(r#"{"bandwidth":"1MB/s"}"#, NONE),
    open(slowing(
        r#"{"bandwidth":{"rate":"100B/s","burst":"0B","side":"request"}}"#,
        40,
        NONE,
    )),
    changing(r#"{"bandwidth":{"rate":"1MB/s","side":"request"}}"#, NONE),
    changing(r#"{"corrupt":{"how":"flip","rate":1}}"#, WITH_CONTENT),
    changing(r#"{"corrupt":{"how":"random","rate":1}}"#, WITH_CONTENT),
    changing(
        r#"{"corrupt":{"how":"flip","rate":1,"offset":"21B"}}"#,
        NONE,
    ),
    changing(r#"{"corrupt":{"how":"json"}}"#, WITH_CONTENT),
    changing(r#"{"corrupt":{"how":"json","depth":7}}"#, NONE),
    open(changing(r#"{"corrupt":{"how":"gzip"}}"#, NONE)),
    open(changing(r#"{"corrupt":{"how":"encoding"}}"#, NONE)),
    breaking(r#"{"malformed":{"how":"chunk"}}"#, ALL),
    breaking(r#"{"malformed":{"how":"header"}}"#, ALL),
    breaking(r#"{"malformed":{"how":"status_line"}}"#, ALL),
    breaking(r#"{"malformed":{"how":"random"}}"#, ALL),
    breaking(r#"{"malformed":{"how":"dup_content_length"}}"#, ALL),
    breaking(r#"{"malformed":{"how":"oversized_header"}}"#, ALL),
    changing(r#"{"rate_limit":{"limit":1,"window":"1h"}}"#, NONE),
    slowing(
        r#"{"saturate":{"concurrency":1,"service_time":"20ms"}}"#,
        20,
        ALL,
    ),
    open(case(r#"{"duplicate":{}}"#, Differs::Copies, NONE)),
    case(
        r#"{"duplicate":{"methods":["GET","HEAD","POST"]}}"#,
        Differs::Copies,
        ALL,
    ),
    changing(r#"{"mutate":{"response":{"status":201}}}"#, ALL),
    changing(r#"{"mutate":{"response":{"status":599}}}"#, ALL),
    changing(r#"{"mutate":{"response":{"status":200}}}"#, &["204", "304"]),
    changing(
        r#"{"mutate":{"response":{"status":204}}}"#,
        &["none", "short", "chunked", "unsized", "head", "304"],
    ),
    changing(
        r#"{"mutate":{"response":{"status":204,"body":"hi"}}}"#,
        &["none", "short", "chunked", "unsized", "head", "304"],
    ),
    changing(r#"{"mutate":{"response":{"status":205}}}"#, ALL),
    changing(
        r#"{"mutate":{"response":{"status":304}}}"#,
        &["none", "short", "chunked", "unsized", "head", "204"],
    ),
    changing(r#"{"mutate":{"response":{"set":{"x-new":"1"}}}}"#, ALL),
    changing(r#"{"mutate":{"response":{"remove":"x-absent"}}}"#, NONE),
    changing(
        r#"{"mutate":{"response":{"remove":"etag"}}}"#,
        &["204", "304"],
    ),
    changing(
        r#"{"mutate":{"response":{"body":"hi"}}}"#,
        &["none", "short", "chunked", "unsized"],
    ),
    changing(
        r#"{"mutate":{"response":{"status":200,"body":"hi"}}}"#,
        &["none", "short", "chunked", "unsized", "204", "304"],
    ),
    changing(
        r#"{"mutate":{"response":{"json_merge":{"price":4}}}}"#,
        WITH_CONTENT,
    ),
    changing(
        r#"{"mutate":{"response":{"json_patch":[{"op":"replace","path":"/id","value":8}]}}}"#,
        WITH_CONTENT,
    ),
    changing(
        r#"{"mutate":{"response":{"json_patch":[{"op":"remove","path":"/absent"}]}}}"#,
        NONE,
    ),
    changing(
        r#"{"mutate":{"response":{"json_patch":[{"op":"test","path":"/id","value":7}]}}}"#,
        NONE,
    ),
    changing(r#"{"mutate":{"request":{"set":{"x-new":"1"}}}}"#, ALL),
    changing(r#"{"mutate":{"request":{"set":{"x-there":"1"}}}}"#, NONE),
    changing(r#"{"mutate":{"request":{"remove":"x-there"}}}"#, ALL),
    changing(
        r#"{"mutate":{"request":{"remove":"x-absent"},"response":{"remove":"x-absent"}}}"#,
        NONE,
    ),
    changing(
        r#"{"mutate":{"request":{"remove":"x-absent"},"response":{"set":{"x-new":"1"}}}}"#,
        ALL,
    ),
    changing(r#"{"redirect":"/elsewhere"}"#, ALL),
    changing(r#"{"replay_stale":{}}"#, NONE),
];
