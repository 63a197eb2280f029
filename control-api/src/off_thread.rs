//! Work that takes longer than a moment, off the control thread: the red button must not wait for it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
};

use crate::{
    control::Shared,
    ops::{OpError, Ops},
    problem::ApiError,
};

/// Calls of each sort that are worked on at a time; more wait for their turn.
const AT_ONCE: usize = 4;
/// Bodies of more than 64 KiB at a time; more wait.
const LARGE_BODIES_MAX: usize = 16;
/// Threads for all of them.
pub(crate) const THREADS_MAX: usize = 2 * AT_ONCE;
/// So long a thread waits for more work. When it ends, the memory that it freed goes back to the system.
pub(crate) const THREADS_KEPT: Duration = Duration::from_secs(1);

/// Says how much may be worked on at a time.
#[derive(Debug)]
pub(crate) struct Workers {
    /// Reading, compiling and writing of what is large.
    calls: Semaphore,
    /// Looking up names, which may wait for a name server: never in the way of the others.
    lookups: Semaphore,
    /// Bodies of more than 64 KiB that are read or worked on.
    pub(crate) large_bodies: Arc<Semaphore>,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            calls: Semaphore::new(AT_ONCE),
            lookups: Semaphore::new(AT_ONCE),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
        }
    }
}

/// Does a call off the control thread. It runs to its end even if the caller leaves.
pub(crate) async fn off_thread<T: Send + 'static>(
    control: &Shared,
    call: impl FnOnce(&Ops) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let _turn = turn(&control.workers.calls).await?;
    let ops = control.ops.queued();
    let span = tracing::Span::current();
    spawn_blocking(move || span.in_scope(|| call(&ops)))
        .await
        .map_err(|_| OpError::ShuttingDown)?
}

/// Reads what may have to look up a name.
pub(crate) async fn look_up<T: Send + 'static>(
    control: &Shared,
    read: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let _turn = turn(&control.workers.lookups).await?;
    spawn_blocking(read)
        .await
        .map_err(|_| OpError::ShuttingDown)?
}

async fn turn(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>, ApiError> {
    let permit = semaphore.acquire().await;
    // It is never closed.
    permit.map_err(|_| OpError::ShuttingDown.into())
}
