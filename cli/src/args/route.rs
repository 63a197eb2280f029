//! What may be said of routes.

#![expect(
    clippy::doc_markdown,
    reason = "these are help texts, shown as they are"
)]

use clap::Subcommand;

use super::ApiArgs;

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
    Add(Box<AddRoute>),
    /// List the routes
    Ls,
    /// Let routes accept connections again
    Enable {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Let routes refuse connections: an upstream that is down
    Disable {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Delete routes, with the faults that name them alone
    Rm {
        /// The names of the routes
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
pub(crate) struct AddRoute {
    /// The name of the route
    pub(crate) name: String,
    /// Where to listen; port 0 asks for a free one
    pub(crate) listen: String,
    /// The upstream, such as http://127.0.0.1:9000 or tcp://127.0.0.1:5432
    pub(crate) upstream: String,
    /// Let callers ask for faults with header fields, such as x-brownout-fault: latency=300ms
    #[arg(long)]
    pub(crate) caller_faults: bool,
    /// The Host that requests have there: keep, upstream, or a host [default: keep]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// How long the upstream may take to accept a connection [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub(crate) connect_timeout: Option<String>,
    /// How long the upstream may take to begin its answer [default: none]
    #[arg(long, value_name = "DURATION")]
    pub(crate) head_timeout: Option<String>,
    /// Connections of each core to the upstream; further requests wait [default: no limit]
    #[arg(long, value_name = "N")]
    pub(crate) pool_max: Option<u64>,
    /// What paths begin with at the listener; the upstream gets what follows
    #[arg(long, value_name = "PATH")]
    pub(crate) path_prefix: Option<String>,
    /// Take a header of the PROXY protocol from each connection: for a listener that only load balancers reach
    #[arg(long)]
    pub(crate) accept_proxy: bool,
    /// Begin each connection to the upstream with a header of the PROXY protocol: v1 or v2 [default: none]
    #[arg(long, value_name = "VERSION")]
    pub(crate) send_proxy: Option<String>,
    /// Speak TLS on the listener, with certificates of the local authority (see: tls ca)
    #[arg(long)]
    pub(crate) tls: bool,
    /// A PEM file with the certificates to trust at an https upstream [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<String>,
    /// Take any certificate of an https upstream
    #[arg(long, conflicts_with = "upstream_ca")]
    pub(crate) upstream_insecure: bool,
}
