//! What may be said of faults.

#![expect(
    clippy::doc_markdown,
    reason = "these are help texts, shown as they are"
)]

use clap::Subcommand;

use super::ApiArgs;

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
    /// List the armed faults and what they did
    Ls {
        #[command(flatten)]
        filter: FaultFilter,

        /// Go on, and show it again each second
        #[arg(long, short)]
        watch: bool,
    },
    /// Show one fault with every default, its counters and the delay it really added
    Show {
        /// The id of the fault
        id: String,
    },
    /// Remove faults
    Rm {
        /// The ids of the faults
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Remove all faults, or those that are meant
    Clear {
        #[command(flatten)]
        filter: FaultFilter,
    },
    /// List the kinds of faults and their parameters
    Kinds,
}

/// Which faults are meant: all of these must hold.
#[derive(Debug, clap::Args)]
pub(crate) struct FaultFilter {
    /// Those that act on this route
    #[arg(long, value_name = "NAME")]
    pub(crate) route: Option<String>,

    /// Those with this label
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,

    /// Those of this group
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,

    /// Those in this state: waiting, active, spent, or ended for the last 1000 that have, or expired for
    /// those of them whose time was over
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
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

    /// Only calls of this gRPC method, such as 'shop.Cart/*'
    #[arg(long = "grpc-method", value_name = "PATTERN")]
    pub(crate) grpc_methods: Vec<String>,

    /// Only requests for which all of this holds, as JSON, such as '{"method":"GET","header":{"x-user":"7"}}'
    #[arg(long = "match", value_name = "JSON")]
    pub(crate) matching: Option<String>,

    /// Which engine does it, where a kind exists in both: request or stream
    #[arg(long, value_name = "LAYER")]
    pub(crate) layer: Option<String>,

    /// Which bytes of a connection: upstream (from the client) or downstream (to it)
    #[arg(long, value_name = "DIRECTION")]
    pub(crate) direction: Option<String>,

    /// Only requests at this place on their connection, from 1: '>1' are those of reused connections
    #[arg(long = "connection-seq", value_name = "PLACE")]
    pub(crate) connection_seq: Option<String>,

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

    /// The same seed repeats the same draws
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

    /// A word to find and remove it by; may be repeated
    #[arg(long = "label", value_name = "TEXT")]
    pub(crate) labels: Vec<String>,

    /// Whose it is
    #[arg(long, value_name = "TEXT")]
    pub(crate) owner: Option<String>,

    /// The lease with which it ends
    #[arg(long, value_name = "ID")]
    pub(crate) lease: Option<String>,

    /// Print it as curl and as a file have it, and send nothing
    #[arg(long)]
    pub(crate) show: bool,
}
