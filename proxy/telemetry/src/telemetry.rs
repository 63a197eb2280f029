use std::{
    io,
    time::{Duration, Instant},
};

use http::Uri;

use crate::{
    metrics::Metrics,
    statsd::{self, Dialect, Flusher},
    trace::{FaultSampling, Ledger, Propagation, Sampling, TraceSettings, Tracer, Traces},
};

/// Where telemetry goes. The default sends nothing.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Base URL of an OTLP collector, `http://localhost:4318`; `/v1/traces` is appended. Without
    /// it no span is made.
    pub otlp: Option<String>,
    /// As `otlp`, but the whole URL, to which nothing is appended. Wins over `otlp`.
    pub otlp_traces: Option<String>,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// Whether requests with a fault are recorded in traces that are not. Default no.
    pub fault_sampling: FaultSampling,
    /// Which headers carry traces on. Default both of W3C.
    pub propagation: Propagation,
    /// The longest that a span waits for others to be sent with. Default 1 s.
    pub export_interval: Duration,
    /// The longest that one export may take, retries not included. Default 5 s.
    pub export_timeout: Duration,
    /// How many spans of the process may wait; what comes then is dropped, and counted. Some 1 to 2 KB each.
    /// Default 8192.
    pub spans_max: usize,
    /// The most spans of one export. Default 512.
    pub batch_spans_max: usize,
    /// Host and port of a statsd daemon, `localhost:8125`. Without it metrics are only counted.
    pub statsd: Option<String>,
    /// How the daemon wants tags.
    pub dialect: Dialect,
    /// How often metrics are sent. Default 1 s.
    pub flush_interval: Duration,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp: None,
            otlp_traces: None,
            sampling: Sampling::default(),
            fault_sampling: FaultSampling::default(),
            propagation: Propagation::default(),
            export_interval: Duration::from_secs(1),
            export_timeout: Duration::from_secs(5),
            spans_max: 8192,
            batch_spans_max: 512,
            statsd: None,
            dialect: Dialect::default(),
            flush_interval: Duration::from_secs(1),
        }
    }
}

/// The process's traces and metrics, from start to shutdown.
///
/// Holds the threads that send; the handles it gives out stay good after it is gone, and then
/// send nothing. Dropped without [`shutdown`](Self::shutdown), it loses what was not sent yet.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    traces: Option<Traces>,
    propagation: Propagation,
    flusher: Option<Flusher>,
}

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The OTLP URL is none.
    #[error("could not read OTLP URL `{url}`")]
    OtlpUrl {
        /// As configured.
        url: String,
        /// What is wrong with it.
        source: http::uri::InvalidUri,
    },
    /// The OTLP URL is not a base URL that can be reached without TLS.
    #[error("OTLP URL `{url}` is not of the form http://host:port")]
    OtlpForm {
        /// As configured.
        url: String,
    },
    /// Environment variables of OpenTelemetry ask for what is not built in, or nonsense.
    #[error("could not set up the OTLP exporter")]
    OtlpExporter(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The ratio is not a share.
    #[error("sample ratio {0} is outside 0 to 1")]
    SampleRatio(f64),
    /// An interval of zero would never rest, and a queue of none take nothing.
    #[error("{name}: must be more than 0")]
    Zero {
        /// The field of the configuration.
        name: &'static str,
    },
    /// The statsd daemon's address is not host and port.
    #[error("could not read statsd address `{address}`")]
    StatsdAddress {
        /// As configured.
        address: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The system refused a thread, a socket or the like.
    #[error("could not get a thread or socket for telemetry")]
    System(#[source] io::Error),
}

/// The shutdown's deadline passed before everything was sent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("gave up after {deadline:?} with {spans} spans unsent")]
pub struct ShutdownTimeout {
    /// What was allowed.
    pub deadline: Duration,
    /// Spans that were dropped; 0 if only the last metrics are uncertain.
    pub spans: u64,
}

impl Telemetry {
    /// Starts what `config` asks for: nothing, or threads that send.
    ///
    /// Blocks while the daemon's name is looked up. A name that is not known yet, as where containers start in any
    /// order, is looked up again until it is; whether anybody listens there is not tried.
    ///
    /// # Errors
    /// When the configuration makes no sense, or the system refuses a thread or socket.
    pub fn start(config: TelemetryConfig) -> Result<Self, StartError> {
        let TelemetryConfig {
            otlp,
            otlp_traces,
            sampling,
            fault_sampling,
            propagation,
            export_interval,
            export_timeout,
            spans_max,
            batch_spans_max,
            statsd,
            dialect,
            flush_interval,
        } = config;
        if !(0.0..=1.0).contains(&sampling.ratio) {
            return Err(StartError::SampleRatio(sampling.ratio));
        }
        let zeros = [
            ("export_interval", export_interval.is_zero()),
            ("export_timeout", export_timeout.is_zero()),
            ("spans_max", spans_max == 0),
            ("batch_spans_max", batch_spans_max == 0),
            ("flush_interval", flush_interval.is_zero()),
        ];
        if let Some((name, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(StartError::Zero { name });
        }

        let metrics = Metrics::new();
        let endpoint = match (otlp_traces, otlp) {
            (Some(url), _) => Some(exact_endpoint(&url)?),
            (None, Some(base)) => Some(endpoint(&base)?),
            (None, None) => None,
        };
        let traces = match endpoint {
            None => None,
            Some(endpoint) => {
                let settings = TraceSettings {
                    endpoint,
                    sampling,
                    fault_sampling,
                    propagation,
                    export_interval,
                    export_timeout,
                    batch_spans_max: batch_spans_max.min(spans_max),
                };
                let ledger = Ledger::new(&metrics, spans_max as u64);
                Some(Traces::start(settings, ledger)?)
            }
        };
        let flusher = match statsd {
            None => None,
            Some(address) => {
                let daemon =
                    statsd::find(&address).map_err(|source| StartError::StatsdAddress {
                        address: address.clone(),
                        source,
                    })?;
                let flusher =
                    Flusher::start(address, daemon, dialect, flush_interval, metrics.clone());
                Some(flusher.map_err(StartError::System)?)
            }
        };
        Ok(Self {
            metrics,
            traces,
            propagation,
            flusher,
        })
    }

    /// The process's metrics.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The tracer of a service, `service.name` in OpenTelemetry; off without a collector.
    ///
    /// Each name takes a thread and a queue, so ask for few; the same name gives the same tracer.
    #[must_use]
    pub fn tracer(&self, service: &str) -> Tracer {
        self.traces.as_ref().map_or_else(
            || Tracer::off_with(self.propagation),
            |traces| traces.tracer(service),
        )
    }

    /// Sends spans and metrics now, and comes back when that is done or has failed.
    ///
    /// Blocks, up to 5 s for each service and for the metrics; meant for tests.
    pub fn force_flush(&self) {
        if let Some(traces) = &self.traces {
            traces.flush();
        }
        if let Some(flusher) = &self.flusher {
            flusher.flush(Duration::from_secs(5));
        }
    }

    /// Sends what is left, first spans, then metrics with the final counts of spans, and ends the
    /// threads.
    ///
    /// Blocks for at most `deadline`, whatever the collector does, and may be called from any
    /// thread. Let requests end before: what comes later is not sent. A second call does nothing.
    ///
    /// # Errors
    /// Returns [`ShutdownTimeout`] when the deadline came first. What a collector refused is not
    /// an error here but counted in `telemetry.spans_failed`.
    pub fn shutdown(&self, deadline: Duration) -> Result<(), ShutdownTimeout> {
        let begun = Instant::now();
        // A tenth is kept for the last metrics, which take a millisecond.
        let spans = match &self.traces {
            Some(traces) => traces.shutdown(deadline.mul_f64(0.9)),
            None => 0,
        };
        let is_flushed = match &self.flusher {
            Some(flusher) => flusher.stop(deadline.saturating_sub(begun.elapsed())),
            None => true,
        };
        if spans == 0 && is_flushed {
            Ok(())
        } else {
            Err(ShutdownTimeout { deadline, spans })
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // Whoever wanted to know has called it before.
        self.shutdown(Duration::ZERO).ok();
    }
}

/// Where traces are posted to, if `base` is a URL that can be.
fn endpoint(base: &str) -> Result<String, StartError> {
    let (authority, path) = parts(base)?;
    let path = path.trim_end_matches('/');
    // The whole URL, as other programs want it, is as good.
    let path = path.strip_suffix("/v1/traces").unwrap_or(path);
    Ok(format!("http://{authority}{path}/v1/traces"))
}

/// As [`endpoint`], of a URL that is whole already.
fn exact_endpoint(url: &str) -> Result<String, StartError> {
    let (authority, path) = parts(url)?;
    Ok(format!("http://{authority}{path}"))
}

/// Authority and path of the URL of a collector.
fn parts(base: &str) -> Result<(String, String), StartError> {
    let uri: Uri = base.parse().map_err(|source| StartError::OtlpUrl {
        url: base.to_owned(),
        source,
    })?;
    let (Some("http"), Some(authority), None) = (uri.scheme_str(), uri.authority(), uri.query())
    else {
        return Err(StartError::OtlpForm {
            url: base.to_owned(),
        });
    };
    Ok((authority.to_string(), uri.path().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_appended_to_the_base_url() {
        for (base, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1/otlp", "http://127.0.0.1/otlp/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
            (
                "http://127.0.0.1:4318/v1/traces",
                "http://127.0.0.1:4318/v1/traces",
            ),
            ("http://nobody.invalid", "http://nobody.invalid/v1/traces"),
        ] {
            assert_eq!(endpoint(base).expect(base), expected);
        }
    }
}
