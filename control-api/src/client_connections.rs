//! `/connections`: the clients' connections to the routes. Those of the API itself are in `connections`.

use std::{collections::HashMap, net::SocketAddr};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use brownout_fault::State as FaultState;
use brownout_proxy::{Connection, ConnectionEnd as Ended, Journal, JournalQuery};
use brownout_wire::{ConnectionEnd, ConnectionList, ConnectionRecord};

use crate::{
    answer::Json,
    control::Shared,
    extract::Query,
    off_thread::off_thread,
    ops::{Armed, Filter, Ops},
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
        Ok(Json(answer(ops, journal, &query)).into_response())
    })
    .await
}

fn answer(ops: &Ops, journal: &Journal, query: &JournalQuery) -> ConnectionList {
    let page = journal.connections(query);
    let mut by_route: HashMap<String, Vec<Armed>> = HashMap::new();
    let open = page.open.into_iter().map(|connection| {
        let faults = by_route
            .entry(connection.route.clone())
            .or_insert_with_key(|route| {
                let on_it = Filter {
                    route: Some(route.clone()),
                    ..Filter::default()
                };
                ops.faults(&on_it)
            });
        let faults = in_force(faults, connection.peer);
        record(connection, page.now, faults)
    });
    let open: Vec<ConnectionRecord> = open.collect();
    let ended = page.ended.into_iter();
    let ended = ended.map(|connection| record(connection, page.now, Vec::new()));
    ConnectionList {
        connections: open.into_iter().chain(ended).collect(),
        now_us: page.now,
        began_unix_us: unix_micros(journal.began_at()),
        next: page.next,
        more: page.has_more,
        lost: page.lost,
    }
}

/// The faults of its route that are active and take this client.
fn in_force(faults: &[Armed], peer: Option<SocketAddr>) -> Vec<String> {
    const FAULTS_MAX: usize = 100;
    let takes = |armed: &&Armed| {
        let clients = &armed.status.spec.matching.client;
        let is_one = |peer: SocketAddr| clients.iter().any(|it| it.contains(peer.ip()));
        armed.status.state == FaultState::Active && (clients.is_empty() || peer.is_some_and(is_one))
    };
    let those = faults.iter().filter(takes).take(FAULTS_MAX);
    those.map(|armed| armed.status.id.clone()).collect()
}

fn record(connection: Connection, now: u64, faults: Vec<String>) -> ConnectionRecord {
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
        bytes_in: connection.bytes_in,
        bytes_out: connection.bytes_out,
        faults,
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
