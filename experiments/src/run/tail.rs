//! The tail: what goes on after the load has left, for nobody.

use std::time::Duration;

use super::{TailRecord, recording::exact};
use crate::stats::ServiceStats;

/// What was seen of a service since the load left.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    /// When it was last seen with something to do.
    busy_until: Duration,
    waiting: u64,
    /// How many requests it had done when it was first looked at.
    done_first: Option<u64>,
    /// How many it has done since, and in what time.
    done: u64,
    elapsed: Duration,
}

impl Tail {
    pub(super) fn saw(&mut self, elapsed: Duration, service: &ServiceStats) {
        let done_first = *self.done_first.get_or_insert(service.done());
        self.done = service.done().saturating_sub(done_first);
        self.waiting = service.waiting();
        self.elapsed = elapsed;
        if service.is_busy() {
            self.busy_until = elapsed;
        }
    }

    /// It is over.
    pub(super) fn ended(&self, of: &str) -> TailRecord {
        TailRecord {
            of: of.to_owned(),
            seconds: exact(self.busy_until.as_secs_f64()),
            ended: true,
            still_waiting: 0,
            estimated_rest_seconds: None,
        }
    }

    /// It is not, but nobody waits for it any longer.
    pub(super) fn cut(&self, of: &str) -> TailRecord {
        TailRecord {
            of: of.to_owned(),
            seconds: exact(self.elapsed.as_secs_f64()),
            ended: false,
            still_waiting: self.waiting,
            estimated_rest_seconds: self.rest_seconds(),
        }
    }

    /// How long what is waiting would take at the pace that was seen; `None` if none was.
    fn rest_seconds(&self) -> Option<f64> {
        if self.done == 0 {
            return None;
        }
        Some(exact(
            self.elapsed.as_secs_f64() / self.done as f64 * self.waiting as f64,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(done: u64, queued: u64, running: u64) -> ServiceStats {
        ServiceStats {
            answered: 1,
            abandoned: done,
            queued,
            running,
            ..ServiceStats::default()
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_tail_lasts_until_the_last_look_at_something_to_do() {
        let mut tail = Tail::default();
        tail.saw(seconds(0), &seen(0, 3, 8));
        tail.saw(seconds(1), &seen(11, 0, 0));
        tail.saw(seconds(2), &seen(11, 0, 1)); // A page that nobody waits for has called it.
        tail.saw(seconds(3), &seen(12, 0, 0));

        let report = tail.ended("up");

        assert_eq!(report.seconds, 2.0);
        assert!(report.ended);
        assert_eq!(report.estimated_rest_seconds, None);
    }

    #[test]
    fn the_rest_is_estimated_from_the_pace() {
        let mut tail = Tail::default();
        tail.saw(seconds(0), &seen(5, 300, 8));
        tail.saw(seconds(20), &seen(25, 280, 8));

        let report = tail.cut("up");

        assert_eq!(report.seconds, 20.0);
        assert!(!report.ended);
        assert_eq!(report.still_waiting, 288);
        assert_eq!(report.estimated_rest_seconds, Some(288.0)); // 20 in 20 s.
    }

    #[test]
    fn without_a_pace_there_is_no_estimate() {
        let mut tail = Tail::default();
        tail.saw(seconds(0), &seen(5, 300, 8));
        tail.saw(seconds(20), &seen(5, 300, 8));

        assert_eq!(tail.cut("up").estimated_rest_seconds, None);
    }
}
