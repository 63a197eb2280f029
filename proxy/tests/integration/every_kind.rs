//! The whole square: every kind of fault, on every form of an answer, for every form of a request. Each exchange is
//! compared with the same one without the fault.
//!
//! Held to: what a strict reader takes for a whole answer keeps the rules of framing, and only a fault that breaks
//! connections leaves it less; `matched` is `injected` + `skipped` + `overflow`; a fault is `injected` just when the
//! answer, its timing or what the upstream got is another than without it.

mod faults;
mod reader;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use brownout_proxy::UpstreamTlsOptions;
use brownout_testkit::{
    RawClient, TestAuthority, TestProxy, TestUpstream, TlsFront, TlsTunnel, eventually, within,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::{
    faults::{Case, Differs},
    reader::{Asked, Read, read},
};
use crate::table::{hold, shown};

/// JSON of 21 bytes.
const CONTENT: &str = r#"{"id":7,"price":3.50}"#;

/// The forms of an answer.
const ANSWERS: [&str; 7] = ["none", "short", "chunked", "unsized", "head", "204", "304"];

fn answer(form: &str) -> String {
    const JSON: &str = "Content-Type: application/json\r\n";
    let (one, two) = CONTENT.split_at(9);
    match form {
        "none" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "head" => format!(
            "HTTP/1.1 200 OK\r\n{JSON}Content-Length: {}\r\n\r\n",
            CONTENT.len()
        ),
        "chunked" => format!(
            "HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        ),
        "unsized" => format!("HTTP/1.1 200 OK\r\n{JSON}\r\n{CONTENT}"),
        "204" => "HTTP/1.1 204 No Content\r\nETag: \"a\"\r\n\r\n".to_owned(),
        "304" => {
            "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 21\r\n\r\n".to_owned()
        }
        _ => format!(
            "HTTP/1.1 200 Tr\u{e8}s bien\r\n{JSON}Content-Length: {}\r\n\r\n{CONTENT}",
            CONTENT.len()
        ),
    }
}

/// The requests that an upstream got.
type Got = Arc<Mutex<Vec<Vec<u8>>>>;

/// Answers as the path says.
async fn upstream() -> (TestUpstream, Got) {
    let got = Got::default();
    let log = Arc::clone(&got);
    let upstream = TestUpstream::raw(move |stream| {
        let log = Arc::clone(&log);
        async move {
            let mut client = RawClient::over(stream);
            while let Some(request) = client.whole_request().await {
                let text = String::from_utf8_lossy(&request).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default();
                let form = path.rsplit('/').next().unwrap_or_default().to_owned();
                if !path.starts_with("/after") {
                    log.lock().unwrap().push(request);
                }
                if client.try_send(answer(&form).as_bytes()).await.is_err() || form == "unsized" {
                    return;
                }
            }
        }
    })
    .await;
    (upstream, got)
}

/// One exchange as both sides saw it.
#[derive(Debug)]
struct Seen {
    bytes: Vec<u8>,
    read: Read,
    took: Duration,
    upstream: Vec<Vec<u8>>,
}

impl Seen {
    /// What of it may not change without a fault. How content is cut into chunks is no part of it.
    fn message(&self) -> (&Read, &[Vec<u8>]) {
        (&self.read, &self.upstream)
    }
}

struct Square {
    proxy: TestProxy,
    /// Where clients come in.
    address: SocketAddr,
    got: Got,
}

/// What is encrypted.
#[derive(Debug, Clone, Copy)]
enum Encrypted {
    Nothing,
    /// The way from the client, and that to the upstream.
    Both,
}

impl Square {
    /// Asks once, on a connection of its own, which must then be as the answer left it.
    async fn ask(&self, method: &str, version: &str, form: &str, case: Option<&Case>) -> Seen {
        let content = if method == "POST" {
            "Content-Length: 4\r\n\r\nbody"
        } else {
            "\r\n"
        };
        let request = format!(
            "{method} /walk/{form} HTTP/{version}\r\nHost: test\r\nx-there: 1\r\n{content}"
        );
        let asked = Asked {
            is_head: method == "HEAD",
            is_http10: version == "1.0",
        };
        self.got.lock().unwrap().clear();
        let mut client = TcpStream::connect(self.address).await.unwrap();
        let began = Instant::now();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let (seen, is_open) = loop {
            let seen = read(&bytes, None, asked);
            if seen.is_over() {
                break (seen, true);
            }
            match within("an answer", client.read_buf(&mut bytes)).await {
                Ok(0) => break (read(&bytes, Some(reader::End::Fin), asked), false),
                Ok(_) => {}
                Err(_) => break (read(&bytes, Some(reader::End::Reset), asked), false),
            }
        };
        let took = began.elapsed();
        if let Read::Whole(whole) = &seen
            && is_open
        {
            let mut rest = bytes.split_off(whole.used);
            if whole.keeps {
                let next = "GET /after/short HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
                client.write_all(next.as_bytes()).await.unwrap();
            }
            let end = within("the end", client.read_to_end(&mut rest)).await;
            let second = String::from_utf8_lossy(&rest).into_owned();
            // A fault that breaks connections may do so behind an answer that has no content.
            let may_break = case.is_some_and(Case::may_break);
            assert!(
                may_break || end.is_ok(),
                "reset behind a whole answer, and {second:?}"
            );
            match whole.keeps {
                _ if may_break => {}
                true => assert!(
                    second.starts_with("HTTP/1.1 200") && second.ends_with(CONTENT),
                    "second: {second:?}"
                ),
                false => assert_eq!(second, "", "behind a last answer"),
            }
        }
        // A connection that nobody can read any more is left.
        drop(client);
        let upstream = self.got.lock().unwrap().clone();
        Seen {
            bytes,
            read: seen,
            took,
            upstream,
        }
    }
}

/// The methods and versions for a form of an answer.
fn requests(form: &str) -> Vec<(&'static str, &'static str)> {
    match form {
        "head" => vec![("HEAD", "1.1"), ("HEAD", "1.0")],
        _ => vec![("GET", "1.1"), ("POST", "1.1"), ("GET", "1.0")],
    }
}

async fn walk(case: &'static Case, encrypted: Encrypted) {
    let (upstream, got) = upstream().await;
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let proxy = match encrypted {
        Encrypted::Nothing => TestProxy::to(&upstream),
        Encrypted::Both => TestProxy::to_url(&front.url())
            .with_tls(certificate.for_listener())
            .with_upstream_tls(UpstreamTlsOptions {
                ca: Some(authority.file()),
                ..UpstreamTlsOptions::default()
            }),
    };
    let proxy = proxy.with_cores(1).start();
    let tunnel = TlsTunnel::to(proxy.address(), "127.0.0.1", &authority).await;
    let address = match encrypted {
        Encrypted::Nothing => proxy.address(),
        Encrypted::Both => tunnel.address(),
    };
    let square = Square {
        proxy,
        address,
        got,
    };
    let mut plain = BTreeMap::new();
    for form in ANSWERS {
        for (method, version) in requests(form) {
            let seen = square.ask(method, version, form, None).await;
            assert!(
                matches!(seen.read, Read::Whole(_)),
                "without a fault: {form} {method} {version}: {seen:?}"
            );
            plain.insert((form, method, version), seen);
        }
    }
    let mut fault: Value = serde_json::from_str(case.fault).unwrap();
    fault["match"] = json!({ "path": "/walk/*" });
    let mut wrong = Vec::new();
    for form in ANSWERS {
        for (method, version) in requests(form) {
            let id = square.proxy.arm(&fault);
            let without = &plain[&(form, method, version)];
            let seen = square.ask(method, version, form, Some(case)).await;
            let mut say = |what: &str| {
                let (bytes, read) = (shown(&seen.bytes), &seen.read);
                wrong.push(format!(
                    "{method} {form} HTTP/{version}: {what}; {bytes:?}, {read:?}, {:?}",
                    seen.took
                ));
            };
            eventually("the exchange is over", || {
                let counters = square.proxy.fault(&id).counters;
                counters.matched == 1 && counters.active == 0
            })
            .await;
            let counters = square.proxy.fault(&id).counters;
            if counters.matched != counters.injected + counters.skipped + counters.overflow {
                say(&format!("{counters:?} do not add up"));
            }
            if !case.may_break() && !matches!(seen.read, Read::Whole(_)) {
                say("no whole answer");
            }
            let is_same = seen.message() == without.message();
            match (counters.injected, case.differs) {
                (0, _) if !is_same => say("skipped, and something differs"),
                (0, _) => {}
                (_, Differs::Message) if is_same => say("injected, and nothing differs"),
                (_, Differs::After(millis))
                    if is_same && seen.took < Duration::from_millis(millis) =>
                {
                    say("injected, and it came at once");
                }
                (_, Differs::Copies) => {
                    eventually("a copy came", || square.got.lock().unwrap().len() == 2).await;
                }
                (1, _) => {}
                _ => say("injected more than once"),
            }
            if let Some(forms) = case.injected_on
                && (counters.injected == 1) != forms.contains(&form)
            {
                say(&format!("injected is {}", counters.injected));
            }
            square.proxy.disarm(&id);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of 20 exchanges:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn every_kind_on_every_answer_frames_and_counts_as_the_wire_shows() {
    let walks = faults::CASES.iter();
    hold(walks.map(|case| (case.fault, walk(case, Encrypted::Nothing)))).await;
}

#[tokio::test]
async fn every_kind_does_the_same_on_a_route_with_tls_on_both_sides() {
    let walks = faults::CASES.iter();
    hold(walks.map(|case| (case.fault, walk(case, Encrypted::Both)))).await;
}
