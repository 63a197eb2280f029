//! A trace collector with the Jaeger UI: the crate `otlp-embedded` receives, keeps and shows the traces.
//!
//! The crate listens to OTLP over gRPC; brownout sends the same messages over HTTP (`POST /v1/traces`). So this program
//! is one HTTP server: what is posted is decoded with the crate's own messages and handed to its receiver. Before, spans get
//! what Jaeger's own collector would add and the UI draws by: `span.kind`, and `error` for a status that is one. The crate
//! also tells services apart by their instance, which is why each gets one.
//!
//! `jaeger [ADDR]` prints the address that it listens on.

use axum::{Router, body::Bytes, extract::State as Extension, http::StatusCode, routing::post};
use otlp_embedded::{
    Config, State, StateRef, TraceService, TraceServiceImpl,
    proto::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value::Value},
        trace::v1::{Span, span::SpanKind, status::StatusCode as Status},
    },
    ui_app,
};
use prost::Message;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    let traces = State::new(Config {
        max_length: 1_000,
        max_memory_usage: 64 << 20,
    });
    let app = Router::new()
        .route("/v1/traces", post(receive))
        .with_state(traces.clone())
        .fallback_service(ui_app(traces, "/"));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn receive(
    Extension(traces): Extension<StateRef>,
    body: Bytes,
) -> Result<Vec<u8>, StatusCode> {
    let mut request =
        ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    for service in &mut request.resource_spans {
        if let Some(resource) = &mut service.resource {
            let name = resource
                .attributes
                .iter()
                .find(|it| it.key == "service.name");
            let name = name.and_then(|it| it.value.clone()).and_then(|it| it.value);
            resource
                .attributes
                .extend(name.map(|name| tag("service.instance.id", name)));
        }
        for span in service.scope_spans.iter_mut().flat_map(|it| &mut it.spans) {
            add_what_jaeger_adds(span);
        }
    }
    let receiver = TraceServiceImpl::new(traces);
    let answer = receiver.export(tonic::Request::new(request)).await;
    let answer = answer.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(answer.into_inner().encode_to_vec())
}

fn add_what_jaeger_adds(span: &mut Span) {
    let kind = match span.kind() {
        SpanKind::Server => Some("server"),
        SpanKind::Client => Some("client"),
        SpanKind::Internal => Some("internal"),
        _ => None,
    };
    span.attributes
        .extend(kind.map(|kind| tag("span.kind", Value::StringValue(kind.into()))));
    if span
        .status
        .as_ref()
        .is_some_and(|status| status.code() == Status::Error)
    {
        span.attributes.push(tag("error", Value::BoolValue(true)));
    }
}

fn tag(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
