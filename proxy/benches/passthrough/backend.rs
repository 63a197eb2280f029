//! The server behind every contender: answers of three sizes, as cheaply as can be.

use std::{io, net::SocketAddr, rc::Rc};

use bytes::Bytes;
use http::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
};

/// Where it listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backend {
    pub(crate) http1: SocketAddr,
    /// By prior knowledge.
    pub(crate) http2: SocketAddr,
}

/// Starts it on a thread of its own, on the core it shares with the load.
pub(crate) fn start() -> Backend {
    let (ready, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        crate::contender::pin(0);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        runtime.unwrap().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let http2 = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let backend = Backend {
                http1: listener.local_addr().unwrap(),
                http2: http2.local_addr().unwrap(),
            };
            ready.send(backend).unwrap();
            tokio::task::spawn_local(accept_http2(http2));
            let answers: Rc<Vec<(&str, Vec<u8>)>> = Rc::new(
                [("/1k ", 1 << 10), ("/64k ", 1 << 16), ("/1m ", 1 << 20)]
                    .map(|(path, size)| (path, answer(size)))
                    .into(),
            );
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(serve(stream, Rc::clone(&answers)));
            }
        });
    });
    address.recv().unwrap()
}

fn answer(size: usize) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: backend\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + size, b'x');
    answer
}

async fn serve(mut stream: TcpStream, answers: Rc<Vec<(&'static str, Vec<u8>)>>) {
    stream.set_nodelay(true).unwrap();
    let mut received = Vec::with_capacity(16 * 1024);
    while let Ok(1..) = stream.read_buf(&mut received).await {
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let answer = answers
                .iter()
                .find(|(path, _)| received[4..].starts_with(path.as_bytes()))
                .map(|(_, answer)| answer)
                .unwrap();
            received.drain(..end + 4);
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

async fn accept_http2(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(serve_http2(stream));
    }
}

/// Answers each stream with 1 KiB.
async fn serve_http2(stream: TcpStream) {
    const CONTENT: &[u8] = &[b'x'; 1 << 10];
    let mut handshake = h2::server::Builder::new();
    let handshake = handshake.max_concurrent_streams(1_000);
    let mut connection = handshake.handshake(stream).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let response = Response::builder()
            .header("server", "backend")
            .header("content-type", "text/plain")
            .header("content-length", CONTENT.len())
            .body(())
            .unwrap();
        // The stream may be gone by now: the load ends as it likes.
        if let Ok(mut content) = respond.send_response(response, false) {
            drop(content.send_data(Bytes::from_static(CONTENT), true));
        }
    }
}
