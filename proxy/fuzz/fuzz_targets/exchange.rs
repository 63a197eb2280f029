//! Any bytes from a client, and any bytes from an upstream, through a real proxy on real sockets, under each kind of fault.
//!
//! The input is one letter for the fault, what the client sends, and behind `MARK` what the upstream answers. Whatever
//! they are: the process lives, the connection ends, the next client is served, what reaches the upstream has one reading
//! alone (RFC 9112 §11.2: no request smuggled), and without a fault what reaches the client is answers with one reading.
#![no_main]

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use brownout_testkit::TestProxy;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

/// Stands between the client's bytes and the upstream's.
const MARK: &[u8] = b"\xff\xfe";

/// Short ones: many a second shall be tried.
const FAULTS: &[&str] = &[
    r#"{"latency":"1ms"}"#,
    r#"{"latency":{"value":"1ms","side":"response"}}"#,
    r#"{"abort":503}"#,
    r#"{"abort":{"status":500,"at":"after"}}"#,
    r#"{"reset":{}}"#,
    r#"{"reset":{"at":"response_head"}}"#,
    r#"{"reset":{"after_bytes":"3B"}}"#,
    r#"{"close":{}}"#,
    r#"{"blackhole":{"hold":"1ms"}}"#,
    r#"{"truncate":{"fraction":0.5}}"#,
    r#"{"truncate":{"after_bytes":"2B","ending":"clean"}}"#,
    r#"{"truncate":{"after_bytes":"2B","ending":"rst"}}"#,
    r#"{"stall":{"after_bytes":"2B","for":"1ms"}}"#,
    r#"{"stall":{"for":"1ms","then":"rst"}}"#,
    r#"{"dribble":{"chunk_size":"16B","gap":"1ms"}}"#,
    r#"{"bandwidth":{"rate":"1MiB/s"}}"#,
    r#"{"bandwidth":{"rate":"1MiB/s","side":"request"}}"#,
    r#"{"corrupt":{"rate":0.5}}"#,
    r#"{"corrupt":{"how":"json"}}"#,
    r#"{"corrupt":{"how":"gzip"}}"#,
    r#"{"corrupt":{"how":"encoding"}}"#,
    r#"{"malformed":{"how":"chunk"}}"#,
    r#"{"malformed":{"how":"header"}}"#,
    r#"{"malformed":{"how":"dup_content_length"}}"#,
    r#"{"malformed":{"how":"random"}}"#,
    r#"{"rate_limit":{"limit":1,"window":"1s"}}"#,
    r#"{"saturate":{"concurrency":1,"service_time":"1ms","queue":1}}"#,
    r#"{"duplicate":{"copies":2}}"#,
    r#"{"mutate":{"request":{"set":{"x-a":"1"},"remove":["host"]},"response":{"status":201,"json_merge":{"a":1}}}}"#,
    r#"{"redirect":{"to":"/elsewhere"}}"#,
    r#"{"replay_stale":{"age":"1h"}}"#,
    r#"{"mutate":{"response":{"json_patch":[{"op":"add","path":"/a","value":1},{"op":"remove","path":"/well"}]}}}"#,
    r#"{"layer":"stream","latency":"1ms"}"#,
    r#"{"layer":"stream","latency":{"value":"1ms","side":"connect"}}"#,
    r#"{"layer":"stream","slicer":{"size":"16B","gap":"1ms"}}"#,
    r#"{"layer":"stream","direction":"upstream","slicer":{"size":"16B","gap":"1ms"}}"#,
    r#"{"layer":"stream","limit_data":"20B"}"#,
    r#"{"layer":"stream","direction":"upstream","limit_data":"20B"}"#,
    r#"{"layer":"stream","reset":{"after_bytes":"5B"}}"#,
    r#"{"layer":"stream","corrupt":{"rate":0.1}}"#,
    r#"{"layer":"stream","direction":"upstream","corrupt":{"rate":0.1}}"#,
    r#"{"layer":"stream","blackhole":{"hold":"1ms"}}"#,
    r#"{"layer":"stream","stall":{"after_bytes":"2B","for":"1ms"}}"#,
];

/// More fields than the proxy takes and adds.
const FIELDS_MAX: usize = 1100;
/// How long one input may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client waits for more before it says that it is done.
const QUIET: Duration = Duration::from_millis(3);

struct UnderTest {
    proxy: TestProxy,
    /// What the upstream answers now.
    answer: Arc<Mutex<Vec<u8>>>,
    /// What connections of the upstream were sent, and whether the answer switched protocols.
    received: Mutex<mpsc::Receiver<Vec<u8>>>,
    runs: AtomicU64,
}

static UNDER_TEST: LazyLock<UnderTest> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    let answer = Arc::new(Mutex::new(Vec::new()));
    let (sender, received) = mpsc::channel();
    let answers = Arc::clone(&answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let bytes = answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let sender = sender.clone();
            thread::spawn(move || {
                sender.send(serve(stream, &bytes)).ok();
            });
        }
    });
    UnderTest {
        proxy: TestProxy::to_url(&format!("http://127.0.0.1:{port}"))
            .with_cores(1)
            .start(),
        answer,
        received: Mutex::new(received),
        runs: AtomicU64::new(0),
    }
});

/// An upstream that answers as soon as anything came, and takes what comes after.
fn serve(mut stream: TcpStream, answer: &[u8]) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let mut received = vec![0; 4096];
    let count = stream.read(&mut received).unwrap_or(0);
    received.truncate(count);
    stream.write_all(answer).ok();
    stream.shutdown(Shutdown::Write).ok();
    stream.read_to_end(&mut received).ok();
    received
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((&letter, input)) = input.split_first() else {
        return Corpus::Reject;
    };
    let Some(at) = input.windows(MARK.len()).position(|bytes| bytes == MARK) else {
        return Corpus::Reject;
    };
    let (sent, answer) = (&input[..at], &input[at + MARK.len()..]);
    let under_test = &*UNDER_TEST;
    let fault = FAULTS.get(usize::from(letter.wrapping_sub(b'A')));
    let id = fault.map(|fault| {
        let mut fault: Value = serde_json::from_str(fault).expect("they are JSON");
        fault["route"] = TestProxy::ROUTE.into();
        under_test.proxy.arm(&fault)
    });

    let got = under_test.talk(sent, answer, QUIET);
    if fault.is_none() {
        expect_answers(&got, sent);
    }
    if let Some(id) = id {
        under_test.proxy.disarm(&id);
    }
    for received in under_test.received() {
        expect_requests(&received);
    }
    if under_test
        .runs
        .fetch_add(1, Ordering::Relaxed)
        .is_multiple_of(64)
    {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell";
        let ask = || {
            let request = b"GET /plain HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n";
            under_test.talk(request, plain, PATIENCE)
        };
        let mut got = ask();
        if got.starts_with(b"HTTP/1.1 502 ") {
            // The connection kept from the run before was one that the upstream was about to close; it is used up now.
            got = ask();
        }
        assert!(
            got.starts_with(b"HTTP/1.1 200 OK\r\n") && got.ends_with(b"\r\n\r\nwell"),
            "a plain request gets {:?}",
            String::from_utf8_lossy(&got)
        );
    }
    Corpus::Keep
});

impl UnderTest {
    /// What a client gets for what it sent, if it says that it is done once it heard nothing for `quiet`.
    fn talk(&self, sent: &[u8], answer: &[u8], quiet: Duration) -> Vec<u8> {
        answer.clone_into(&mut self.answer.lock().unwrap_or_else(PoisonError::into_inner));
        let begun = Instant::now();
        let mut client = TcpStream::connect(self.proxy.address()).expect("the proxy accepts");
        client.set_read_timeout(Some(quiet)).expect("not zero");
        client.write_all(sent).ok();
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        let mut is_done = false;
        loop {
            match client.read(&mut buffer) {
                Ok(0) => return got,
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    assert!(begun.elapsed() < PATIENCE, "the connection never ends");
                    if !is_done {
                        is_done = true;
                        client.shutdown(Shutdown::Write).ok();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {} // libFuzzer's alarm.
                Err(_) => return got,                                      // Reset.
            }
        }
    }

    /// What the upstream's connections were sent that have ended since.
    fn received(&self) -> Vec<Vec<u8>> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.try_iter().collect()
    }
}

/// How the end of a message's content is told.
enum Framing {
    Unsaid,
    Length(usize),
    Chunked,
}

impl Framing {
    /// What the fields of a message say, which must be one thing.
    fn of(fields: &[httparse::Header<'_>], all: &str) -> Self {
        let (lengths, codings) = (
            values(fields, "content-length"),
            values(fields, "transfer-encoding"),
        );
        match (&lengths[..], &codings[..]) {
            ([], []) => Self::Unsaid,
            ([length], []) => {
                let length = str::from_utf8(length)
                    .ok()
                    .filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
                let length = length.and_then(|length| length.parse().ok());
                Self::Length(length.unwrap_or_else(|| panic!("no length: {all:?}")))
            }
            ([], [coding]) => {
                let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
                assert!(is_chunked, "another coding: {all:?}");
                Self::Chunked
            }
            (_, _) => panic!("two framings: {all:?}"),
        }
    }

    /// What comes behind the content, if all of it is there.
    fn skip<'b>(&self, bytes: &'b [u8], all: &str) -> Option<&'b [u8]> {
        match self {
            Self::Unsaid => Some(bytes),
            Self::Length(length) => bytes.get(*length..),
            Self::Chunked => skip_chunks(bytes).unwrap_or_else(|_| panic!("no chunk: {all:?}")),
        }
    }
}

fn values<'b>(fields: &[httparse::Header<'b>], name: &str) -> Vec<&'b [u8]> {
    let named = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| field.value).collect()
}

/// Whatever came for what was sent is answers that can be read in one way alone; the last one may be incomplete.
fn expect_answers(mut bytes: &[u8], sent: &[u8]) {
    let all = String::from_utf8_lossy(bytes);
    let sends = |text: &[u8]| sent.windows(text.len()).any(|part| part == text);
    // Behind an answer that may be one to HEAD, it depends on the request whether there is content.
    let may_be_to_head = sends(b"HEAD");
    while !bytes.is_empty() {
        if bytes.starts_with(b"\0\0") && sends(b"PRI * HTTP/2.0\r\n") {
            return; // HTTP/2's own frames, which say that it is not spoken.
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut answer = httparse::Response::new(&mut fields);
        let head = match answer.parse(bytes) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return,
            Err(error) => panic!("{error}: {all:?}"),
        };
        bytes = &bytes[head..];
        let framing = Framing::of(answer.headers, &all);
        let is_chunked = matches!(framing, Framing::Chunked);
        assert!(
            !is_chunked || sends(b"HTTP/1.1"),
            "chunks for HTTP/1.0: {all:?}"
        );
        let rest = match (answer.code, &framing) {
            (Some(101), _) => return, // What follows may be anything.
            (Some(100..=199 | 204), Framing::Unsaid) => Some(bytes),
            (Some(100..=199 | 204), _) => panic!("content where there is none: {all:?}"),
            (Some(304), _) => Some(bytes),
            _ if may_be_to_head => return,
            (_, Framing::Unsaid) => return, // It ends with the connection.
            _ => framing.skip(bytes, &all),
        };
        let Some(rest) = rest else {
            return;
        };
        bytes = rest;
    }
}

/// Every request can be read in one way alone; the last one may be incomplete.
fn expect_requests(mut bytes: &[u8]) {
    let all = String::from_utf8_lossy(bytes);
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let head = match request.parse(bytes) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return,
            Err(error) => panic!("{error}: {all:?}"),
        };
        let framing = Framing::of(request.headers, &all);
        let hosts = values(request.headers, "host");
        assert!(hosts.len() <= 1, "two hosts: {all:?}");
        if !values(request.headers, "upgrade").is_empty() {
            return; // What follows may be anything.
        }
        let Some(rest) = framing.skip(&bytes[head..], &all) else {
            return;
        };
        bytes = rest;
    }
}

/// What comes behind a chunked body, if all of it is there.
fn skip_chunks(mut bytes: &[u8]) -> Result<Option<&[u8]>, httparse::InvalidChunkSize> {
    loop {
        let httparse::Status::Complete((head, size)) = httparse::parse_chunk_size(bytes)? else {
            return Ok(None);
        };
        bytes = &bytes[head..];
        if size == 0 {
            let mut trailers = [httparse::EMPTY_HEADER; FIELDS_MAX];
            return match httparse::parse_headers(bytes, &mut trailers) {
                Ok(httparse::Status::Complete((end, _))) => Ok(Some(&bytes[end..])),
                Ok(httparse::Status::Partial) => Ok(None),
                Err(error) => panic!("no trailers: {error}"),
            };
        }
        let size = usize::try_from(size).expect("64 bits");
        match bytes.get(size..) {
            Some([b'\r', b'\n', rest @ ..]) => bytes = rest,
            Some([] | [b'\r']) | None => return Ok(None),
            Some(_) => return Err(httparse::InvalidChunkSize),
        }
    }
}
