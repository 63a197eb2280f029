//! The server half of each Rust sample: a thread for each connection on 127.0.0.1:PORT. No client code. Standard library only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A page: the body of the dependency's answer if there is one, else the bestsellers.
pub type Page = dyn Fn() -> Option<String> + Send + Sync;

pub fn serve(page: impl Fn() -> Option<String> + Send + Sync + 'static) {
    let port = std::env::var("PORT").expect("PORT is set");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free");
    let page: Arc<Page> = Arc::new(page);
    for caller in listener.incoming().flatten() {
        let page = Arc::clone(&page);
        std::thread::spawn(move || while let Ok(true) = answer(&caller, &*page) {});
    }
}

/// Answers one request; returns whether the connection is kept.
fn answer(mut caller: &TcpStream, page: &Page) -> std::io::Result<bool> {
    caller.set_nodelay(true)?;
    caller.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(caller);
    let (mut lines, mut length, mut keep) = (Vec::new(), 0, true);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().unwrap_or(0),
            ("connection", "close") => keep = false,
            _ => {}
        }
        lines.push(line);
    }
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
    let (status, more, body) = if lines[0].starts_with("GET /page") {
        match page() {
            Some(items) => ("200 OK", "", format!(r#"{{"items": {items}, "source": "primary"}}"#)),
            None => ("200 OK", "x-degraded: 1\r\n", r#"{"items": [{"id": 1, "name": "bestseller"}], "source": "fallback"}"#.to_owned()),
        }
    } else if lines[0].starts_with("GET /healthz") {
        ("200 OK", "", r#"{"ok": true}"#.to_owned())
    } else {
        ("404 Not Found", "", r#"{"error": "no such path"}"#.to_owned())
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n");
    caller.write_all((head + &body).as_bytes())?;
    Ok(keep)
}
