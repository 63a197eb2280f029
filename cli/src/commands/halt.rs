//! `brownout halt`: the red button.

use std::time::Duration;

use brownout_fault::units::parse_duration;

use crate::{
    args::HaltArgs,
    exit::{Exit, Failure},
    show,
};

pub(crate) async fn run(args: HaltArgs) -> Result<Exit, Failure> {
    let removed = args.api.client()?.halt(args.rearm_after.as_deref()).await?;
    args.api.print(&removed, || {
        match removed.removed.as_slice() {
            [] => println!("nothing was armed"),
            ids => println!(
                "removed {}: {}",
                show::count(ids.len(), "fault"),
                ids.join(", ")
            ),
        }
        match args
            .rearm_after
            .as_deref()
            .map(|span| (span, parse_duration(span)))
        {
            None => {}
            Some((_, Ok(Duration::ZERO))) => println!("faults can be armed again"),
            Some((span, _)) => {
                println!(
                    "arming is locked for {span}; unlock with: brownout halt --rearm-after 0s"
                );
            }
        }
    });
    Ok(Exit::Ok)
}
