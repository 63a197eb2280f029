//! The proxy of a run that finds none.

use brownout_client::Client;

use crate::{
    args::{RunArgs, TelemetryArgs},
    control_settings::ControlSettings,
    exit::{Exit, Failure},
    instance::{Instance, Plan},
    telemetry::{self, TelemetryFile},
};

/// A proxy that is started when the first file needs it, and serves all that do.
pub(super) struct OwnProxy {
    telemetry: TelemetryArgs,
    instance: Option<Instance>,
}

impl OwnProxy {
    pub(super) fn new(args: &RunArgs) -> Self {
        Self {
            telemetry: args.telemetry.clone(),
            instance: None,
        }
    }

    /// A client of the proxy, which is started with its control API at `control` if it is not there.
    pub(super) fn client(&mut self, control: &str) -> Result<Client, Failure> {
        if self.instance.is_none() {
            let started = telemetry::start(self.telemetry.clone(), TelemetryFile::default())?;
            let (telemetry, service) = started.of_one(Plan::SERVICE);
            let plan = Plan::of_own(control, ControlSettings::open(), service);
            self.instance = Some(Instance::start(plan, telemetry)?);
        }
        let instance = self.instance.as_ref().expect("it was just started");
        Ok(Client::new(&instance.control().to_string())?)
    }

    pub(super) async fn stop(self) -> Result<(), Failure> {
        let Some(instance) = self.instance else {
            return Ok(());
        };
        let stopped = tokio::task::spawn_blocking(move || instance.stop()).await;
        stopped.map_err(|error| Failure::new(Exit::Internal, error))
    }
}
