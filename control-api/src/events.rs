//! `/events`: what happens, as server-sent events (WHATWG HTML §9.2).

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

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

use crate::{control::Shared, extract::Query, ops::Listener, problem::ApiError};

/// A comment goes out when nothing else has for so long, so that a reader that has left is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `GET /events?after=`: those behind the one with this number, or `Last-Event-ID`; without either those from now on.
pub(crate) async fn listen(
    State(control): State<Shared>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let [after] = query.only(&["after"])?;
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
    let begin = Stream {
        ready: VecDeque::from([Arc::new(listener.clock())]),
        listener,
        stop: control.stop.clone(),
    };
    let events = unfold(begin, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(written(&event)), stream))
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

struct Stream {
    ready: VecDeque<Arc<EventRecord>>,
    listener: Listener,
    stop: CancellationToken,
}

impl Stream {
    /// The next event; `None` when the API stops.
    async fn next(&mut self) -> Option<Arc<EventRecord>> {
        while self.ready.is_empty() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                events = self.listener.next() => self.ready.extend(events),
            }
        }
        self.ready.pop_front()
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
