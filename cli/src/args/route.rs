//! What may be said of routes.

#![expect(
    clippy::doc_markdown,
    reason = "these are help texts, shown as they are"
)]

use brownout_wire::{CertificateSpec, ListenerTlsSpec};
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
    /// The upstream, such as http://127.0.0.1:9000 or tcp://127.0.0.1:5432; several servers have commas between
    pub(crate) upstream: String,
    /// What it carries, and the version of HTTP that the upstream gets: http, h2, auto or tcp [default: as the upstream says]
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<String>,
    /// The Host that requests have there: keep, upstream, or a host [default: keep]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// What paths begin with at the listener; the upstream gets what follows
    #[arg(long, value_name = "PATH")]
    pub(crate) path_prefix: Option<String>,
    /// How long the upstream may take to accept a connection [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub(crate) connect_timeout: Option<String>,
    /// How long the upstream may take to begin its answer [default: none]
    #[arg(long, value_name = "DURATION")]
    pub(crate) head_timeout: Option<String>,
    /// Connections of each core to the upstream; further requests wait [default: no limit]
    #[arg(long, value_name = "N")]
    pub(crate) pool_max: Option<u64>,
    /// Unused connections of each core to the upstream; others are closed [default: 256]
    #[arg(long, value_name = "N")]
    pub(crate) pool_max_idle: Option<u64>,
    /// How long an unused connection is kept [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub(crate) pool_idle_timeout: Option<String>,
    /// Take a header of the PROXY protocol from each connection: for a listener that only load balancers reach
    #[arg(long)]
    pub(crate) accept_proxy: bool,
    /// Begin each connection to the upstream with a header of the PROXY protocol: v1 or v2 [default: none]
    #[arg(long, value_name = "VERSION")]
    pub(crate) send_proxy: Option<String>,
    /// Speak TLS on the listener: with certificates of the local authority (see: tls ca), or with the PEM files CERT,KEY
    #[arg(long, value_name = "self|CERT,KEY", num_args = 0..=1, require_equals = true, default_missing_value = "self",
        value_parser = super::proxy::listener_tls)]
    pub(crate) tls: Option<ListenerTlsSpec>,
    /// Another certificate of the listener, for these names or else for those in it; may be repeated
    #[arg(long, value_name = "CERT,KEY[,NAME]", requires = "tls", value_parser = certificate)]
    pub(crate) tls_certificate: Vec<CertificateSpec>,
    /// A PEM file with the certificates to trust at an https upstream [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<String>,
    /// A PEM file with the certificate to show to an https upstream
    #[arg(long, value_name = "FILE", requires = "upstream_key")]
    pub(crate) upstream_cert: Option<String>,
    /// A PEM file with the key of that certificate
    #[arg(long, value_name = "FILE", requires = "upstream_cert")]
    pub(crate) upstream_key: Option<String>,
    /// The name to ask an https upstream for, and to find in its certificate [default: its host]
    #[arg(long, value_name = "NAME")]
    pub(crate) upstream_server_name: Option<String>,
    /// Take any certificate of an https upstream
    #[arg(long, conflicts_with = "upstream_ca")]
    pub(crate) upstream_insecure: bool,
    /// What to offer a tls upstream with ALPN, such as postgresql; several with commas between [default: nothing, http/1.1 to an https one]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) upstream_alpn: Vec<String>,
    /// Let callers ask for faults with header fields, such as x-brownout-fault: latency=300ms
    #[arg(long)]
    pub(crate) caller_faults: bool,
    /// Let those callers ask for faults that come from these addresses, such as 10.0.0.0/8; may be repeated
    #[arg(long, value_name = "RANGE", conflicts_with = "caller_faults")]
    pub(crate) caller_faults_from: Vec<String>,
    /// Give faults to at most so many percent of the requests that ask for them, or to a ratio such as 1/1000
    #[arg(long, value_name = "PERCENT")]
    pub(crate) caller_faults_percent: Option<String>,
    /// Refuse connections until the route is enabled
    #[arg(long)]
    pub(crate) disabled: bool,
}

fn certificate(word: &str) -> Result<CertificateSpec, String> {
    let mut parts = word.split(',').map(str::to_owned);
    let (cert, key) = (parts.next(), parts.next());
    let names: Vec<String> = parts.collect();
    let is_said = |path: &String| !path.is_empty();
    match (cert.filter(is_said), key.filter(is_said)) {
        (Some(cert), Some(key)) => Ok(CertificateSpec {
            cert,
            key,
            names: (!names.is_empty()).then_some(names),
        }),
        _ => Err(
            "is not the files of a certificate and its key, as CERT,KEY or CERT,KEY,NAME,NAME"
                .to_owned(),
        ),
    }
}
