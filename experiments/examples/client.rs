//! What a Rust programmer sees of the last of TIMES requests: `client reqwest|hyper|hyper-http2 URL TIMES BYTES`.
//!
//! With BYTES above 0 hyper posts so many.
//!
//! One of the clients of `experiments/clients/matrix`, which breaks the answers.
#![expect(clippy::print_stdout, reason = "the line is what it is for")]

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// As all clients of the matrix. hyper has none of its own: there it is tokio's around the whole call.
const TIMEOUT: Duration = Duration::from_secs(2);

type Seen = Result<String, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("usage: client reqwest|hyper|hyper-http2 URL TIMES BYTES")
    };
    let (library, url, times, bytes) = (next()?, next()?, next()?.parse()?, next()?.parse()?);
    let seen = match library.as_str() {
        "reqwest" => by_reqwest(&url, times).await,
        "hyper" => by_hyper(&url, times, bytes, Http2::Never).await,
        "hyper-http2" => by_hyper(&url, times, bytes, Http2::Only).await,
        other => return Err(format!("unknown client `{other}`").into()),
    };
    match seen {
        Ok(answer) => println!("{answer}"),
        Err(error) => println!("{}", chain(error.as_ref())),
    }
    Ok(())
}

async fn by_reqwest(url: &str, times: u32) -> Seen {
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let get = async || -> Seen {
        let answer = client.get(url).send().await?;
        let status = answer.status().as_u16();
        Ok(format!("{status}, {} bytes", answer.bytes().await?.len()))
    };
    for _ in 1..times {
        get().await?;
    }
    get().await
}

/// Whether hyper speaks HTTP/2, which it does by prior knowledge.
#[derive(Clone, Copy, PartialEq)]
enum Http2 {
    Never,
    Only,
}

async fn by_hyper(url: &str, times: u32, bytes: usize, http2: Http2) -> Seen {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(http2 == Http2::Only)
        .build_http();
    let method = if bytes == 0 { "GET" } else { "POST" };
    let get = async || -> Seen {
        let request = http::Request::builder().method(method).uri(url);
        let request = request.body(Full::new(Bytes::from(vec![0; bytes])))?;
        let answer = client.request(request).await?;
        let status = answer.status().as_u16();
        let content = answer.into_body().collect().await?.to_bytes();
        Ok(format!("{status}, {} bytes", content.len()))
    };
    for _ in 1..times {
        get().await?;
    }
    match tokio::time::timeout(TIMEOUT, get()).await {
        Ok(seen) => seen,
        Err(_) => Ok("nothing: hyper has no timeout".to_owned()),
    }
}

/// The error and all it comes from: a `Display` alone often says the least.
fn chain(error: &dyn Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        // Some say their source as well.
        if !parts.last().is_some_and(|last| last.ends_with(&part)) {
            parts.push(part);
        }
        next = error.source();
    }
    parts.join(": ")
}
