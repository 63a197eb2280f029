//! Carrying out what was decided: the one place that waits, answers, hangs and disconnects.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use brownout_fault::{Answer, Delay, Ending, Since, Then};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::sleep;

use crate::{
    body::ResponseBody,
    error::Cut,
    limits::{DRAIN, GRACE, UNWANTED_BYTES_MAX, UNWANTED_TIME_MAX},
    record::Record,
    timer::later,
};

/// Marks an answer that a fault made.
const FAULT_HEADER: HeaderName = HeaderName::from_static("x-brownout-fault");

/// What is left to do with a request after the faults before the upstream.
pub(crate) enum Next {
    Forward,
    /// Answer in the upstream's place, on behalf of the fault with this index.
    Answer(usize, Arc<Answer>),
}

/// Waits, and ends the exchange if a fault says so. `request` is read only by an ending that reads it whole.
pub(crate) async fn before_upstream(
    delays: &[Delay],
    ending: Option<(usize, Ending)>,
    request: &mut Incoming,
    may_read: bool,
    record: &mut Record,
) -> Result<Next, Cut> {
    for delay in delays {
        wait(*delay, record).await?;
    }
    match ending {
        None => Ok(Next::Forward),
        Some((by, Ending::Answer(answer))) => Ok(Next::Answer(by, answer)),
        Some((by, Ending::Reset)) => {
            record.cut_by_fault(by);
            Err(reset(by, record).await)
        }
        Some((by, Ending::Close)) => {
            if may_read && !read_all(request).await {
                record.client().linger_on_close();
            }
            record.cut_by_fault(by);
            Err(Cut)
        }
        Some((by, Ending::Hang { hold, then })) => {
            hang(by, hold, request, may_read, record).await?;
            record.cut_by_fault(by);
            Err(match then {
                Then::Reset => reset(by, record).await,
                Then::Close => Cut,
            })
        }
        // There is no answer yet that could be malformed.
        Some((_, Ending::Malformed(_))) => Ok(Next::Forward),
    }
}

/// Holds the exchange, until its time is over or its fault is removed.
pub(crate) async fn wait(delay: Delay, record: &mut Record) -> Result<(), Cut> {
    let began = Instant::now();
    let left_over = match delay.since {
        Since::Now => delay.span,
        Since::Arrival => (delay.span).saturating_sub(began - record.started()),
    };
    let span = record.hold(delay.by, began);
    let timer = record.scope().timer.clone();
    let ended = {
        let fired = record.fired(delay.by);
        tokio::select! {
            () = timer.at(later(began, left_over)) => Held::Whole,
            () = fired.released() => Held::Released,
            () = record.client().left() => Held::ClientLeft,
        }
    };
    span.end();
    let asked = (ended == Held::Whole).then_some(left_over);
    finish(ended, asked, record)
}

/// Lets a request go on whose hold is over, if its client is still there.
fn finish(ended: Held, asked: Option<Duration>, record: &mut Record) -> Result<(), Cut> {
    match ended {
        Held::Whole | Held::Released => {
            record.let_go(asked);
            Ok(())
        }
        Held::ClientLeft => Err(Cut),
    }
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Whole,
    Released,
    ClientLeft,
}

/// Reads the request whole and answers nothing, until the hold is over or the fault is removed.
async fn hang(
    by: usize,
    hold: Option<Duration>,
    request: &mut Incoming,
    may_read: bool,
    record: &mut Record,
) -> Result<(), Cut> {
    let began = Instant::now();
    let span = record.hold(by, began);
    let timer = record.scope().timer.clone();
    let held = async {
        match hold {
            Some(hold) => timer.at(later(began, hold)).await,
            None => std::future::pending().await,
        }
    };
    let swallow = async {
        // An expected 100 is never sent, and asking for the body would send it.
        while may_read && request.frame().await.is_some_and(|frame| frame.is_ok()) {}
        std::future::pending::<()>().await;
    };
    let ended = {
        let fired = record.fired(by);
        tokio::select! {
            () = held => Held::Whole,
            () = fired.released() => Held::Released,
            () = record.client().left() => Held::ClientLeft,
            () = swallow => Held::Whole,
        }
    };
    span.end();
    let asked = hold.filter(|_| ended == Held::Whole);
    finish(ended, asked, record)
}

/// Lets what was sent before arrive, then makes the close a reset. A fault that is removed waits no longer.
pub(crate) async fn reset(by: usize, record: &Record) -> Cut {
    let fired = record.fired(by);
    tokio::select! {
        () = record.client().settled(DRAIN) => {}
        () = async { fired.released().await; sleep(GRACE).await } => {}
    }
    record.client().reset_on_close();
    Cut
}

/// Makes `response` the answer that a fault gives in the upstream's place. `asked` is the request's head.
pub(crate) fn answer_instead(
    response: &mut Response<ResponseBody>,
    by: usize,
    answer: &Answer,
    asked: &HeaderMap,
) {
    let record = response.body_mut().record_mut();
    record.answered_by_fault(answer.status);
    let marker = record.fired(by).marker().cloned();
    let content = answer.body(asked);
    *response.status_mut() = answer.status;
    let fields = response.headers_mut();
    fields.clear();
    for (name, value) in &answer.headers {
        fields.append(name.clone(), value.clone());
    }
    if let Some((Some(content_type), _)) = &content {
        fields.insert(header::CONTENT_TYPE, content_type.clone());
    }
    if let Some(marker) = marker {
        fields.insert(FAULT_HEADER, marker);
    }
    if let Some(after) = answer.retry_date {
        fields.insert(header::RETRY_AFTER, date_after(SystemTime::now(), after));
    }
    // What hyper keeps of the upstream's answer, such as its reason, is not of this one.
    response.extensions_mut().clear();
    let content = content.map(|(_, body)| body).unwrap_or_default();
    response.body_mut().set_content(content);
}

/// The HTTP date (RFC 9110 §5.6.7) at which `after` is over: rounded up, so that who waits until then is not early.
fn date_after(now: SystemTime, after: Duration) -> HeaderValue {
    const LESS_THAN_A_SECOND: Duration = Duration::from_nanos(999_999_999);
    let date = httpdate::fmt_http_date(now + after + LESS_THAN_A_SECOND);
    HeaderValue::try_from(date).expect("a date is plain ASCII")
}

/// Reads and forgets a request, within bounds. Whether that was all of it.
async fn read_all(request: &mut Incoming) -> bool {
    let mut bytes_left = UNWANTED_BYTES_MAX;
    let read = async {
        while let Some(frame) = request.frame().await {
            let Ok(frame) = frame else { return true };
            let read = frame.data_ref().map_or(0, bytes::Bytes::len);
            if read > bytes_left {
                return false;
            }
            bytes_left -= read;
        }
        true
    };
    tokio::time::timeout(UNWANTED_TIME_MAX, read)
        .await
        .unwrap_or(false)
}

/// Reads and forgets the rest of a request that was answered without it, so that the connection can be used
/// again: at most 1 MiB or one second, then the close lingers.
pub(crate) fn discard(mut request: Incoming, record: &Record) {
    if request.is_end_stream() {
        return;
    }
    let client = Arc::clone(record.client());
    tokio::task::spawn_local(async move {
        if !read_all(&mut request).await {
            client.linger_on_close();
        }
    });
}
