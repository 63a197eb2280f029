//! Slow readers and writers on both sides, in every combination: every byte arrives, and the proxy keeps no more of them
//! than its buffers hold.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use brownout_testkit::{PATIENCE, TestUpstream};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, tcp},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::proxy_process::ProxyProcess;

/// Content each way.
const SIZE: usize = 3 * 1024 * 1024;
/// How much a slow peer takes or gives at once, and how long it rests then: about 4 MiB a second.
const SLOW_PIECE: usize = 16 * 1024;
const SLOW_REST: Duration = Duration::from_millis(4);
/// What a slow peer's kernel holds, so that it is really the peer that is slow. Above loopback's segments of 64 KiB: else
/// the kernel sends only when its persist timer ends.
const SLOW_BUFFER: usize = 160 * 1024;
/// Four exchanges at once, with two directions of at most 256 KiB in buffers each, are 2 MiB, and the first exchange of a
/// process costs 2 MiB more, however small it is. The rest is for an allocator that gives back late. Whoever keeps whole
/// bodies needs the 24 MiB of their content.
const MEMORY: u64 = 12 * 1024 * 1024;

#[derive(Debug, Clone, Copy)]
struct Pace {
    reads_slowly: bool,
    writes_slowly: bool,
}

const PACES: [Pace; 4] = [
    Pace {
        reads_slowly: false,
        writes_slowly: false,
    },
    Pace {
        reads_slowly: true,
        writes_slowly: false,
    },
    Pace {
        reads_slowly: false,
        writes_slowly: true,
    },
    Pace {
        reads_slowly: true,
        writes_slowly: true,
    },
];

/// What both sides send: the fields that frame them, and the bodies as they are on the wire.
struct Messages {
    request: (String, Vec<u8>),
    answer: (String, Vec<u8>),
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Sized,
    Chunked,
}

impl Framing {
    /// A message body on the wire: its field, and its bytes.
    fn body(self, seed: u8) -> (String, Vec<u8>) {
        let content: Vec<u8> = (0..SIZE)
            .map(|at| (at / 251 + at % 251).to_le_bytes()[0] ^ seed)
            .collect();
        match self {
            Self::Sized => (format!("Content-Length: {SIZE}"), content),
            Self::Chunked => {
                let mut body = Vec::new();
                // From chunks of a byte to some that no buffer holds whole.
                let mut rest = &content[..];
                for size in [1, 10, 4_000, 300_000].iter().cycle() {
                    let (chunk, behind) = rest.split_at((*size).min(rest.len()));
                    if chunk.is_empty() {
                        break;
                    }
                    body.extend(format!("{:x};s=\"{size}\"\r\n", chunk.len()).as_bytes());
                    body.extend_from_slice(chunk);
                    body.extend(b"\r\n");
                    rest = behind;
                }
                body.extend(b"0\r\nX-Sum: 1\r\n\r\n");
                ("Transfer-Encoding: chunked".to_owned(), body)
            }
        }
    }
}

async fn write(mut half: tcp::OwnedWriteHalf, bytes: Vec<u8>, slowly: bool) -> tcp::OwnedWriteHalf {
    if !slowly {
        half.write_all(&bytes).await.unwrap();
        return half;
    }
    for piece in bytes.chunks(SLOW_PIECE) {
        half.write_all(piece).await.unwrap();
        sleep(SLOW_REST).await;
    }
    half
}

/// Reads a head and as many bytes of body as are wanted.
async fn read(half: &mut tcp::OwnedReadHalf, wanted: usize, slowly: bool) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = vec![0; if slowly { SLOW_PIECE } else { 256 * 1024 }];
    let mut head = None;
    while head.is_none_or(|head| all.len() < head + wanted) {
        let count = half.read(&mut piece).await.unwrap();
        assert!(count > 0, "the connection ended after {} bytes", all.len());
        all.extend_from_slice(&piece[..count]);
        if head.is_none() {
            let end = all.windows(4).position(|window| window == b"\r\n\r\n");
            head = end.map(|end| end + 4);
        }
        if slowly {
            sleep(SLOW_REST).await;
        }
    }
    all.split_off(head.expect("the loop ends behind the head"))
}

/// Answers once it has the request's head and takes the body meanwhile, or takes it first. Tells what it read.
async fn serve(
    stream: TcpStream,
    pace: Pace,
    messages: &Messages,
    at_once: bool,
    got: mpsc::UnboundedSender<Vec<u8>>,
) {
    if pace.reads_slowly {
        SockRef::from(&stream)
            .set_recv_buffer_size(SLOW_BUFFER)
            .unwrap();
    }
    let (mut reading, writing) = stream.into_split();
    let (field, body) = &messages.answer;
    let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
    let answer = [head.as_bytes(), body].concat();
    let wanted = messages.request.1.len();
    // An answer to no request is another matter.
    reading.readable().await.unwrap();
    let read = read(&mut reading, wanted, pace.reads_slowly);
    let write = write(writing, answer, pace.writes_slowly);
    let (read, half) = if at_once {
        tokio::join!(read, write)
    } else {
        (read.await, write.await)
    };
    got.send(read).ok(); // The test may have failed and gone.
    // The proxy may keep the connection for as long as it likes.
    reading.readable().await.unwrap();
    drop(half);
}

async fn ask(address: SocketAddr, pace: Pace, messages: &Messages) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    if pace.reads_slowly {
        let buffer = u32::try_from(SLOW_BUFFER).unwrap();
        socket.set_recv_buffer_size(buffer).unwrap();
    }
    let stream = socket.connect(address).await.unwrap();
    let (mut reading, writing) = stream.into_split();
    let (field, body) = &messages.request;
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
    let request = [head.as_bytes(), body].concat();
    let (half, read) = tokio::join!(
        write(writing, request, pace.writes_slowly),
        read(&mut reading, messages.answer.1.len(), pace.reads_slowly)
    );
    drop(half);
    read
}

/// Whether the proxy stands between the peers. Without it the peers of this test show that they do what they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Proxy,
    Nothing,
}

/// All sixteen combinations at once, those of one upstream's pace through one proxy.
async fn every_combination(framing: Framing, at_once: bool, between: Between) {
    let messages = Arc::new(Messages {
        request: framing.body(1),
        answer: framing.body(2),
    });
    let mut upstreams = Vec::new();
    let mut running = JoinSet::new();
    let mut proxies = Vec::new();
    for upstreams_pace in PACES {
        let (sender, mut got) = mpsc::unbounded_channel();
        let sent = Arc::clone(&messages);
        let upstream = TestUpstream::raw(move |stream| {
            let (sender, messages) = (sender.clone(), Arc::clone(&sent));
            async move {
                serve(stream, upstreams_pace, &messages, at_once, sender).await;
            }
        })
        .await;
        let proxy = ProxyProcess::start(&upstream.url(), &[]);
        let address = match between {
            Between::Proxy => proxy.address(),
            Between::Nothing => upstream.address(),
        };
        let before = proxy.memory();
        for clients_pace in PACES {
            let messages = Arc::clone(&messages);
            running.spawn(async move {
                let name = format!("client {clients_pace:?}, upstream {upstreams_pace:?}");
                let answer = ask(address, clients_pace, &messages).await;
                assert!(answer == messages.answer.1, "another answer: {name}");
            });
        }
        let messages = Arc::clone(&messages);
        running.spawn(async move {
            for _ in PACES {
                let request = got.recv().await.expect("the upstream runs");
                assert!(
                    request == messages.request.1,
                    "another request: upstream {upstreams_pace:?}"
                );
            }
        });
        upstreams.push(upstream);
        proxies.push((proxy, before));
    }
    let mut grown = [0; PACES.len()];
    // Three seconds where nothing else runs.
    let deadline = Instant::now() + 3 * PATIENCE;
    while !running.is_empty() {
        assert!(Instant::now() < deadline, "{} are not over", running.len());
        while let Some(ended) = running.try_join_next() {
            ended.unwrap();
        }
        for (grown, (proxy, before)) in grown.iter_mut().zip(&proxies) {
            *grown = proxy.memory().saturating_sub(*before).max(*grown);
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(
        grown.iter().all(|grown| *grown < MEMORY),
        "the proxies grew by {grown:?} bytes"
    );
}

#[tokio::test]
async fn sized_bodies_pass_between_slow_peers_both_ways_at_once() {
    every_combination(Framing::Sized, true, Between::Proxy).await;
}

#[tokio::test]
async fn sized_bodies_pass_between_slow_peers_one_after_the_other() {
    every_combination(Framing::Sized, false, Between::Proxy).await;
}

#[tokio::test]
async fn chunked_bodies_pass_between_slow_peers_both_ways_at_once() {
    every_combination(Framing::Chunked, true, Between::Proxy).await;
}

#[tokio::test]
async fn chunked_bodies_pass_between_slow_peers_one_after_the_other() {
    every_combination(Framing::Chunked, false, Between::Proxy).await;
}

#[tokio::test]
async fn the_peers_of_this_test_pass_all_bytes_without_a_proxy() {
    every_combination(Framing::Sized, false, Between::Nothing).await;
    every_combination(Framing::Chunked, true, Between::Nothing).await;
}
