//! A client that makes one attempt on a connection of its own. Standard library only.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A stream that asks `patience` before each read how long that read may take.
struct Patient<F> {
    stream: TcpStream,
    patience: F,
}

impl<F: Fn() -> Duration> Read for Patient<F> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let patience = (self.patience)();
        if patience.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.read(buffer)
    }
}

/// Returns the body of a 200 as text. `connect` bounds the connecting, `patience` each read.
pub fn get(path: &str, connect: Duration, patience: impl Fn() -> Duration) -> Result<String> {
    let url = std::env::var("BROWNOUT_ROUTE_UP_URL").expect("BROWNOUT_ROUTE_UP_URL is set");
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let address = host.parse().map_err(Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, connect)?;
    stream.set_nodelay(true)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut reader = BufReader::new(Patient { stream, patience });
    let status = line(&mut reader)?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let field = line(&mut reader)?;
        match field.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim())) {
            Some((name, value)) if name == "content-length" => length = value.parse::<usize>().ok(),
            Some((name, value)) if name == "transfer-encoding" => chunked = value == "chunked",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = usize::from_str_radix(line(&mut reader)?.trim(), 16).map_err(Error::other)?;
            exactly(&mut reader, size, &mut body)?;
            line(&mut reader)?;
            if size == 0 {
                break;
            }
        }
    } else {
        exactly(&mut reader, length.ok_or(ErrorKind::InvalidData)?, &mut body)?;
    }
    if status.split(' ').nth(1) != Some("200") {
        return Err(Error::other(status));
    }
    String::from_utf8(body).map_err(Error::other)
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.take(16 * 1024).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn exactly(reader: &mut impl BufRead, size: usize, body: &mut Vec<u8>) -> Result<()> {
    if body.len() + size > BODY_BYTES_MAX {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let began = body.len();
    body.resize(began + size, 0);
    reader.read_exact(&mut body[began..])
}

/// The time left until `deadline`; zero once it has passed.
#[allow(dead_code, reason = "a sample whose timeout holds for each read has no deadline")]
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
