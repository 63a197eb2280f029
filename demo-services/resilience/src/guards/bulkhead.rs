//! The bulkhead: a fair semaphore.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::policy::BulkheadPolicy;

#[derive(Debug)]
pub(super) struct Bulkhead {
    places: Semaphore,
    max_wait: Duration,
}

/// Dropped, it is free again.
pub(super) type Place<'b> = SemaphorePermit<'b>;

impl Bulkhead {
    pub(super) fn new(policy: &BulkheadPolicy) -> Self {
        Self {
            places: Semaphore::new(policy.max_concurrent as usize),
            max_wait: policy.max_wait,
        }
    }

    /// Waits its turn, at most as long as the policy says and the caller has time.
    pub(super) async fn enter(&self, time_left: Option<Duration>) -> Option<Place<'_>> {
        if let Some(place) = self.try_enter() {
            return Some(place);
        }
        let wait = time_left.map_or(self.max_wait, |left| left.min(self.max_wait));
        if wait.is_zero() {
            return None;
        }
        timeout(wait, self.places.acquire()).await.ok()?.ok()
    }

    pub(super) fn try_enter(&self) -> Option<Place<'_>> {
        self.places.try_acquire().ok()
    }

    pub(super) fn free(&self) -> u32 {
        u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX)
    }
}
