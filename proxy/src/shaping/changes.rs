//! Changes of what is armed.

use std::future::pending;

use brownout_fault::FaultReader;
use tokio::sync::watch;

/// Tells when the set of armed faults has changed.
#[derive(Debug)]
pub(crate) struct PlanChanges(Option<watch::Receiver<u64>>);

impl PlanChanges {
    /// Changes from now on.
    pub(crate) fn of(reader: &FaultReader) -> Self {
        Self(Some(reader.changes()))
    }

    /// Waits for the next change. Dropping the wait loses no change. If nobody can change anything any more, it waits
    /// for ever.
    pub(crate) async fn changed(&mut self) {
        if let Some(receiver) = &mut self.0
            && receiver.changed().await.is_ok()
        {
            return;
        }
        self.0 = None;
        pending::<()>().await;
    }
}
