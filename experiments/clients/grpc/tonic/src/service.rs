//! The service, and messages that are bytes.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use tokio_stream::StreamExt;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service},
    metadata::MetadataValue,
    server::{Grpc, NamedService},
};
use tower::service_fn;

/// Messages as they are.
#[derive(Clone, Copy)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[derive(Clone, Default)]
pub struct Echo {
    left: Arc<AtomicU64>,
}

impl Echo {
    /// How many calls of `Waits` their callers have left.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

/// Counts a call that is dropped before its end.
struct Leaves(Arc<AtomicU64>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let left = Arc::clone(&self.left);
        Box::pin(async move {
            let mut grpc = Grpc::new(Raw);
            let path = request.uri().path().to_owned();
            Ok(match path.as_str() {
                "/test.Echo/Unary" => grpc.unary(service_fn(unary), request).await,
                "/test.Echo/Down" => grpc.server_streaming(service_fn(down), request).await,
                "/test.Echo/Up" => grpc.client_streaming(service_fn(up), request).await,
                "/test.Echo/Both" => grpc.streaming(service_fn(both), request).await,
                "/test.Echo/Fails" => grpc.unary(service_fn(fails), request).await,
                "/test.Echo/Waits" => {
                    let waits = service_fn(|_: Request<Bytes>| {
                        let leaves = Leaves(Arc::clone(&left));
                        async move {
                            tokio::time::sleep(Duration::from_secs(10)).await;
                            std::mem::forget(leaves);
                            Ok(Response::new(Bytes::new()))
                        }
                    });
                    grpc.unary(waits, request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let mut response = Response::new(request.into_inner());
    // A service of tonic has no trailers of its own on a call that goes well.
    let fields = response.metadata_mut();
    fields.insert("x-first", MetadataValue::from_static("1"));
    Ok(response)
}

type Messages = tokio_stream::Iter<std::vec::IntoIter<Result<Bytes, Status>>>;

async fn down(request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    let messages = vec![Ok(request.into_inner()); 100];
    Ok(Response::new(tokio_stream::iter(messages)))
}

async fn up(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let mut messages = request.into_inner();
    let mut size = 0;
    while let Some(message) = messages.message().await? {
        size += message.len();
    }
    Ok(Response::new(size.to_string().into()))
}

async fn both(
    request: Request<Streaming<Bytes>>,
) -> Result<Response<impl tokio_stream::Stream<Item = Result<Bytes, Status>>>, Status> {
    Ok(Response::new(request.into_inner().map(|message| message)))
}

async fn fails(_: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let mut status = Status::failed_precondition("no: ä");
    let fields = status.metadata_mut();
    fields.insert("x-last", MetadataValue::from_static("2"));
    Err(status)
}
