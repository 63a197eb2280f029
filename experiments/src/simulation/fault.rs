//! The fault of a run, from its arming to its removal.

use std::time::Duration;

use brownout_client::{Client, ClientError};
use brownout_fault::units::show_duration;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{SimulationError, scenario::Fault};
use crate::report::FaultReport;

/// A fault that is armed, or may be. Dropping it leaves its removal to the runtime.
pub(super) struct ArmedFault {
    fault: Fault,
    control: Client,
    cleanup: TaskTracker,
    may_be_armed: bool,
}

/// A fault may still be armed.
#[derive(Debug, Error)]
#[error("could not remove the fault `{id}`; it ends by itself {} after it was armed", show_duration(*.ttl))]
pub struct NotRemoved {
    /// Its id.
    pub id: &'static str,
    /// How long it stays by itself.
    pub ttl: Duration,
    /// Why it could not be removed.
    pub source: ClientError,
}

impl ArmedFault {
    /// Arms it. A run that is dropped meanwhile removes it as well.
    pub(super) async fn arm(
        fault: Fault,
        control: &Client,
        cleanup: &TaskTracker,
    ) -> Result<Self, SimulationError> {
        let mut armed = Self {
            fault,
            control: control.clone(),
            cleanup: cleanup.clone(),
            may_be_armed: true,
        };
        match control.arm(&armed.fault.body).await {
            Ok(_) => Ok(armed),
            Err(source) => {
                // A fault of this id that was there before is not ours to remove.
                armed.may_be_armed = !matches!(source, ClientError::Refused(_));
                Err(SimulationError::Arm {
                    id: armed.fault.id,
                    route: armed.fault.route,
                    source,
                })
            }
        }
    }

    pub(super) fn id(&self) -> &'static str {
        self.fault.id
    }

    pub(super) fn route(&self) -> &'static str {
        self.fault.route
    }

    /// What it did so far.
    pub(super) async fn report(&self) -> Result<FaultReport, SimulationError> {
        let id = self.fault.id;
        let answer = self.control.fault(id).await;
        let answer = answer.map_err(|source| SimulationError::Fault { id, source })?;
        Ok(FaultReport {
            spec: self.fault.body.clone(),
            counters: answer.counters,
            magnitude: answer.magnitude,
            removal_error: None,
        })
    }

    /// Removes it. That somebody else did is as good.
    pub(super) async fn remove(mut self) -> Result<(), NotRemoved> {
        let removed = self.control.remove_fault(self.fault.id).await;
        self.may_be_armed = false; // It was tried.
        match removed {
            Err(source) if !is_gone(&source) => Err(NotRemoved {
                id: self.fault.id,
                ttl: self.fault.ttl,
                source,
            }),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Drop for ArmedFault {
    fn drop(&mut self) {
        if !self.may_be_armed {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return; // Its ttl is what remains.
        };
        let (control, id) = (self.control.clone(), self.fault.id);
        let removal = async move {
            control.remove_fault(id).await.ok(); // Nobody is left to be told.
        };
        self.cleanup.spawn_on(removal, &runtime);
    }
}

fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.status == 404)
}
