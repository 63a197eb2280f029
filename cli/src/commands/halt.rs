//! `brownout halt`: the red button.

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
        if let Some(span) = &args.rearm_after {
            println!("nothing can be armed for {span}");
        }
    });
    Ok(Exit::Ok)
}
