//! What may be said on the command line.

#![expect(
    clippy::doc_markdown,
    reason = "these are help texts, shown as they are"
)]

mod audit;
mod events;
mod explain;
mod fault;
mod proxy;
mod requests;
mod route;
mod run;
mod simulate;
mod sweep;
mod telemetry;
mod toxiproxy;

use std::{path::PathBuf, time::Duration};

use brownout_control_api::ControlConfig;
use clap::{Parser, Subcommand, ValueEnum, builder::FalseyValueParser};

pub(crate) use self::{
    audit::AuditArgs,
    events::EventsArgs,
    explain::ExplainArgs,
    fault::{FaultAddArgs, FaultArgs, FaultCommand, FaultFilter},
    proxy::{ControlArgs, ProxyArgs},
    requests::RequestsArgs,
    route::{AddRoute, RouteArgs, RouteCommand},
    run::{PlanArgs, ReportArgs, ReportPaths, RunArgs, SchemaArgs, SchemaOf},
    simulate::SimulateArgs,
    sweep::SweepArgs,
    telemetry::TelemetryArgs,
    toxiproxy::{ImportArgs, ToxiproxyArgs},
};
use crate::{exit, logging::LogFormat};

/// A chaos proxy that tells you whether your timeouts, retries, breakers and fallbacks work.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log to standard error: error, warn, info, debug, or a filter such as brownout_proxy=debug [default: warn]
    #[arg(
        long,
        global = true,
        env = "BROWNOUT_LOG",
        value_name = "FILTER",
        value_parser = log_filter
    )]
    pub(crate) log: Option<String>,

    /// How log lines are written [default: text on a terminal, else json]
    #[arg(
        long,
        global = true,
        env = "BROWNOUT_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: Option<LogFormat>,

    /// Log a line for each request that a route carries
    #[arg(long, global = true, env = "BROWNOUT_ACCESS_LOG", value_parser = FalseyValueParser::new())]
    pub(crate) access_log: bool,
}

/// Reads what is to be logged.
pub(crate) fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let word = text.trim();
    // A bare word that is no level would be taken for the name of a crate, and nothing be logged.
    if word.chars().all(|c| c.is_ascii_alphabetic())
        && !LEVELS.contains(&word.to_lowercase().as_str())
    {
        return Err(brownout_fault::read::unknown("level", word, &LEVELS));
    }
    match tracing_subscriber::EnvFilter::builder().parse(word) {
        Ok(_) => Ok(word.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stand between services and their upstreams, and break what the control API says
    Proxy(Box<ProxyArgs>),
    /// Stand in for Toxiproxy's server, with its flags
    ToxiproxyServer(ToxiproxyArgs),
    /// Print Toxiproxy's file of proxies as a proxy's configuration
    Import(ImportArgs),
    /// Read a proxy's configuration and tell what is wrong with it
    Check(CheckArgs),
    /// See an outage: a homepage and the services behind it, each behind a proxy route
    Demo(DemoArgs),
    /// Run one of the demo's services alone
    DemoService(DemoServiceArgs),
    /// Run outages of the demo from beginning to end, and see what each protection did
    Simulate(Box<SimulateArgs>),
    /// Move one value of an experiment until an expectation breaks, and say to where it is safe
    Sweep(Box<SweepArgs>),
    /// Find out what a service of yours does when its dependencies fail: timeouts, retries, breakers and fallbacks
    Audit(Box<AuditArgs>),
    /// Run experiments: load, faults over time, and what must hold, from files
    Run(Box<RunArgs>),
    /// Show what experiments would do, without doing it
    Plan(PlanArgs),
    /// Make reports of a run whose events were written to a file
    Report(ReportArgs),
    /// Print the JSON Schema of experiments, or of their results
    Schema(SchemaArgs),
    /// Start, see and end faults
    Fault(FaultArgs),
    /// Make, see and delete routes
    Route(RouteArgs),
    /// See the requests that the routes carried, the newest first
    Requests(RequestsArgs),
    /// See what happens to faults, routes and leases, as it happens
    Events(EventsArgs),
    /// Say which faults look at a request, and why each acts or lets it pass
    Explain(ExplainArgs),
    /// Remove every fault at once: the red button
    Halt(HaltArgs),
    /// Ask a proxy or one of the demo's services whether it is there, as health checks of containers do
    Health(HealthArgs),
    /// See what policies say, and check your own
    Policy(PolicyArgs),
    /// See the authority of routes with tls = "self", and how clients trust it
    Tls(TlsArgs),
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether it serves until it is asked to stop.
    pub(crate) fn is_server(&self) -> bool {
        matches!(
            self,
            Self::Proxy(_) | Self::ToxiproxyServer(_) | Self::Demo(_) | Self::DemoService(_)
        )
    }
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    pub(crate) story: Option<DemoStory>,

    /// How the homepage protects itself: a built-in policy (see: policy ls) or a file, which is read again when it changes
    #[arg(long, default_value = "gold", value_name = "NAME|FILE")]
    pub(crate) policy: String,

    /// Every hop speaks HTTP/2 in TLS, with certificates of the local authority (see: tls ca)
    #[arg(long)]
    pub(crate) tls: bool,

    /// Where the control API listens
    #[arg(long, default_value = ControlConfig::LISTEN, value_name = "ADDR")]
    pub(crate) control: String,

    /// Draws repeat for the same seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the start is announced; json prints one object with the addresses
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Another demo than the homepage.
#[derive(Debug, Subcommand)]
pub(crate) enum DemoStory {
    /// A gate with five circuit breakers before a primary and a fallback book service
    Library(LibraryArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct LibraryArgs {
    #[command(flatten)]
    pub(crate) books: DatabaseArgs,

    #[command(flatten)]
    pub(crate) gate: GateArgs,

    /// Where the control API listens
    #[arg(long, default_value = ControlConfig::LISTEN, value_name = "ADDR")]
    pub(crate) control: String,

    /// Draws repeat for the same seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the start is announced; json prints one object with the addresses
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// Where the books are: a SQLite file, made if it is not there, or postgres://user:password@host/name
    #[arg(long, value_name = "FILE|URL", help = format!(
        "Where the library's books are: a SQLite file, made if it is not there, or postgres://USER:PASSWORD@HOST/NAME \
        [default: {}]", Self::DEFAULT))]
    pub(crate) database: Option<String>,
}

impl DatabaseArgs {
    pub(crate) const DEFAULT: &str = "brownout-library.db";
}

#[derive(Debug, Default, Clone, clap::Args)]
pub(crate) struct GateArgs {
    /// Another policy for one of the library gate's ways, such as g1=mine.toml; may be repeated
    #[arg(long = "gate-policy", value_name = "GATE=NAME|FILE")]
    pub(crate) policies: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoServiceArgs {
    /// homepage, authentication, recommendations, popular-items, library-gate, library-primary or library-fallback
    pub(crate) name: String,

    /// Where it listens; port 0 asks for a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub(crate) listen: String,

    /// The URL of a service it calls, such as authentication=http://127.0.0.1:9101; may be repeated
    #[arg(long = "upstream", value_name = "SERVICE=URL")]
    pub(crate) upstreams: Vec<String>,

    /// How it protects itself: a built-in policy (see: policy ls) or a file, which is read again when it changes
    /// [default: none]
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) policy: Option<String>,

    #[command(flatten)]
    pub(crate) books: DatabaseArgs,

    #[command(flatten)]
    pub(crate) gate: GateArgs,

    /// Requests it works on at once [default: 8, library-gate 64]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,

    /// Further requests that may wait for a worker
    #[arg(long, default_value_t = 2048, value_name = "N")]
    pub(crate) queue: usize,

    /// Chance repeats for the same seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the start is announced; json prints one object with the address
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print a policy as a file that says everything: what it inherits and every default
    Show {
        /// A built-in policy's name, or a file
        #[arg(value_name = "NAME|FILE")]
        policy: String,
    },
    /// Read policies and tell what is wrong with them
    Check {
        /// Built-in policies' names, or files
        #[arg(required = true, value_name = "NAME|FILE")]
        policies: Vec<String>,
    },
    /// List the built-in policies
    Ls,
}

/// Whom to take for the control API, where that speaks TLS.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TrustArgs {
    /// A PEM file with the certificates to trust at an https control API [default: the system's]
    #[arg(long, global = true, env = "BROWNOUT_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Take any certificate of an https control API
    #[arg(long, global = true, conflicts_with = "ca")]
    pub(crate) insecure: bool,
}

/// Which control API to call, and how to print what it says.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ApiArgs {
    /// The address of the control API, HOST:PORT or a URL; with TLS https://HOST:PORT
    #[arg(long, global = true, env = "BROWNOUT_CONTROL", default_value = ControlConfig::LISTEN, value_name = "ADDR")]
    pub(crate) control: String,

    /// A file with the token that it asks for; without it the variable BROWNOUT_TOKEN
    #[arg(long, global = true, env = "BROWNOUT_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) trust: TrustArgs,

    /// How the answer is printed
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TlsArgs {
    #[command(subcommand)]
    pub(crate) command: TlsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// Print where the certificate of the local authority is, and how curl, Python, Node, Java and Go take it
    Ca {
        /// Print the certificate alone, in PEM
        #[arg(long)]
        pem: bool,

        #[arg(long, env = "BROWNOUT_STATE_DIR", value_name = "DIR", help = STATE_DIR)]
        state_dir: Option<PathBuf>,
    },
}

/// The help of `--state-dir`.
const STATE_DIR: &str = "Where the local authority is kept, made there if there is none \
    [default: brownout in $XDG_STATE_HOME or ~/.local/state]";

#[derive(Debug, clap::Args)]
pub(crate) struct HaltArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,

    /// Refuse to arm anything for so long
    #[arg(long, value_name = "DURATION")]
    pub(crate) rearm_after: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// Where a control API or a demo service listens, HOST:PORT or a URL
    #[arg(env = "BROWNOUT_CONTROL", default_value = ControlConfig::LISTEN, value_name = "ADDR")]
    pub(crate) address: String,

    #[command(flatten)]
    pub(crate) trust: TrustArgs,

    /// Ask again until it answers, for so long
    #[arg(long, value_name = "DURATION", value_parser = wait)]
    pub(crate) wait: Option<Duration>,
}

fn wait(word: &str) -> Result<Duration, String> {
    brownout_fault::units::parse_duration(word)
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The file, as for: proxy --config
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Connect to the upstream of each route, with TLS where that is spoken
    #[arg(long)]
    pub(crate) connect: bool,

    /// A route of the command line that the file's faults may name; may be repeated
    #[arg(
        long = "route",
        env = "BROWNOUT_ROUTE",
        value_delimiter = ',',
        value_name = "NAME=LISTEN=UPSTREAM"
    )]
    pub(crate) routes: Vec<String>,
}
