//! The story of one request.

use std::{rc::Rc, sync::Arc, time::Instant};

use brownout_fault::{Injection, Later, Subject};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};

use crate::{
    body::{Leave, RequestBody, ResponseBody},
    client_io::ClientSocket,
    error::{Chain, Cut, UpstreamError},
    headers,
    inject::{self, Next},
    record::Record,
    scope::Scope,
    shape, upgrade,
    upstream::{Lease, Sent},
};

/// Serves one request: record, decide, inject, forward, follow the answer to its end.
///
/// `Err` ends the connection without an answer. When the client leaves, hyper drops this future; the record
/// is written all the same.
pub(crate) async fn exchange(
    scope: Rc<Scope>,
    client: Arc<ClientSocket>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Cut> {
    let now = Instant::now();
    let injection = scope.faults.plan().decide(
        &Subject {
            route: scope.route.name(),
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            peer: client.peer(),
            connection: client.number(),
        },
        now,
    );
    let mut record = Record::begin(scope, client, now);
    let ended_by = injection.ended_by();
    let Injection {
        considered,
        fired,
        delays,
        ending,
        later,
        ..
    } = injection;
    record.decided(&request, &considered, fired, ended_by);

    if !delays.is_empty() || ending.is_some() {
        // An answer without the body never asks for it: asking would send the 100.
        let may_read = !headers::expects_continue(request.headers());
        let body = request.body_mut();
        let next = inject::before_upstream(&delays, ending, body, may_read, &mut record).await?;
        match next {
            Next::Forward => {}
            Next::Answer(by, answer) => {
                let mut response = Response::new(ResponseBody::own(Bytes::new(), record));
                inject::answer_instead(&mut response, by, &answer, request.headers());
                if may_read {
                    inject::discard(request.into_body(), response.body().record());
                }
                return Ok(response);
            }
        }
    }
    match later {
        None => forward(request, record, None).await,
        Some(mut later) => {
            // Only an answer of a fault looks at it again.
            let asked = later.ending.is_some().then(|| request.headers().clone());
            let method = request.method().clone();
            let response = forward(request, record, Some(&mut later)).await?;
            let asked = asked.unwrap_or_default();
            // Boxed, as every connection would have to keep room for it.
            Box::pin(shape::after_upstream(*later, response, &method, &asked)).await
        }
    }
}

/// Sends the request on and gives back the upstream's answer, or says why there is none.
async fn forward(
    mut request: Request<Incoming>,
    mut record: Box<Record>,
    mut later: Option<&mut Later>,
) -> Result<Response<ResponseBody>, Cut> {
    if request.method() == Method::CONNECT {
        let detail = "this is no forward proxy; send the request itself";
        return Ok(own_answer(StatusCode::METHOD_NOT_ALLOWED, detail, record));
    }
    if headers::has_many_hosts(request.headers()) {
        let detail = "the request has more than one Host";
        return Ok(own_answer(StatusCode::BAD_REQUEST, detail, record));
    }
    let on_upgrade =
        headers::wants_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
    let (leave, given) = match headers::expects_continue(request.headers()) {
        true if !request.body().is_end_stream() => {
            let (leave, given) = Leave::new();
            (Some(leave), Some(given))
        }
        _ => (None, None),
    };
    let upstream = record.scope().route.upstream();
    if headers::to_upstream(&mut request, &upstream).is_err() {
        let detail = "the request uses a transfer coding besides chunked";
        return Ok(own_answer(StatusCode::NOT_IMPLEMENTED, detail, record));
    }
    for (_, change) in later.iter().flat_map(|later| &later.request) {
        change.apply_to(request.headers_mut());
    }
    record.sending(&mut request, &upstream);

    let (parts, incoming) = request.into_parts();
    let copies = later.as_mut().and_then(|later| later.copies.take());
    let (body, upload) = match copies {
        Some(copies) => {
            let sending = shape::send_copies(copies, &parts, incoming, &upstream, &record);
            Box::pin(sending).await?
        }
        None => {
            let pace = later.and_then(|later| {
                let length = incoming.size_hint().exact();
                shape::pace(later, length, &record)
            });
            let bytes_in = &record.scope().route.bytes_in;
            RequestBody::streaming(incoming, bytes_in, record.client(), leave, pace)
        }
    };
    let mut request = Request::from_parts(parts, body);
    if let Some(given) = given {
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                given.give();
            }
        });
    }

    let scope = Rc::clone(record.scope());
    let sent = scope.pool.send(request, &upstream, |request| {
        record.resending(request, &upstream);
    });
    let sent = sent.await;
    let sent = sent.and_then(|mut sent| match headers::to_client(&mut sent.response) {
        Ok(()) => Ok(sent),
        Err(headers::Unsupported::TransferCoding) => Err(UpstreamError::TransferCoding),
    });
    match sent {
        Err(_) if upload.is_broken() => {
            record.request_broke();
            let detail = "the request's body ends early or is not framed as its head says";
            Ok(own_answer(StatusCode::BAD_REQUEST, detail, record))
        }
        Err(error) => {
            record.upstream_failed(&error);
            let detail = format!("upstream {upstream} {}", Chain(&error));
            Ok(own_answer(error.status(), &detail, record))
        }
        Ok(Sent {
            mut response,
            mut lease,
        }) => {
            record.answered(response.status());
            if response.status() == StatusCode::SWITCHING_PROTOCOLS
                && let Some(client) = on_upgrade
            {
                let socket = Arc::clone(record.client());
                switch_protocols(client, &mut response, lease, &scope, socket);
                return Ok(response.map(|_| ResponseBody::own(Bytes::new(), record)));
            }
            if !upload.is_done() {
                lease.drive(&scope.tasks);
            }
            let pool = Rc::clone(&scope.pool);
            Ok(response
                .map(|incoming| ResponseBody::upstream(incoming, lease, pool, upload, record)))
        }
    }
}

fn switch_protocols(
    client: OnUpgrade,
    response: &mut Response<Incoming>,
    lease: Lease,
    scope: &Scope,
    socket: Arc<ClientSocket>,
) {
    let upstream = hyper::upgrade::on(response);
    socket.hand_over();
    scope.tasks.spawn_local(async move {
        // Its end hands the bare connection over.
        lease.finish().await;
        upgrade::relay(client, upstream, &socket).await;
    });
}

/// An answer of the proxy's own, as a short problem (RFC 9457) that names the route.
fn own_answer(status: StatusCode, detail: &str, mut record: Box<Record>) -> Response<ResponseBody> {
    record.answered(status);
    let route = record.scope().route.name();
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": format!("route {route}: {detail}"),
        "route": route,
    });
    let body = Bytes::from(format!("{problem}\n"));
    let mut response = Response::new(ResponseBody::own(body, record));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/problem+json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
