//! What may be said of a proxy. Every flag has a variable of the same meaning and a key in the file.

#![expect(
    clippy::doc_markdown,
    reason = "these are help texts, shown as they are"
)]

use std::{path::PathBuf, time::Duration};

use brownout_control_api::ControlConfig;
use brownout_wire::{CertificateSpec, ListenerTlsSpec};
use clap::builder::FalseyValueParser;

use super::{Output, TelemetryArgs};
use crate::{control_settings::audit_bytes, process_settings::drain};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProxyArgs {
    /// A listener and the upstream behind it, such as web=127.0.0.1:9100=http://127.0.0.1:9000; options stand behind it in the same word, such as
    /// "web=:9100=http://a:9000,http://b:9000 host=upstream head_timeout=3s"; may be repeated
    #[arg(
        long = "route",
        env = "BROWNOUT_ROUTE",
        value_delimiter = ',',
        value_name = "NAME=LISTEN=UPSTREAM [KEY=VALUE ...]"
    )]
    pub(crate) routes: Vec<String>,

    /// A file with routes, faults and settings, which is read again when it changes and on SIGHUP
    #[arg(long, env = "BROWNOUT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) control: ControlArgs,

    /// Draws repeat for the same seed [default: a new one each time, printed at the start]
    #[arg(long, env = "BROWNOUT_SEED", value_name = "N")]
    pub(crate) seed: Option<u64>,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How long requests in progress may take to end after SIGINT or SIGTERM, up to 1h; a second signal ends all at once [default: 8s]
    #[arg(long, env = "BROWNOUT_DRAIN", value_name = "DURATION", value_parser = drain)]
    pub(crate) drain: Option<Duration>,

    #[arg(long, env = "BROWNOUT_STATE_DIR", value_name = "DIR", help = super::STATE_DIR)]
    pub(crate) state_dir: Option<PathBuf>,

    /// How the start is announced; json prints one object with the addresses [default: text]
    #[arg(long, env = "BROWNOUT_OUTPUT", value_enum)]
    pub(crate) output: Option<Output>,

    /// A command to start behind the proxy, with BROWNOUT_ROUTE_NAME_URL for each route; its exit code is the proxy's
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Reads `self`, `off`, or two files.
pub(super) fn listener_tls(word: &str) -> Result<ListenerTlsSpec, String> {
    match (word, word.split_once(',')) {
        ("self", _) => Ok(ListenerTlsSpec::Own),
        ("off", _) => Ok(ListenerTlsSpec::Off),
        (_, Some((cert, key))) if !cert.is_empty() && !key.is_empty() => {
            Ok(ListenerTlsSpec::Files {
                main: CertificateSpec {
                    cert: cert.to_owned(),
                    key: key.to_owned(),
                    names: None,
                },
                others: Vec::new(),
            })
        }
        _ => Err(
            "is not self, off, or the files of a certificate and its key as CERT,KEY".to_owned(),
        ),
    }
}

/// How the control API of a proxy listens, whom it asks for a token, and where its changes are written.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ControlArgs {
    /// Where the control API listens
    #[arg(long = "control", env = "BROWNOUT_CONTROL_LISTEN", value_name = "ADDR", help = format!(
        "Where the control API listens [default: {}]", ControlConfig::LISTEN))]
    pub(crate) listen: Option<String>,

    /// Speak TLS on the control API: self for certificates of the local authority (see: tls ca), or CERT,KEY for PEM files;
    /// SIGHUP reads them again
    #[arg(long = "control-tls", env = "BROWNOUT_CONTROL_TLS", value_name = "self|CERT,KEY", value_parser = listener_tls)]
    pub(crate) tls: Option<ListenerTlsSpec>,

    /// Let other machines call the control API without a token
    #[arg(long, env = "BROWNOUT_INSECURE", value_parser = FalseyValueParser::new())]
    pub(crate) insecure: bool,

    /// Allow routes to the control API: everybody who reaches such a route can then call it
    #[arg(long, env = "BROWNOUT_ALLOW_CONTROL_UPSTREAM", value_parser = FalseyValueParser::new())]
    pub(crate) allow_control_upstream: bool,

    /// A name besides loopback under which the control API may be called; may be repeated
    #[arg(
        long = "allow-host",
        env = "BROWNOUT_ALLOW_HOST",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    pub(crate) allow_hosts: Vec<String>,

    /// A file with the token that callers of the control API must have; without it the variable BROWNOUT_TOKEN
    #[arg(long, env = "BROWNOUT_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// A file with a token that only reads; without it the variable BROWNOUT_READ_TOKEN
    #[arg(long, env = "BROWNOUT_READ_TOKEN_FILE", value_name = "FILE")]
    pub(crate) read_token_file: Option<PathBuf>,

    /// Where each change is written, as one JSON object a line [default: lines of the log]
    #[arg(long, env = "BROWNOUT_AUDIT_LOG", value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,

    /// The size at which that file is rotated; five are kept [default: 10MB]
    #[arg(long, env = "BROWNOUT_AUDIT_LOG_SIZE", value_name = "SIZE", value_parser = audit_bytes)]
    pub(crate) audit_log_size: Option<u64>,
}
