//! The listening sockets of routes: bound here, handed to the cores, and closed and opened as faults say.

use std::{io, sync::Arc, time::Instant};

use brownout_fault::{AtListener, FaultPlan};
use tokio_util::sync::CancellationToken;

use super::{Entry, RouteError, Shared};
use crate::{
    listener::{ListenAddress, Listener, Listening, Serve},
    route::Route,
};

/// A route that accepts connections. Dropping it refuses new ones at once and ends those that are idle.
pub(super) struct Open {
    /// `None` while new connections are refused.
    pub(super) accepting: Option<Accepting>,
    closing: CancellationToken,
    route: Arc<Route>,
}

/// Listening sockets that nobody accepts from yet: clients wait in the kernel's queue.
pub(super) struct Bound {
    pub(super) listening: Listening,
    /// One for each core.
    sockets: Vec<Listener>,
}

/// Listening sockets and those who accept from them. Dropping it refuses new connections at once.
pub(super) struct Accepting {
    pub(super) listening: Listening,
    token: CancellationToken,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.closing.cancel();
        self.route.closes();
    }
}

impl Shared {
    pub(super) fn bind(&self, address: ListenAddress) -> Result<Bound, RouteError> {
        if self.stop.is_cancelled() {
            return Err(RouteError::ShuttingDown);
        }
        let listening = Listening::bind(address.clone(), self.cores.len());
        let bound = listening.and_then(|listening| {
            let sockets = listening.listeners()?;
            Ok(Bound { listening, sockets })
        });
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => RouteError::AddressTaken { address },
            _ => RouteError::Listen { address, source },
        })
    }

    pub(super) fn open(&self, route: &Arc<Route>, bound: Bound) -> Result<Open, RouteError> {
        let closing = self.stop.child_token();
        Ok(Open {
            accepting: Some(self.accept(route, bound, &closing)?),
            closing,
            route: Arc::clone(route),
        })
    }

    /// Hands the listeners to the cores.
    fn accept(
        &self,
        route: &Arc<Route>,
        Bound { listening, sockets }: Bound,
        closing: &CancellationToken,
    ) -> Result<Accepting, RouteError> {
        let token = closing.child_token();
        for (index, (core, listener)) in self.cores.iter().zip(sockets).enumerate() {
            let serve = Serve {
                route: Arc::clone(route),
                listener,
                closing: closing.clone(),
                accepting: token.clone(),
                faults: self.faults.clone(),
                tracer: self.tracer.clone(),
                journal: self
                    .journal
                    .as_ref()
                    .and_then(|journal| journal.core(index)),
                connections: Arc::clone(&self.connections),
                hops: Arc::clone(&self.hops),
                resolver: self.resolver.clone(),
                client_timeouts: self.client_timeouts,
            };
            if core.send(serve).is_err() {
                return Err(RouteError::ShuttingDown);
            }
        }
        Ok(Accepting { listening, token })
    }

    /// Closes and opens listeners as what is armed says.
    pub(super) fn follow(&self, plan: &FaultPlan) {
        for entry in self.lock().values_mut() {
            self.follow_at_listener(entry, plan);
        }
    }

    pub(super) fn follow_at_listener(&self, entry: &mut Entry, plan: &FaultPlan) {
        entry.route.follow(plan);
        let Some(open) = &mut entry.open else { return };
        let name = entry.route.name();
        let now = Instant::now();
        let wanted = plan.at_listener(name, now);
        let note = |what| {
            let counted = plan.note_at_listener(name, what, now);
            entry.route.count_outcomes(&counted);
        };
        match (wanted, &mut open.accepting) {
            (Some(refuse @ AtListener::Refuse), Some(_)) => {
                open.accepting = None;
                note(refuse);
            }
            (Some(AtListener::Refuse), None) => {}
            (Some(AtListener::Ignore) | None, None) => {
                let bound = self.bind(entry.address.clone());
                let accepting =
                    bound.and_then(|bound| self.accept(&entry.route, bound, &open.closing));
                match accepting {
                    Ok(accepting) => {
                        let accepting = open.accepting.insert(accepting);
                        if let Some(ignore @ AtListener::Ignore) = wanted
                            && accepting.listening.ignore(true)
                        {
                            note(ignore);
                        }
                    }
                    // Somebody took the address meanwhile; the next change tries again.
                    Err(error) => tracing::error!(%error, route = name, "could not listen again"),
                }
            }
            (Some(ignore @ AtListener::Ignore), Some(accepting)) => {
                if accepting.listening.ignore(true) {
                    note(ignore);
                }
            }
            (None, Some(accepting)) => {
                accepting.listening.ignore(false);
            }
        }
    }
}
