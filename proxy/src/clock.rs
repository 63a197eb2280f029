//! Whom an exchange's time is spent on: at each moment one of four, so that the parts sum to the whole.

use std::{
    cell::Cell,
    future::poll_fn,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Who is to blame for the time that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The proxy works, or waits for its own core.
    Own,
    /// The upstream: connecting, its answer, or that it takes the request.
    Upstream,
    /// A fault holds the exchange.
    Fault,
    /// The client does not take what there is, or its body is waited for.
    Client,
}

/// The time of one exchange by [`Part`]. Shared by the two directions of the exchange.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    now: Cell<(Part, Instant)>,
    spent: Cell<[Duration; 4]>,
    /// The answer has begun: from then on its direction alone says whose time it is.
    is_answering: Cell<bool>,
    /// The direction of the request waits for content, or a fault holds it: as long as there is no answer, that is why.
    sending_waits: Cell<bool>,
    /// Grows with each step of the direction of the request.
    sending_steps: Cell<u64>,
}

/// What a [`Clock`] has measured. `own` is the rest, so the four sum to `whole`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) whole: Duration,
    pub(crate) upstream: Duration,
    pub(crate) fault: Duration,
    pub(crate) client: Duration,
    pub(crate) own: Duration,
}

impl Times {
    /// The words for the parts, in the order of [`parts`](Self::parts).
    pub(crate) const PARTS: [&'static str; 4] = ["upstream", "fault", "client", "own"];

    pub(crate) fn parts(&self) -> [Duration; 4] {
        [self.upstream, self.fault, self.client, self.own]
    }
}

impl Clock {
    pub(crate) fn start(started: Instant) -> Self {
        Self {
            started,
            now: Cell::new((Part::Own, started)),
            spent: Cell::default(),
            is_answering: Cell::new(false),
            sending_waits: Cell::new(false),
            sending_steps: Cell::new(0),
        }
    }

    /// When the request's head had arrived.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// When it last became somebody else's time. Since then this exchange has not waited, so it is hardly past.
    pub(crate) fn last_turn(&self) -> Instant {
        self.now.get().1
    }

    /// Time from now on is spent on `part`. Gives the time.
    pub(crate) fn enter(&self, part: Part) -> Instant {
        let now = Instant::now();
        self.spent.set(self.spent_until(now));
        self.now.set((part, now));
        now
    }

    /// What was spent on each part. [`Part::Own`] is what the others leave, so it is not counted.
    fn spent_until(&self, now: Instant) -> [Duration; 4] {
        let (part, since) = self.now.get();
        let mut spent = self.spent.get();
        if part != Part::Own {
            spent[part as usize] += now.saturating_duration_since(since);
        }
        spent
    }

    /// From now on only the answer's direction says whose time it is.
    pub(crate) fn answering(&self) {
        self.is_answering.set(true);
        self.sending_waits.set(false);
    }

    /// A fault holds the direction of the request.
    pub(crate) fn sending_is_held(&self) {
        if !self.is_answering.get() {
            self.sending_waits.set(true);
            self.enter(Part::Fault);
        }
    }

    /// The direction of the request waits no longer: now it is the upstream's turn, until its answer has begun.
    pub(crate) fn sending_goes_on(&self) {
        self.sending_waits.set(false);
        if !self.is_answering.get() {
            self.enter(Part::Upstream);
        }
    }

    /// A number that grows with each step of the direction of the request.
    pub(crate) fn sending_steps(&self) -> u64 {
        self.sending_steps.get()
    }

    /// The measured times up to `now`.
    pub(crate) fn times(&self, now: Instant) -> Times {
        let [_, upstream, fault, client] = self.spent_until(now);
        let whole = now.saturating_duration_since(self.started);
        Times {
            whole,
            upstream,
            fault,
            client,
            own: whole.saturating_sub(upstream + fault + client),
        }
    }

    /// Waits for `poll`. Time until it is ready, if it is not at once, is spent on `part`.
    pub(crate) async fn during<T>(
        &self,
        part: Part,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> T {
        let mut has_waited = false;
        let done = poll_fn(|cx| {
            let polled = poll(cx);
            if polled.is_pending() && !has_waited {
                has_waited = true;
                if !self.sending_waits.get() {
                    self.enter(part);
                }
            }
            polled
        });
        let done = done.await;
        if has_waited {
            self.enter(Part::Own);
        }
        done
    }

    /// As [`during`](Self::during), for the direction of the request: while its body is waited for that is the client's
    /// time, and the upstream's again afterwards, until the answer has begun.
    pub(crate) async fn while_sending<T>(
        &self,
        part: Part,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> T {
        let mut has_waited = false;
        let done = poll_fn(|cx| {
            let polled = poll(cx);
            if polled.is_pending() && !has_waited && !self.is_answering.get() {
                has_waited = true;
                self.sending_waits.set(part == Part::Client);
                self.enter(part);
            }
            polled
        });
        let done = done.await;
        if has_waited {
            self.sending_goes_on();
        }
        self.sending_steps.set(self.sending_steps.get() + 1);
        done
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_parts_sum_to_the_whole() {
        let started = Instant::now();
        let clock = Clock::start(started);
        clock.enter(Part::Upstream);
        clock.enter(Part::Fault);
        clock.enter(Part::Client);
        let end = clock.enter(Part::Own) + Duration::from_millis(5);

        let times = clock.times(end);

        assert_eq!(
            times.upstream + times.fault + times.client + times.own,
            times.whole
        );
        assert!(times.own >= Duration::from_millis(5));
    }

    #[test]
    fn what_is_ready_at_once_costs_nobody_time() {
        let clock = Clock::start(Instant::now());

        clock
            .during(Part::Client, |_| Poll::Ready(()))
            .now_or_never();

        assert_eq!(clock.times(Instant::now()).client, Duration::ZERO);
    }
}
