//! The server behind every contender: answers of three sizes, as cheaply as can be.

use std::{net::SocketAddr, rc::Rc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
};

/// Starts it on a thread of its own, on the core it shares with the load.
pub(crate) fn start() -> SocketAddr {
    let (ready, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        crate::contender::pin(0);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        runtime.unwrap().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
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
