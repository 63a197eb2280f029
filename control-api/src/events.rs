//! `/events`: what happens, as server-sent events (WHATWG HTML §9.2).

mod live;

use std::{collections::VecDeque, convert::Infallible, future::pending, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use brownout_fault::read::Problem;
use brownout_wire::EventRecord;
use futures_util::stream::unfold;
use tokio_util::sync::CancellationToken;

use self::live::{EndedRequests, Live, RouteCounts};
use crate::{control::Shared, extract::Query, ops::Listener, problem::ApiError, words::unknown};

/// A comment goes out when nothing else has for so long, so that a reader that has left is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `GET /events?after=&include=`: those behind the one with this number, or `Last-Event-ID`; without either those from now on.
pub(crate) async fn listen(
    State(control): State<Shared>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let [after, include] = query.only(&["after", "include"])?;
    let include = included(include.as_deref().unwrap_or_default())?;
    let after = match after {
        None => {
            let last = headers.get("last-event-id");
            last.and_then(|id| id.to_str().ok()?.parse().ok())
        }
        Some(text) => Some(text.parse().map_err(|_| {
            ApiError::invalid(Problem {
                pointer: "?after".to_owned(),
                detail: "is no whole number from 0 on".to_owned(),
            })
        })?),
    };
    let listener = control.ops.listen(after)?;
    let requests = match include.requests {
        true => Some(EndedRequests::from_now(&control).await?),
        false => None,
    };
    let stats = match include.stats {
        true => Some(RouteCounts::from_now(&control).await?),
        false => None,
    };
    let begin = Stream {
        ready: VecDeque::from([Arc::new(listener.clock())]),
        listener,
        requests,
        stats,
        stop: control.stop.clone(),
        control,
    };
    let events = unfold(begin, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(written(&event)), stream))
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

/// What a reader asks for besides what happens to faults, routes and leases.
#[derive(Debug, Clone, Copy, Default)]
struct Included {
    requests: bool,
    stats: bool,
}

fn included(words: &str) -> Result<Included, ApiError> {
    let mut included = Included::default();
    for word in words.split(',').filter(|it| !it.is_empty()) {
        match word {
            EventRecord::REQUEST => included.requests = true,
            EventRecord::STATS => included.stats = true,
            other => {
                return Err(ApiError::invalid(Problem {
                    pointer: "?include".to_owned(),
                    detail: unknown("sort of event", other, &EventRecord::INCLUDES),
                }));
            }
        }
    }
    Ok(included)
}

/// What one reader is given. It is asked for more only when the reader has taken what came before: who is slow loses what
/// the rings no longer keep, and slows nothing.
struct Stream {
    ready: VecDeque<Arc<EventRecord>>,
    listener: Listener,
    requests: Option<EndedRequests>,
    stats: Option<RouteCounts>,
    stop: CancellationToken,
    control: Shared,
}

impl Stream {
    /// The next event; `None` when the API stops.
    async fn next(&mut self) -> Option<Arc<EventRecord>> {
        while self.ready.is_empty() {
            let Self {
                ready,
                listener,
                requests,
                stats,
                stop,
                control,
            } = self;
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                events = listener.next() => ready.extend(events),
                told = next_of(stats.as_mut(), control) => ready.extend(told?),
                told = next_of(requests.as_mut(), control) => ready.extend(told?),
            }
        }
        self.ready.pop_front()
    }
}

/// The next events of a source; never any where there is none. `None` when the API stops.
async fn next_of(
    source: Option<&mut impl Live>,
    control: &Shared,
) -> Option<Vec<Arc<EventRecord>>> {
    match source {
        Some(source) => {
            source.wait().await;
            let told = source.read(control).await.ok()?;
            Some(told.into_iter().map(Arc::new).collect())
        }
        None => pending().await,
    }
}

fn written(event: &EventRecord) -> Event {
    let data = serde_json::to_string(event).unwrap_or_default();
    let written = Event::default().event(&event.event).data(data);
    match event.seq {
        Some(seq) => written.id(seq.to_string()),
        None => written,
    }
}
