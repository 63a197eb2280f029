//! What a request's answer leaves unread of its body.
//!
//! A connection that is closed while bytes lie unread in it is reset, and a reset can take the end of the answer with it. So
//! the rest is read and forgotten before the answer goes out: 64 KiB at most, for a second at most (RFC 9112 §9.6).

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::header::EXPECT,
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

/// So much is read and forgotten.
const BYTES_MAX: usize = 64 * 1024;
/// So long is waited for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers, then reads what the handler left of the body.
pub(crate) async fn read_the_rest(request: Request, next: Next) -> Response {
    // Who asks before it sends has sent nothing if nobody read.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let left = Arc::new(Mutex::new(None));
    let lent = |body| {
        Body::new(Lent {
            body,
            left: Arc::clone(&left),
        })
    };
    let answer = next.run(request.map(lent)).await;
    let rest = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(rest) = rest {
        // A client that sends more, or more slowly, may lose its answer.
        timeout(PATIENCE, forget(rest)).await.ok();
    }
    answer
}

async fn forget(mut rest: Body) {
    let mut read = 0;
    while let Some(Ok(frame)) = rest.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > BYTES_MAX {
            return;
        }
    }
}

/// A body that comes back when it is dropped before its end.
struct Lent {
    body: Body,
    left: Arc<Mutex<Option<Body>>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let body = std::mem::take(&mut self.body);
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
