//! The end of a phase: waiting for what began in it, and counting it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Halt, LOOK, READ_SLACK, Story};
use crate::run::{
    Event, HopSummary, PhaseKind, PhaseRecord, RunError, TailRecord,
    recording::{Span, exact},
    services::between,
};

/// How long the services may take to finish once the faults of a phase with a tail are removed.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

impl Story<'_> {
    /// Ends the time of a phase now, and waits for what began in it.
    pub(super) async fn close(&mut self, phase: &str, from: u64) -> Result<Span, Halt> {
        let to = self.shared.now();
        self.close_at(phase, from, to, None).await
    }

    pub(super) async fn close_at(
        &mut self,
        phase: &str,
        from: u64,
        to: u64,
        tail: Option<TailRecord>,
    ) -> Result<Span, Halt> {
        // A span has a length, also where nothing happened in it.
        let span = Span {
            from,
            to: to.max(from + 1),
        };
        let limit = Instant::now() + self.experiment.load.timeout + Duration::from_secs(1);
        loop {
            let waits = self.shared.recording().is_waiting_for_pages_before(to);
            let counted = self.shared.now() >= to + READ_SLACK / 2;
            if (!waits && counted) || Instant::now() >= limit {
                break;
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Halt::Interrupted),
                () = sleep(LOOK / 4) => {}
            }
        }
        if tail.is_some() {
            self.settle().await?;
        }
        // What routes carried after the load had left belongs to the phase.
        let routes = Span {
            to: if tail.is_some() {
                self.shared.now()
            } else {
                span.to
            },
            ..span
        };
        self.read_calls().await;
        if let Some(last) = self.spans.last_mut() {
            (last.span, last.routes_to) = (span, routes.to);
        }
        let hops = self.summaries(span, routes);
        let now = self.services.callers().await;
        let callers = between(&self.counted, &now);
        self.counted = now;
        self.phases.push(PhaseRecord {
            name: phase.to_owned(),
            kind: PhaseKind::Fault,
            from_ms: from / 1_000,
            to_ms: Some(to / 1_000),
            hops: hops.clone(),
            callers: callers.clone(),
            tail: tail.clone(),
        });
        self.say(&Event::PhaseEnded {
            phase: phase.to_owned(),
            at_ms: to / 1_000,
            hops,
            callers,
            tail,
        });
        Ok(span)
    }

    /// Waits until no service has anything to do, for at most [`SETTLE_LIMIT`], so that what they count agrees. A request may
    /// be on its way between two services while both are looked at: one look is not enough.
    async fn settle(&mut self) -> Result<(), Halt> {
        let limit = Instant::now() + SETTLE_LIMIT;
        let mut idle = 0;
        while idle < 2 && Instant::now() < limit {
            let all = self.services.ask().await;
            let all = all.map_err(|source| RunError::Stats { source })?;
            let is_busy = all.iter().any(|(_, it)| it.is_busy());
            idle = if is_busy { 0 } else { idle + 1 };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Halt::Interrupted),
                () = sleep(LOOK / 2) => {}
            }
        }
        // The last look at the routes is behind what they carried.
        sleep(LOOK * 2).await;
        if idle < 2 {
            let text = "services were still busy when they were counted: counts need not agree";
            self.say(&Event::Note {
                text: text.to_owned(),
            });
        }
        Ok(())
    }

    pub(super) fn summaries(&self, span: Span, of_routes: Span) -> Vec<HopSummary> {
        let recording = self.shared.recording();
        let asked = self.experiment.load.asked();
        let is_asked = |route: &&String| asked.iter().any(|(_, name)| name == route);
        let routes = self.hops.iter().filter(|it| !is_asked(it));
        let routes = routes.filter_map(|it| {
            let mut summary = recording.route_summary(it, of_routes)?;
            // The journal knows when each call began; counters are read ten times a second.
            if let Some(count) = self.calls.count(it, of_routes) {
                summary.requests = count.calls;
                summary.error_rate = count.error_rate();
                summary.mean_ms = count.mean_ms();
                summary.rate = exact(count.calls as f64 / span.seconds().max(1e-6));
            }
            Some(summary)
        });
        let pages = asked.iter();
        let pages = pages.map(|(asked, name)| recording.of(*asked).summary(name, span));
        pages.chain(routes).collect()
    }
}
