//! `brownout check`: whether a proxy would take a file.

use super::proxy::parse_routes;
use crate::{
    args::CheckArgs,
    config::Config,
    exit::{Exit, Failure},
    show::count,
};

pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let others = parse_routes(&args.routes)?;
    let config = Config::read(&args.file, &others)?;
    println!(
        "`{}` is good: {}, {}",
        args.file.display(),
        count(config.routes.len(), "route"),
        count(config.faults.len(), "fault")
    );
    Ok(Exit::Ok)
}
