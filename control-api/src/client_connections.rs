//! `/connections`: the clients' connections to the routes. Those of the API itself are in `connections`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use brownout_proxy::{Connection, ConnectionEnd as Ended, Journal, JournalQuery};
use brownout_wire::{ConnectionEnd, ConnectionList, ConnectionRecord};

use crate::{
    answer::Json,
    control::Shared,
    extract::Query,
    off_thread::off_thread,
    problem::ApiError,
    requests::{Asked, journal_of, unix_micros},
};

/// `GET /connections?route=&state=&after=&limit=`.
pub(crate) async fn list(
    State(control): State<Shared>,
    query: Query,
) -> Result<Response, ApiError> {
    let [route, state, after, limit] = query.only(&["route", "state", "after", "limit"])?;
    let asked = Asked {
        route,
        fault: None,
        state,
        after,
        limit,
    };
    let query = asked.read()?;
    off_thread(&control, move |ops| {
        let journal = journal_of(ops, query.route.as_deref())?;
        Ok(Json(answer(journal, &query)).into_response())
    })
    .await
}

fn answer(journal: &Journal, query: &JournalQuery) -> ConnectionList {
    let page = journal.connections(query);
    let connections = page.open.into_iter().chain(page.ended);
    ConnectionList {
        connections: connections.map(|it| record(it, page.now)).collect(),
        now_us: page.now,
        began_unix_us: unix_micros(journal.began_at()),
        next: page.next,
        more: page.has_more,
        lost: page.lost,
    }
}

fn record(connection: Connection, now: u64) -> ConnectionRecord {
    let until = connection.t_close.unwrap_or(now);
    let is_idle = connection.t_close.is_none() && !connection.is_busy;
    let idle = match is_idle {
        true => now.saturating_sub(connection.idle_since),
        false => 0,
    };
    ConnectionRecord {
        conn: connection.number,
        seq: (connection.seq > 0).then_some(connection.seq),
        route: connection.route,
        peer: connection.peer,
        t_open: connection.t_open,
        t_close: connection.t_close,
        age_us: until.saturating_sub(connection.t_open),
        requests: connection.requests,
        busy: connection.is_busy,
        longest_idle_us: connection.longest_idle.max(idle),
        end: match connection.end {
            Ended::StillOpen => ConnectionEnd::StillOpen,
            Ended::ClientFin => ConnectionEnd::ClientFin,
            Ended::ClientRst => ConnectionEnd::ClientRst,
            Ended::ProxyFin => ConnectionEnd::ProxyFin,
            Ended::ProxyRst => ConnectionEnd::ProxyRst,
            Ended::Unknown => ConnectionEnd::Unknown,
        },
    }
}
