//! Any bytes from a client, and any bytes from an upstream, through a real proxy on real sockets, under each kind of fault.
//!
//! The input is one letter for the fault, what the client sends, and behind `MARK` what the upstream answers. Whatever
//! they are: the process lives, the connection ends, the next client is served, what reaches the upstream has one reading
//! alone (RFC 9112 §11.2: no request smuggled), and without a fault what reaches the client is an answer.
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

/// How long one input may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client waits for more before it says that it is done.
const QUIET: Duration = Duration::from_millis(3);

struct House {
    proxy: TestProxy,
    /// What the upstream answers now.
    answer: Arc<Mutex<Vec<u8>>>,
    /// What connections of the upstream were sent, and whether the answer switched protocols.
    received: Mutex<mpsc::Receiver<Vec<u8>>>,
    runs: AtomicU64,
}

static HOUSE: LazyLock<House> = LazyLock::new(|| {
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
    House {
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
    let house = &*HOUSE;
    let fault = FAULTS.get(usize::from(letter.wrapping_sub(b'A')));
    let id = fault.map(|fault| {
        let mut fault: Value = serde_json::from_str(fault).expect("they are JSON");
        fault["route"] = TestProxy::ROUTE.into();
        house.proxy.arm(&fault)
    });

    let got = house.talk(sent, answer, QUIET);
    if fault.is_none() {
        expect_answer(&got);
    }
    if let Some(id) = id {
        house.proxy.disarm(&id);
    }
    for received in house.received() {
        expect_requests(&received);
    }
    if house.runs.fetch_add(1, Ordering::Relaxed) % 64 == 0 {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell";
        let got = house.talk(
            b"GET /plain HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n",
            plain,
            PATIENCE,
        );
        assert!(
            got.starts_with(b"HTTP/1.1 200 OK\r\n") && got.ends_with(b"\r\n\r\nwell"),
            "a plain request gets {:?}",
            String::from_utf8_lossy(&got)
        );
    }
    Corpus::Keep
});

impl House {
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
                Err(_) => return got, // Reset.
            }
        }
    }

    /// What the upstream's connections were sent that have ended since.
    fn received(&self) -> Vec<Vec<u8>> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.try_iter().collect()
    }
}

/// Whatever came begins with the head of an answer, or is nothing.
fn expect_answer(got: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut answer = httparse::Response::new(&mut headers);
    if let Err(error) = answer.parse(got) {
        panic!("{error}: {:?}", String::from_utf8_lossy(got));
    }
}

/// Every request can be read in one way alone; the last one may be incomplete.
fn expect_requests(mut bytes: &[u8]) {
    let all = String::from_utf8_lossy(bytes);
    while !bytes.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(bytes) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return,
            Err(error) => panic!("{error}: {all:?}"),
        };
        let values = |name: &str| -> Vec<&[u8]> {
            let named = request
                .headers
                .iter()
                .filter(|field| field.name.eq_ignore_ascii_case(name));
            named.map(|field| field.value).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "two framings: {all:?}");
        assert!(values("host").len() <= 1, "two hosts: {all:?}");
        if !values("upgrade").is_empty() {
            return; // What follows may be anything.
        }
        bytes = &bytes[head..];
        if let [length] = lengths[..] {
            let length = str::from_utf8(length)
                .ok()
                .filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
            let length: usize = length
                .and_then(|length| length.parse().ok())
                .unwrap_or_else(|| panic!("no length: {all:?}"));
            bytes = &bytes[length.min(bytes.len())..];
        } else if let [coding] = codings[..] {
            assert!(
                coding.eq_ignore_ascii_case(b"chunked"),
                "another coding: {all:?}"
            );
            match skip_chunks(bytes) {
                Ok(Some(rest)) => bytes = rest,
                Ok(None) => return,
                Err(_) => panic!("no chunk: {all:?}"),
            }
        }
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
            let mut trailers = [httparse::EMPTY_HEADER; 128];
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
