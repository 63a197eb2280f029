//! What may be said on the command line.

#![expect(
    clippy::doc_markdown,
    reason = "these are help texts, shown as they are"
)]

use std::{path::PathBuf, time::Duration};

use brownout_control_api::ControlConfig;
use brownout_experiment::Scenario;
use brownout_fault::units::parse_duration;
use clap::{Parser, Subcommand, ValueEnum};

use crate::exit;

/// A chaos proxy that tells you whether your timeouts, retries, breakers and fallbacks work.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log to standard error: error, warn, info, debug, or a filter such as brownout_proxy=debug
    #[arg(
        long,
        global = true,
        env = "BROWNOUT_LOG",
        default_value = "warn",
        value_name = "FILTER",
        value_parser = log_filter
    )]
    pub(crate) log: String,
}

fn log_filter(text: &str) -> Result<String, String> {
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
    Proxy(ProxyArgs),
    /// See an outage: a homepage and the services behind it, each behind a proxy route
    Demo(DemoArgs),
    /// Run one of the demo's services alone
    DemoService(DemoServiceArgs),
    /// Run an outage of the demo from beginning to end, and see what the homepage's protection did
    Simulate(SimulateArgs),
    /// Start, see and end faults
    Fault(FaultArgs),
    /// Make, see and delete routes
    Route(RouteArgs),
    /// Remove every fault at once: the red button
    Halt(HaltArgs),
    /// See what policies say, and check your own
    Policy(PolicyArgs),
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
pub(crate) struct ProxyArgs {
    /// A listener and the upstream behind it, such as web=127.0.0.1:9100=http://127.0.0.1:9000; may be repeated
    #[arg(long = "route", value_name = "NAME=LISTEN=UPSTREAM")]
    pub(crate) routes: Vec<String>,

    /// A file with routes, faults and settings
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where the control API listens
    #[arg(long, value_name = "ADDR", help = format!(
        "Where the control API listens [default: {}]", ControlConfig::LISTEN))]
    pub(crate) control: Option<String>,

    /// Let others than this machine call the control API
    #[arg(long)]
    pub(crate) insecure: bool,

    /// A name besides loopback under which the control API may be called; may be repeated
    #[arg(long = "allow-host", value_name = "HOST")]
    pub(crate) allow_hosts: Vec<String>,

    /// Draws repeat for the same seed [default: a new one each time, printed at the start]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the start is announced; json prints one object with the addresses
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TelemetryArgs {
    /// Where metrics go, as statsd over UDP, once a second
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) statsd: Option<String>,

    /// Where traces go, as OTLP over HTTP; /v1/traces is appended
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    pub(crate) story: Option<DemoStory>,

    /// How the homepage protects itself: a built-in policy (see: policy ls) or a file, which is read again when it changes
    #[arg(long, default_value = "gold", value_name = "NAME|FILE")]
    pub(crate) policy: String,

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

#[derive(Debug, Clone, clap::Args)]
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
pub(crate) struct SimulateArgs {
    /// What goes wrong
    #[arg(value_enum)]
    pub(crate) scenario: ScenarioArg,

    /// How long pages are asked for: seconds, or a duration such as 2m
    #[arg(long, default_value = "30", value_name = "S", value_parser = seconds)]
    pub(crate) duration: Duration,

    /// How long the homepage waits for an answer: seconds, or a duration such as 500ms [default: for ever]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// The homepage tries three more times, with full jitter
    #[arg(long)]
    pub(crate) retries: bool,

    /// Each of the homepage's workers stops calling after five failures in a row, for 30 s
    #[arg(long)]
    pub(crate) circuit_breakers: bool,

    /// Another protection: a built-in policy (none, timeout, retries, circuit-breakers, gold) or a file
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["timeout", "retries", "circuit_breakers"])]
    pub(crate) policy: Option<String>,

    /// Over how many connections; each asks again when it has its answer
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) connections: usize,

    /// How long to watch upstreams work for nobody afterwards [default: 2.5 times the duration, at least 20 s]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) tail_limit: Option<Duration>,

    /// Draws repeat for the same seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Write the whole report to this file, as JSON
    #[arg(long, visible_alias = "report", value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What goes wrong in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioArg {
    /// Nothing
    Ideal,
    /// Connections from the homepage to recommendations are reset
    Outage,
    /// Recommendations is slow: its own calls take 5 to 10 s, and hold its workers
    Performance,
}

impl From<ScenarioArg> for Scenario {
    fn from(arg: ScenarioArg) -> Self {
        match arg {
            ScenarioArg::Ideal => Self::Ideal,
            ScenarioArg::Outage => Self::Outage,
            ScenarioArg::Performance => Self::Performance,
        }
    }
}

/// Seconds as the original takes them, such as `0.5`, or a duration with its unit.
fn seconds(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let bare = text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    let duration = if bare {
        parse_duration(&format!("{text}s"))?
    } else {
        parse_duration(text)?
    };
    if duration.is_zero() {
        return Err("it must be above zero".to_owned());
    }
    Ok(duration)
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

/// Which control API to call, and how to print what it says.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ApiArgs {
    /// The address of the control API
    #[arg(long, global = true, env = "BROWNOUT_CONTROL", default_value = ControlConfig::LISTEN, value_name = "ADDR")]
    pub(crate) control: String,

    /// How the answer is printed
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FaultArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,

    #[command(subcommand)]
    pub(crate) command: FaultCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FaultCommand {
    /// Arm a fault, such as: fault add latency web 250ms --percent 20 --for 2m
    Add(Box<FaultAddArgs>),
    /// List what is armed
    Ls,
    /// Show one fault whole
    Show {
        /// Its id
        id: String,
    },
    /// Remove faults
    Rm {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Remove all faults
    Clear,
    /// List the kinds of faults and their parameters
    Kinds,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FaultAddArgs {
    /// What goes wrong: latency, abort, reset, ... (see: fault kinds)
    pub(crate) kind: String,

    /// The route, several with commas between, or '*' for all
    pub(crate) route: String,

    /// The kind's parameters: a single value such as 250ms or 503, or KEY=VALUE such as min=5s max=10s
    #[arg(value_name = "VALUE|KEY=VALUE")]
    pub(crate) params: Vec<String>,

    /// The share of matching requests: 0 to 100, or a ratio such as 1/1000
    #[arg(short, long)]
    pub(crate) percent: Option<String>,

    /// How long it stays armed, or none for ever [default: 10m]
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) ttl: Option<String>,

    /// How long it waits before it begins
    #[arg(long, value_name = "DURATION")]
    pub(crate) start: Option<String>,

    /// Its id [default: made from the kind]
    #[arg(long)]
    pub(crate) id: Option<String>,

    /// Only requests with this method; may be repeated
    #[arg(long = "method", value_name = "METHOD")]
    pub(crate) methods: Vec<String>,

    /// Only requests whose path fits this glob, such as '/v1/*', or this expression, such as 're:^/v(1|2)/'; may be
    /// repeated, as all of these
    #[arg(long = "path", value_name = "PATTERN")]
    pub(crate) paths: Vec<String>,

    /// No requests whose path fits this
    #[arg(long = "not-path", value_name = "PATTERN")]
    pub(crate) not_paths: Vec<String>,

    /// Only requests to this host
    #[arg(long = "host", value_name = "PATTERN")]
    pub(crate) hosts: Vec<String>,

    /// Only requests with this header field
    #[arg(long = "header", value_name = "NAME=PATTERN")]
    pub(crate) headers: Vec<String>,

    /// Only requests with this parameter in their query
    #[arg(long = "query", value_name = "NAME=PATTERN")]
    pub(crate) queries: Vec<String>,

    /// Only requests with this cookie
    #[arg(long = "cookie", value_name = "NAME=PATTERN")]
    pub(crate) cookies: Vec<String>,

    /// Only requests with this member of W3C Baggage
    #[arg(long = "baggage", value_name = "NAME=PATTERN")]
    pub(crate) baggage: Vec<String>,

    /// Only requests of clients in this range, such as 10.0.0.0/8
    #[arg(long = "client", value_name = "CIDR")]
    pub(crate) clients: Vec<String>,

    /// To what a draw belongs: request, connection, client, trace, header:NAME or cookie:NAME [default: request]
    #[arg(long, value_name = "KEY")]
    pub(crate) per: Option<String>,

    /// Let so many matches pass first
    #[arg(long, value_name = "N")]
    pub(crate) skip_first: Option<u64>,

    /// Then take one match in N
    #[arg(long, value_name = "N")]
    pub(crate) every: Option<u64>,

    /// Which one of those, from 0 to N-1
    #[arg(long, value_name = "N")]
    pub(crate) offset: Option<u64>,

    /// Order among faults, higher first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: Option<i64>,

    /// Requests it may hold at once
    #[arg(long, value_name = "N")]
    pub(crate) max_active: Option<u64>,

    /// Draws begin from this
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Faults of one group draw alike
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,

    /// Grow to full strength, such as up=5m,down=1m
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) ramp: Option<String>,

    /// On and off in turn, such as period=20s,duty=0.5
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) wave: Option<String>,

    /// On in this window alone, such as start=1m,for=30s; may be repeated
    #[arg(long = "pulse", value_name = "KEY=VALUE,...")]
    pub(crate) pulses: Vec<String>,

    /// On and off by chance, such as every=10s,for=5s,jitter=2s
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) nemesis: Option<String>,

    /// In bursts, such as p_bad=0.01,p_good=0.2
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) burst: Option<String>,

    /// Stop after so many injections
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    /// Leave no mark on injected answers
    #[arg(long)]
    pub(crate) stealth: bool,

    /// Why, for whoever finds it
    #[arg(long)]
    pub(crate) note: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RouteArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,

    #[command(subcommand)]
    pub(crate) command: RouteCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Make a route, such as: route add web 127.0.0.1:9100 http://127.0.0.1:9000
    Add {
        /// Its name
        name: String,
        /// Where to listen; port 0 asks for a free one
        listen: String,
        /// Where requests go
        upstream: String,
    },
    /// List the routes
    Ls,
    /// Delete routes, with the faults that name them alone
    Rm {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct HaltArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,

    /// Refuse to arm anything for so long
    #[arg(long, value_name = "DURATION")]
    pub(crate) rearm_after: Option<String>,
}
