//! The calls, and what their caller sees of them.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    metadata::MetadataMap,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use crate::service::Raw;

/// For what no deadline ends.
const GIVE_UP: Duration = Duration::from_secs(5);

type Seen = Result<Value, Status>;

#[derive(Default)]
pub struct Client {
    channels: HashMap<String, Channel>,
    watched: Option<Streaming<HealthCheckResponse>>,
}

impl Client {
    /// What the caller sees of one call.
    pub async fn outcome(&mut self, it: &Value) -> Value {
        let begun = Instant::now();
        // A deadline of tonic ends with the head of the answer.
        let mut seen = match tokio::time::timeout(GIVE_UP, self.call(it)).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(status)) => {
                self.watched = None;
                let mut seen = metadata(status.metadata());
                seen["code"] = name(status.code()).into();
                seen["message"] = status.message().into();
                seen
            }
            Err(_) => json!({ "code": "none" }),
        };
        if seen["code"].is_null() {
            seen["code"] = "OK".into();
        }
        seen["seconds"] = begun.elapsed().as_secs_f64().into();
        seen
    }

    async fn call(&mut self, it: &Value) -> Seen {
        let method = it["do"].as_str().unwrap_or_default();
        if method == "unwatch" {
            self.watched = None;
            return Ok(json!({}));
        }
        let channel = self.channel(it)?;
        match method {
            "unary" => unary(channel, it).await,
            "cancelled" => cancelled(channel, it).await,
            "down" => down(channel, it).await,
            "up" => up(channel, it).await,
            "both" => both(channel, it).await,
            "many" => many(channel, it).await,
            "check" => {
                let mut client = HealthClient::new(channel);
                let answer = client.check(request(service(it), it)).await?;
                Ok(json!({ "status": serving(&answer.into_inner()) }))
            }
            "watch" => self.watch(channel, it).await,
            other => Err(Status::internal(format!("calls.py asks for {other}"))),
        }
    }

    /// The next status of a service; the first call begins to watch.
    async fn watch(&mut self, channel: Channel, it: &Value) -> Seen {
        if self.watched.is_none() {
            let mut client = HealthClient::new(channel);
            self.watched = Some(client.watch(service(it)).await?.into_inner());
        }
        let watched = self.watched.as_mut().expect("it is there now");
        match watched.message().await? {
            Some(answer) => Ok(json!({ "status": serving(&answer) })),
            None => Err(Status::ok("the watch has ended")),
        }
    }

    fn channel(&mut self, it: &Value) -> Result<Channel, Status> {
        let address = it["address"].as_str().unwrap_or_default();
        if it["fresh"] == true {
            self.channels.remove(address);
        }
        if let Some(channel) = self.channels.get(address) {
            return Ok(channel.clone());
        }
        let wrong = |error: tonic::transport::Error| Status::internal(error.to_string());
        let channel = match it["authority"].as_str() {
            Some(file) => {
                let pem =
                    std::fs::read(file).map_err(|error| Status::internal(error.to_string()))?;
                let trusted = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
                Endpoint::from_shared(format!("https://{address}"))
                    .and_then(|endpoint| endpoint.tls_config(trusted))
                    .map_err(wrong)?
                    .connect_lazy()
            }
            None => Endpoint::from_shared(format!("http://{address}"))
                .map_err(wrong)?
                .connect_lazy(),
        };
        self.channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

/// What generated code does before each call.
async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::unknown(format!("Service was not ready: {error}")))?;
    Ok(grpc)
}

async fn unary(channel: Channel, it: &Value) -> Seen {
    let path = format!("/test.Echo/{}", it["method"].as_str().unwrap_or_default());
    let path =
        PathAndQuery::from_str(&path).map_err(|error| Status::internal(error.to_string()))?;
    let mut grpc = ready(channel).await?;
    let answer = grpc.unary(request(message(it), it), path, Raw).await?;
    let mut seen = metadata(answer.metadata());
    seen["bytes"] = answer.into_inner().len().into();
    Ok(seen)
}

async fn cancelled(channel: Channel, it: &Value) -> Seen {
    let mut grpc = ready(channel).await?;
    let path = PathAndQuery::from_static("/test.Echo/Waits");
    let after = Duration::from_secs_f64(it["after"].as_f64().unwrap_or_default());
    // To drop a call is to cancel it.
    let call = grpc.unary(Request::new(Bytes::new()), path, Raw);
    match tokio::time::timeout(after, call).await {
        Ok(ended) => ended.map(|_| json!({})),
        Err(_) => Ok(json!({ "code": "CANCELLED" })),
    }
}

async fn down(channel: Channel, it: &Value) -> Seen {
    let mut grpc = ready(channel).await?;
    let path = PathAndQuery::from_static("/test.Echo/Down");
    let answers = grpc.server_streaming(request(message(it), it), path, Raw);
    let mut answers = answers.await?.into_inner();
    let (mut messages, mut bytes) = (0, 0);
    while let Some(answer) = answers.message().await? {
        messages += 1;
        bytes += answer.len();
    }
    Ok(json!({ "messages": messages, "bytes": bytes }))
}

async fn up(channel: Channel, it: &Value) -> Seen {
    let mut grpc = ready(channel).await?;
    let path = PathAndQuery::from_static("/test.Echo/Up");
    let messages = tokio_stream::iter(vec![message(it); 100]);
    let answer = grpc
        .client_streaming(request(messages, it), path, Raw)
        .await?;
    let text = String::from_utf8_lossy(&answer.into_inner()).into_owned();
    Ok(json!({ "bytes": text.parse::<u64>().unwrap_or_default() }))
}

/// The next message goes out when the one before it has come back.
async fn both(channel: Channel, it: &Value) -> Seen {
    let mut grpc = ready(channel).await?;
    let path = PathAndQuery::from_static("/test.Echo/Both");
    let wanted = it["messages"].as_u64().unwrap_or_default();
    let (turns, messages) = mpsc::channel(1);
    let mut turns = Some(turns);
    let turn = async |turns: &mut Option<mpsc::Sender<Bytes>>, number: u64| match turns {
        Some(sender) if number < wanted => _ = sender.send(number.to_string().into()).await,
        _ => *turns = None,
    };
    turn(&mut turns, 0).await;
    let request = request(ReceiverStream::new(messages), it);
    let mut answers = grpc.streaming(request, path, Raw).await?.into_inner();
    let (mut came, mut in_order) = (0, true);
    while let Some(answer) = answers.message().await? {
        in_order &= answer == came.to_string();
        came += 1;
        turn(&mut turns, came).await;
    }
    Ok(json!({ "messages": came, "in_order": in_order }))
}

async fn many(channel: Channel, it: &Value) -> Seen {
    let one = json!({ "method": "Unary" });
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..it["count"].as_u64().unwrap_or_default() {
        let (channel, one) = (channel.clone(), one.clone());
        calls.spawn(async move { unary(channel, &one).await });
    }
    let mut codes = BTreeMap::new();
    for ended in calls.join_all().await {
        let code = ended.map_or_else(|status| status.code(), |_| Code::Ok);
        *codes.entry(name(code)).or_insert(0) += 1;
    }
    Ok(json!({ "codes": codes }))
}

fn message(it: &Value) -> Bytes {
    let size = it["bytes"].as_u64().unwrap_or(1);
    vec![0; usize::try_from(size).unwrap_or_default()].into()
}

fn request<T>(message: T, it: &Value) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = it["deadline"].as_f64() {
        request.set_timeout(Duration::from_secs_f64(deadline));
    }
    request
}

fn service(it: &Value) -> HealthCheckRequest {
    let service = it["service"].as_str().unwrap_or_default().to_owned();
    HealthCheckRequest { service }
}

fn serving(answer: &HealthCheckResponse) -> &'static str {
    ServingStatus::try_from(answer.status).map_or("?", |status| status.as_str_name())
}

fn metadata(fields: &MetadataMap) -> Value {
    let text = |name| fields.get(name).and_then(|value| value.to_str().ok());
    let binary = fields
        .get_bin("x-last-bin")
        .and_then(|value| value.to_bytes().ok());
    let hex = binary.map(|bytes| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    });
    json!({ "first": text("x-first"), "last": text("x-last"), "last_bin": hex })
}

/// The name that the protocol gives a code.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
