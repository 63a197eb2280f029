//! Answers that break the rules of HTTP: written past hyper, which would never send them.

use std::{future::poll_fn, io, pin::Pin};

use brownout_fault::Malformed;
use bytes::{BufMut, BytesMut};
use http::{HeaderMap, Response, header};
use hyper::body::{Body, Frame};

use crate::{body::ResponseBody, client_io::ClientSocket, error::Cut};

/// Writes `response` with one thing wrong about it, then ends the connection in good order. A client that has
/// stopped reading is waited for until the fault `by` is removed.
pub(crate) async fn send(how: Malformed, by: usize, mut response: Response<ResponseBody>) -> Cut {
    let client = response.body().record().client().clone();
    let released = response.body().record().fired(by).released();
    let write = async {
        // What hyper holds of earlier answers goes first.
        client.flushed().await;
        match how {
            Malformed::Random(mut roll) => {
                let noise: Vec<u8> = (0..64).flat_map(|_| roll.draw().to_le_bytes()).collect();
                client.write_all(&noise).await
            }
            how => write_answer(&how, &mut response, &client).await,
        }
    };
    let written = tokio::select! {
        written = write => written,
        () = released.wait() => Ok(()),
    };
    if let Err(error) = written {
        tracing::debug!(%error, "a client did not take a malformed answer");
    }
    client.linger_on_close();
    response.body_mut().record_mut().cut_by_fault(by);
    Cut
}

async fn write_answer(
    how: &Malformed,
    response: &mut Response<ResponseBody>,
    client: &ClientSocket,
) -> io::Result<()> {
    let chunked = matches!(how, Malformed::Chunk) || !knows_length(response);
    client.write_all(&head(how, response, chunked)).await?;
    if matches!(how, Malformed::Chunk) {
        client.write_all(b"zz\r\n").await?;
    }
    while let Some(frame) = poll_fn(|cx| Pin::new(response.body_mut()).poll_frame(cx)).await {
        let Ok(Ok(data)) = frame.map(Frame::into_data) else {
            break;
        };
        if chunked {
            client
                .write_all(format!("{:x}\r\n", data.len()).as_bytes())
                .await?;
            client.write_all(&data).await?;
            client.write_all(b"\r\n").await?;
        } else {
            client.write_all(&data).await?;
        }
    }
    if chunked {
        client.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

fn knows_length(response: &Response<ResponseBody>) -> bool {
    response.headers().contains_key(header::CONTENT_LENGTH)
        || response.body().size_hint().exact().is_some()
}

/// The head as it should be, but for one thing.
fn head(how: &Malformed, response: &Response<ResponseBody>, chunked: bool) -> BytesMut {
    const OVERSIZED_BYTES: usize = 1024 * 1024;
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("");
    let mut head = BytesMut::new();
    match how {
        Malformed::StatusLine => head.put_slice(b"HTTP/1.1 OK\r\n"),
        Malformed::Chunk
        | Malformed::Header
        | Malformed::Random(_)
        | Malformed::DupContentLength
        | Malformed::OversizedHeader => {
            let line = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
            head.put_slice(line.as_bytes());
        }
    }
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    put_fields(&mut head, response.headers(), &framing);
    let length = || {
        let said = response.headers().get(header::CONTENT_LENGTH)?;
        said.to_str().ok()?.parse::<u64>().ok()
    };
    let length = length().or_else(|| response.body().size_hint().exact());
    if chunked {
        head.put_slice(b"transfer-encoding: chunked\r\n");
    } else if let Some(length) = length {
        head.put_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    match how {
        Malformed::Header => head.put_slice(b"x-brownout-illegal: a\x00b\r\n"),
        Malformed::DupContentLength => {
            let other = length.map_or(0, |length| length + 1);
            head.put_slice(format!("content-length: {other}\r\n").as_bytes());
        }
        Malformed::OversizedHeader => {
            head.put_slice(b"x-brownout-oversized: ");
            head.put_bytes(b'x', OVERSIZED_BYTES);
            head.put_slice(b"\r\n");
        }
        Malformed::Chunk | Malformed::StatusLine | Malformed::Random(_) => {}
    }
    head.put_slice(b"\r\n");
    head
}

fn put_fields(head: &mut BytesMut, fields: &HeaderMap, without: &[header::HeaderName]) {
    for (name, value) in fields {
        if without.contains(name) {
            continue;
        }
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
}
