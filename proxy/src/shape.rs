//! Carrying out what was decided about a request that is forwarded, and about its answer.

use std::{rc::Rc, sync::Arc};

use brownout_fault::{BodyChange, Change, Copies, Ending, Keep, Later};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::{
    body::{RequestBody, ResponseBody, ShapedResponse, UploadPace, UploadProgress},
    error::Cut,
    inject, malformed,
    record::Record,
    upstream::Upstream,
};

/// What paces the body of the request.
pub(crate) fn pace(
    later: &mut Later,
    length: Option<u64>,
    record: &Record,
) -> Option<Box<UploadPace>> {
    let upload = std::mem::take(&mut later.upload);
    if upload.is_empty() {
        return None;
    }
    let spans = upload.iter().map(|(by, _)| record.span_of(*by)).collect();
    let with_bell = |(by, bucket)| (by, bucket, record.fired(by).bell());
    let budgets = upload.into_iter().map(with_bell);
    Some(UploadPace::new(
        budgets,
        spans,
        length,
        &record.scope().timer,
    ))
}

/// Sends copies of a request in the background and gives back the body of the first. Their answers are read and
/// forgotten. Copies that were not sent yet when the fault is removed are never sent.
pub(crate) async fn send_copies(
    (by, copies): (usize, Copies),
    parts: &Parts,
    incoming: Incoming,
    upstream: &Arc<Upstream>,
    record: &Record,
) -> Result<(RequestBody, UploadProgress), Cut> {
    // Its length is known and small: the fault looked at it.
    let content = incoming.collect().await.map_err(|_| Cut)?.to_bytes();
    record.scope().route.bytes_in.add(content.len() as u64);
    for number in 1..=copies.count {
        let mut copy = Request::new(RequestBody::whole(content.clone()));
        copy.method_mut().clone_from(&parts.method);
        copy.uri_mut().clone_from(&parts.uri);
        copy.headers_mut().clone_from(&parts.headers);
        let scope = Rc::clone(record.scope());
        let upstream = Arc::clone(upstream);
        let bell = record.fired(by).bell();
        record.scope().tasks.spawn_local(async move {
            tokio::select! {
                () = scope.timer.sleep(copies.gap * number) => {}
                () = bell.released() => return,
            }
            match scope.pool.send(copy, &upstream, |_| {}).await {
                Ok(sent) => sent.forget(&scope.pool).await,
                Err(error) => tracing::debug!(%error, "a copy of a request was not answered"),
            }
        });
    }
    Ok((RequestBody::whole(content), UploadProgress::default()))
}

/// Waits, ends the exchange or changes the answer, as `later` says. `asked` is the request's head, for an answer
/// in the upstream's place.
pub(crate) async fn after_upstream(
    later: Later,
    mut response: Response<ResponseBody>,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response<ResponseBody>, Cut> {
    let Later {
        request: _,
        upload: _,
        copies: _,
        delays,
        ending,
        answer,
        mut shapes,
        keep,
    } = later;
    for delay in delays {
        inject::wait(delay, response.body_mut().record_mut()).await?;
    }
    match ending {
        None => {}
        Some((by, Ending::Answer(answer))) => {
            inject::answer_instead(&mut response, by, &answer, asked);
            return Ok(response);
        }
        Some((by, Ending::Malformed(how))) => return Err(malformed::send(how, by, response).await),
        Some((by, Ending::Reset)) => {
            response.body_mut().record_mut().withheld_by_fault(by);
            return Err(inject::reset(by, response.body().record()).await);
        }
        // The request is read by now; what is left of it is read on while the connection closes.
        Some((by, Ending::Close | Ending::Hang { .. })) => {
            response.body_mut().record_mut().withheld_by_fault(by);
            response.body().record().client().linger_on_close();
            return Err(Cut);
        }
    }
    // What another fault changes is not the upstream's answer any more.
    let keep = keep.filter(|_| answer.is_empty() && Keep::takes(method, response.status()));
    for (by, change) in &answer {
        let body_changed = change_answer(change, &mut response, method).await;
        let record = response.body_mut().record_mut();
        if body_changed {
            record.acts(*by);
        } else {
            record.passes(*by);
        }
    }
    let length = body_length(&response);
    shapes.retain(|(by, shape)| {
        let reaches = length.is_none_or(|length| shape.reaches(length));
        if !reaches {
            response.body_mut().record_mut().passes(*by);
        }
        reaches
    });
    if shapes.is_empty() && keep.is_none() {
        return Ok(response);
    }
    let mut shaper = ShapedResponse::new(shapes, length, response.body_mut().record_mut());
    if let Some(keep) = keep {
        shaper.keep(keep, response.status(), response.headers().clone());
    }
    if let (Some(new_length), Some(length)) = (shaper.new_length(), length)
        && response.headers().contains_key(header::CONTENT_LENGTH)
    {
        let shown = HeaderValue::from(new_length.min(length));
        response.headers_mut().insert(header::CONTENT_LENGTH, shown);
    }
    response.body_mut().set_shaper(shaper);
    Ok(response)
}

fn body_length(response: &Response<ResponseBody>) -> Option<u64> {
    response.body().size_hint().exact()
}

/// Changes the answer. Whether its body was.
async fn change_answer(
    change: &Change,
    response: &mut Response<ResponseBody>,
    method: &Method,
) -> bool {
    if let Some(status) = change.status {
        *response.status_mut() = status;
        response.body_mut().record_mut().changed_by_fault(status);
        response
            .extensions_mut()
            .remove::<hyper::ext::ReasonPhrase>();
    }
    let body_changed = match &change.body {
        Some(body) if *method != Method::HEAD => change_body(body, response).await,
        Some(_) | None => false,
    };
    change.apply_to(response.headers_mut());
    body_changed
}

/// Changes the body, or leaves it untouched. Whether it did.
async fn change_body(change: &BodyChange, response: &mut Response<ResponseBody>) -> bool {
    if !change.needs_json() {
        let Some(changed) = change.apply(&[]) else {
            return false;
        };
        set_content(response, changed);
        return true;
    }
    let lower = response.body().size_hint().lower();
    let fits = lower <= Change::PATCHED_BYTES_MAX as u64;
    if !fits || !BodyChange::may_be_json(response.headers()) {
        return false;
    }
    let Some(body) = response.body_mut().gather(Change::PATCHED_BYTES_MAX).await else {
        return false;
    };
    match change.apply(&body.content) {
        Some(changed) => {
            set_content(response, changed);
            true
        }
        None => {
            response.body_mut().put_back(body);
            false
        }
    }
}

fn set_content(response: &mut Response<ResponseBody>, content: Bytes) {
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::TRAILER,
    ] {
        response.headers_mut().remove(name);
    }
    response.body_mut().set_content(content);
}
