//! The brownout command: arguments, exit codes, and the only place that puts the crates together.

#[macro_use]
mod print;

mod args;
mod child;
mod commands;
mod config;
mod control_settings;
mod demo_proxy;
mod demo_system;
mod exit;
mod instance;
mod library_system;
mod logging;
mod memory;
mod policy;
mod process_settings;
mod show;
mod signals;
mod telemetry;
mod toxiproxy_file;
mod variables;
mod watched_file;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Args, Command},
    exit::{Exit, Failure},
    process_settings::LogSettings,
};

fn main() -> ExitCode {
    let args = Args::parse_from(toxiproxy_file::as_ours(std::env::args_os()));
    // Dropped last: what is logged on the way out is written as well.
    let _logs = logging::start(&log_settings(&args));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let is_server = args.command.is_server();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(args.command)),
        Err(error) => Err(Failure::new(
            Exit::Internal,
            format!("could not start: {error}"),
        )),
    };
    match result {
        // A server's work is not what it prints.
        Ok(exit) if !is_server && exit == Exit::Ok => match print::failed() {
            None => exit.into(),
            Some(why) => {
                show::error(&format!("could not print: {why}"));
                Exit::Internal.into()
            }
        },
        Ok(exit) => exit.into(),
        Err(failure) => {
            show::error(&failure.message);
            failure.exit.into()
        }
    }
}

/// Flags and their variables win over the file.
fn log_settings(args: &Args) -> LogSettings {
    let said = LogSettings {
        filter: args.log.clone(),
        format: args.log_format,
        access: args.access_log.then_some(true),
    };
    match &args.command {
        Command::Proxy(proxy) => match &proxy.config {
            Some(path) => said.or(LogSettings::of_file(path)),
            None => said,
        },
        Command::ToxiproxyServer(_) => said.or(LogSettings {
            filter: toxiproxy_file::log_level(),
            ..LogSettings::default()
        }),
        _ => said,
    }
}

async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Proxy(args) => commands::proxy::run(*args).await,
        Command::ToxiproxyServer(args) => commands::toxiproxy::serve(args).await,
        Command::Import(args) => commands::toxiproxy::import(&args),
        Command::Check(args) => commands::check::run(&args).await,
        Command::Demo(args) => commands::demo::run(args).await,
        Command::DemoService(args) => commands::demo_service::run(args).await,
        Command::Simulate(args) => commands::simulate::run(*args).await,
        Command::Sweep(args) => commands::sweep::run(*args).await,
        Command::Audit(args) => Box::pin(commands::audit::run(*args)).await,
        Command::Run(args) => commands::run::run(*args).await,
        Command::Plan(args) => commands::plan::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Schema(args) => commands::schema::run(&args),
        Command::Fault(args) => commands::fault::run(args).await,
        Command::Route(args) => commands::route::run(args).await,
        Command::Events(args) => commands::events::run(args).await,
        Command::Requests(args) => commands::requests::run(args).await,
        Command::Explain(args) => commands::explain::run(args).await,
        Command::Halt(args) => commands::halt::run(args).await,
        Command::Health(args) => commands::health::run(args).await,
        Command::Policy(args) => commands::policy::run(&args),
        Command::Tls(args) => commands::tls::run(&args),
        Command::Completions { shell } => Ok(commands::completions::run(shell)),
    }
}
