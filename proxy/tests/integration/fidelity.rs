//! Messages that real clients and servers send, through the proxy and on a direct connection: what arrives differs in
//! nothing but the fields of one hop (RFC 9110 §7.6.1) and what the engine's rules change on purpose.
//!
//! Each case runs on a direct connection first. That proves the case itself: both ends must get what the table says.

mod answers;
mod bodies;
mod compare;
mod interim;
mod large;
mod old;
mod requests;

use std::time::Duration;

use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, within};
use tokio::{net::TcpStream, sync::mpsc};

pub(crate) use self::compare::stripped;
use self::compare::{decoded, of_the_message};
use crate::table::{self, shown};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
/// Asked on the same connection afterwards: nothing of the case may be left on it.
const AFTER: &[u8] = b"GET /after HTTP/1.1\r\nHost: h\r\n\r\n";
const AFTERWARDS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter";
/// Stands for the upstream's authority in what a case expects.
const UPSTREAM: &str = "{upstream}";

/// One exchange, as the bytes that both ends send.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of a table: each is a word that a case may say"
)]
struct Case {
    name: &'static str,
    /// Each piece in a write of its own.
    request: Vec<Vec<u8>>,
    response: Vec<Vec<u8>>,
    /// What the upstream sends once it has the request's head; the client sends its second piece when it has that.
    interim: Vec<u8>,
    /// After a 101: bytes of the client, then bytes of the upstream.
    frames: Option<(Vec<u8>, Vec<u8>)>,
    /// What the upstream gets by the rules, where it is not what was sent.
    to_upstream: Option<Vec<u8>>,
    /// What the client gets by the rules, where it is not what was sent.
    to_client: Option<Vec<u8>>,
    /// The answer's framing must change: its content is compared, not its framing.
    reframed: bool,
    upstream_closes: bool,
    client_closes: bool,
    /// The test's own reader cannot read it, so it is not tried on a direct connection.
    skips_direct: bool,
}

/// What both ends got.
struct Seen {
    upstream: Vec<u8>,
    client: Vec<u8>,
}

fn case(name: &'static str, request: impl AsRef<[u8]>, response: impl AsRef<[u8]>) -> Case {
    Case {
        name,
        request: vec![request.as_ref().to_vec()],
        response: vec![response.as_ref().to_vec()],
        interim: Vec::new(),
        frames: None,
        to_upstream: None,
        to_client: None,
        reframed: false,
        upstream_closes: false,
        client_closes: false,
        skips_direct: false,
    }
}

/// A request that is answered with [`OK`].
fn request(name: &'static str, request: impl AsRef<[u8]>) -> Case {
    case(name, request, OK)
}

/// An answer to [`GET`].
fn answer(name: &'static str, response: impl AsRef<[u8]>) -> Case {
    case(name, GET, response)
}

impl Case {
    fn then(mut self, piece: impl AsRef<[u8]>) -> Self {
        self.request.push(piece.as_ref().to_vec());
        self
    }

    fn then_answers(mut self, piece: impl AsRef<[u8]>) -> Self {
        self.response.push(piece.as_ref().to_vec());
        self
    }

    fn interim(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.interim = bytes.as_ref().to_vec();
        self
    }

    fn frames(mut self, client: impl AsRef<[u8]>, upstream: impl AsRef<[u8]>) -> Self {
        self.frames = Some((client.as_ref().to_vec(), upstream.as_ref().to_vec()));
        self.client_closes().upstream_closes()
    }

    fn upstream_gets(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.to_upstream = Some(bytes.as_ref().to_vec());
        self
    }

    fn client_gets(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.to_client = Some(bytes.as_ref().to_vec());
        self
    }

    fn reframed(mut self) -> Self {
        self.reframed = true;
        self
    }

    /// The upstream closes its connection behind the answer.
    fn upstream_closes(mut self) -> Self {
        self.upstream_closes = true;
        self
    }

    /// The client asked that its connection be closed.
    fn client_closes(mut self) -> Self {
        self.client_closes = true;
        self
    }

    /// The reader of the test is for well-formed messages: the case needs both expectations, or one and a plain other.
    fn skips_direct(mut self) -> Self {
        self.skips_direct = true;
        self
    }

    fn is_head(&self) -> bool {
        self.request[0].starts_with(b"HEAD ")
    }

    /// The upstream's side of a connection.
    async fn serve(self, stream: TcpStream, got: mpsc::UnboundedSender<Vec<u8>>) {
        let mut connection = RawClient::over(stream);
        while let Some(mut message) = connection.whole_head().await {
            if message.starts_with(b"GET /after ") {
                connection.send(AFTERWARDS).await;
                continue;
            }
            connection.send(&self.interim).await;
            let Some(body) = connection.whole_body(&message).await else {
                message.extend(b"(and the connection ended)");
                got.send(message).ok(); // The test may have failed and gone.
                return;
            };
            message.extend(body);
            send_pieces(&mut connection, &self.response).await;
            if let Some((theirs, ours)) = &self.frames {
                message.extend(connection.read_exact(theirs.len()).await);
                connection.send(ours).await;
            }
            got.send(message).ok(); // As above.
            if self.upstream_closes {
                return;
            }
        }
    }

    /// Both sides of the exchange, with or without the proxy between them.
    async fn run(&self, through_proxy: bool) -> (Seen, String) {
        let (got, mut received) = mpsc::unbounded_channel();
        let served = self.clone();
        let upstream =
            TestUpstream::raw(move |stream| served.clone().serve(stream, got.clone())).await;
        let proxy = through_proxy.then(|| TestProxy::to(&upstream).with_cores(1).start());
        let address = proxy
            .as_ref()
            .map_or(upstream.address(), TestProxy::address);
        let mut client = RawClient::connect(address).await;

        let mut bytes = Vec::new();
        if self.interim.is_empty() {
            send_pieces(&mut client, &self.request).await;
        } else {
            client.send(&self.request[0]).await;
            bytes.extend(client.whole_head().await.expect("an interim answer"));
            send_pieces(&mut client, &self.request[1..]).await;
        }
        let is_head = self.is_head();
        let answer = client.whole_response(is_head).await;
        bytes.extend(answer.expect("a whole answer"));
        if let Some((ours, theirs)) = &self.frames {
            client.send(ours).await;
            bytes.extend(client.read_exact(theirs.len()).await);
        }
        let message = within("the upstream to get the request", received.recv()).await;

        if self.client_closes || (self.upstream_closes && !through_proxy) {
            if !through_proxy {
                // A direct client sees the upstream's close, or closes by itself.
                client.finish().await;
            }
            let ended = client.ended().await;
            assert_eq!(
                (shown(&ended.bytes).as_str(), ended.how),
                ("", How::Fin),
                "behind the answer"
            );
        } else {
            client.send(AFTER).await;
            let after = client.whole_response(false).await.expect("a next answer");
            assert_eq!(shown(&after), shown(AFTERWARDS), "the next answer");
        }
        let seen = Seen {
            upstream: message.expect("the upstream runs"),
            client: bytes,
        };
        (seen, upstream.address().to_string())
    }

    async fn check(self) {
        let (frames, answered) = self.frames.clone().unwrap_or_default();
        let direct = Seen {
            upstream: [self.request.concat(), frames].concat(),
            client: [self.interim.clone(), self.response.concat(), answered].concat(),
        };
        if !self.skips_direct {
            let (seen, _) = self.run(false).await;
            assert_eq!(
                shown(&seen.upstream),
                shown(&direct.upstream),
                "the case itself: the request on a direct connection"
            );
            assert_eq!(
                shown(&seen.client),
                shown(&direct.client),
                "the case itself: the answer on a direct connection"
            );
        }

        let (seen, upstream) = self.run(true).await;

        let wanted = self.to_upstream.clone().map_or_else(
            || of_the_message(&direct.upstream),
            |bytes| replaced(&bytes, UPSTREAM, &upstream),
        );
        assert_eq!(
            shown(&stripped(&seen.upstream)),
            shown(&stripped(&wanted)),
            "what the upstream got"
        );
        let wanted = self
            .to_client
            .clone()
            .unwrap_or_else(|| of_the_message(&direct.client));
        if self.reframed {
            assert_eq!(
                decoded(&stripped(&seen.client)),
                decoded(&stripped(&wanted)),
                "what the client got, without its framing"
            );
        } else {
            assert_eq!(
                shown(&stripped(&seen.client)),
                shown(&stripped(&wanted)),
                "what the client got"
            );
        }
    }
}

async fn send_pieces(connection: &mut RawClient, pieces: &[Vec<u8>]) {
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            // So that the pieces arrive apart. Nothing depends on it but what the case tries.
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        connection.send(piece).await;
    }
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    // What a case expects of its own has no obs-text where this is used.
    match std::str::from_utf8(bytes) {
        Ok(text) => text.replace(from, to).into_bytes(),
        Err(_) => bytes.to_vec(),
    }
}

/// Runs all cases, and names each that failed with what was different.
async fn hold(cases: Vec<Case>) {
    table::hold(cases.into_iter().map(|case| (case.name, case.check()))).await;
}
