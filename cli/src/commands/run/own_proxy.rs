//! The proxy of a run that finds none.

use brownout_client::Client;

use crate::{
    args::{RunArgs, TelemetryArgs},
    control_settings::ControlSettings,
    exit::{Exit, Failure},
    house::{House, Plan},
    telemetry::{self, TelemetryFile},
};

/// A proxy that is started when the first file needs it, and serves all that do.
pub(super) struct OwnProxy {
    telemetry: TelemetryArgs,
    house: Option<House>,
}

impl OwnProxy {
    pub(super) fn new(args: &RunArgs) -> Self {
        Self {
            telemetry: args.telemetry.clone(),
            house: None,
        }
    }

    /// A client of the proxy, which is started with its control API at `control` if it is not there.
    pub(super) fn client(&mut self, control: &str) -> Result<Client, Failure> {
        if self.house.is_none() {
            let started = telemetry::start(self.telemetry.clone(), TelemetryFile::default())?;
            let (telemetry, service) = started.of_one(Plan::SERVICE);
            let plan = Plan::of_own(control, ControlSettings::open(), service);
            self.house = Some(House::start(plan, telemetry)?);
        }
        let house = self.house.as_ref().expect("it was just started");
        Ok(Client::new(&house.control().to_string())?)
    }

    pub(super) async fn stop(self) -> Result<(), Failure> {
        let Some(house) = self.house else {
            return Ok(());
        };
        let stopped = tokio::task::spawn_blocking(move || house.stop()).await;
        stopped.map_err(|error| Failure::new(Exit::Internal, error))
    }
}
