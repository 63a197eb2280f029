//! Waiting with a bound: on a level, never on a sleep that hopes.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what must happen. Long, as machines are shared: it is a bound, not a measure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `is_so` says yes.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain: {what}"
        );
        sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for `future`.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}
