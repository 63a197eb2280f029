//! `brownout check`: whether a proxy would take a file, and on request whether its upstreams can be reached.

use brownout_proxy::NewRoute;
use futures_util::{StreamExt, stream};

use super::proxy::parse_routes;
use crate::{
    args::CheckArgs,
    config::Config,
    exit::{Exit, Failure},
    show::{self, count},
};

pub(crate) async fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let others = parse_routes(&args.routes)?;
    let config = Config::read(&args.file, &others)?;
    println!(
        "`{}` is good: {}, {}",
        args.file.display(),
        count(config.routes.len(), "route"),
        count(config.faults.len(), "fault")
    );
    if !args.connect {
        return Ok(Exit::Ok);
    }
    let routes: Vec<&NewRoute> = config.routes.iter().chain(&others).collect();
    connect(&routes).await
}

/// Tries all upstreams, a few at a time, and tells of each in the order of the routes.
async fn connect(routes: &[&NewRoute]) -> Result<Exit, Failure> {
    const AT_ONCE: usize = 16;
    let tried = stream::iter(routes).map(|route| async move { route.upstream.try_connect().await });
    let tried: Vec<_> = tried.buffered(AT_ONCE).collect().await;
    let mut failed = 0;
    for (route, tried) in routes.iter().zip(tried) {
        let (name, upstream) = (&route.name, &route.upstream);
        match tried {
            Ok(()) => println!("{name}: {upstream} can be reached"),
            Err(why) => {
                failed += 1;
                show::error(&format!("{name}: {upstream} {why}"));
            }
        }
    }
    match failed {
        0 => Ok(Exit::Ok),
        failed => Err(Failure::new(
            Exit::Unreachable,
            format!("{} cannot be reached", count(failed, "upstream")),
        )),
    }
}
