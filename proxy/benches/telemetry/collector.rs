//! Collectors that take everything, stall, or are not there.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// One that takes all that comes and keeps nothing.
pub(crate) fn taking() -> SocketAddr {
    serve(|mut stream| {
        while take_one(&mut stream).is_some() {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    })
}

/// One that takes requests and never answers.
pub(crate) fn stalled() -> SocketAddr {
    serve(|mut stream| {
        let mut buffer = [0; 64 * 1024];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    })
}

/// One that refuses connections.
pub(crate) fn dead() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn serve(handle: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// Reads one request with its body.
fn take_one(stream: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    stream.read_exact(&mut body).ok()
}
