//! When the memory of connections that ended is given back to the system.

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

/// The connections of one core: how many there were at most.
#[derive(Debug)]
pub(crate) struct Crowd {
    connections: TaskTracker,
    most: Cell<usize>,
}

impl Crowd {
    /// Fewer are not worth the work.
    const LEAST: usize = 256;

    pub(crate) fn new(connections: TaskTracker) -> Self {
        Self {
            connections,
            most: Cell::new(0),
        }
    }

    /// Notes that a connection was added to the tracker.
    pub(crate) fn grew(&self) {
        self.most.set(self.most.get().max(self.connections.len()));
    }

    /// Calls `give` when a crowd has left. It looks once a second, and never ends.
    pub(crate) async fn run(self: Rc<Self>, give: fn()) -> ! {
        let mut looks = interval(Duration::from_secs(1));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.has_left() {
                give();
            }
        }
    }

    /// Whether [`LEAST`](Self::LEAST) connections or more have ended, and half of all, since there were most. Then it begins anew.
    fn has_left(&self) -> bool {
        let now = self.connections.len();
        let ended = self.most.get().saturating_sub(now);
        let has_left = ended >= Self::LEAST.max(now);
        if has_left {
            self.most.set(now);
        }
        has_left
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::task_tracker::TaskTrackerToken;

    use super::*;

    fn connect(crowd: &Crowd, count: usize) -> Vec<TaskTrackerToken> {
        let one = |_| {
            let connection = crowd.connections.token();
            crowd.grew();
            connection
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_crowd_has_left_when_half_of_it_has_and_not_when_a_few_have() {
        let crowd = Crowd::new(TaskTracker::new());

        let mut clients = connect(&crowd, 1_000);
        assert!(!crowd.has_left(), "they are there");
        clients.truncate(501);
        assert!(!crowd.has_left(), "most are still there");
        clients.truncate(500);
        assert!(crowd.has_left(), "half of them left");
        assert!(!crowd.has_left(), "nobody left since then");
        clients.truncate(245);
        assert!(!crowd.has_left(), "fewer than 256 left since then");
        clients.clear();
        assert!(crowd.has_left(), "the rest left as well");

        drop(connect(&crowd, 1_000));
        assert!(crowd.has_left(), "they came and left between two looks");
    }
}
