//! The environment variables of OpenTelemetry, as its specification has them.

use std::{fmt, time::Duration};

use brownout_telemetry::Propagation;

/// What the environment says; `None` where it says nothing. `OTEL_EXPORTER_OTLP_HEADERS`, `_COMPRESSION` and
/// `_PROTOCOL`, `OTEL_RESOURCE_ATTRIBUTES` and limits of spans are read by the SDK itself.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) disabled: bool,
    /// The base URL of a collector, to which `/v1/traces` is appended.
    pub(super) endpoint: Option<String>,
    /// The whole URL for traces, which wins over `endpoint`.
    pub(super) exact_endpoint: Option<String>,
    /// Whether traces are exported.
    pub(super) exporter: Option<bool>,
    pub(super) ratio: Option<f64>,
    pub(super) by_parent: Option<bool>,
    pub(super) propagation: Propagation,
    pub(super) export_timeout: Option<Duration>,
    pub(super) export_interval: Option<Duration>,
    pub(super) spans_max: Option<usize>,
    pub(super) batch_spans_max: Option<usize>,
    pub(super) service: Option<String>,
    /// What was said and makes no sense.
    pub(super) warnings: Vec<String>,
}

impl Environment {
    /// Reads it. What makes no sense counts as unset, as the specification demands, and is told.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut read = Reading {
            variable,
            warnings: Vec::new(),
        };
        let (ratio, by_parent) = read.sampler();
        let traces_timeout = read.milliseconds("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT");
        let timeout = read.milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT");
        let batch_timeout = read.milliseconds("OTEL_BSP_EXPORT_TIMEOUT");
        Self {
            disabled: read.disabled(),
            endpoint: read.text("OTEL_EXPORTER_OTLP_ENDPOINT"),
            exact_endpoint: read.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
            exporter: read.exporter(),
            ratio,
            by_parent,
            propagation: read.propagators(),
            export_timeout: traces_timeout.or(timeout).or(batch_timeout),
            export_interval: read.milliseconds("OTEL_BSP_SCHEDULE_DELAY"),
            spans_max: read.number("OTEL_BSP_MAX_QUEUE_SIZE"),
            batch_spans_max: read.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
            service: read.service(),
            warnings: read.warnings,
        }
    }
}

struct Reading<F> {
    variable: F,
    warnings: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reading<F> {
    /// A variable's text; an empty one is as good as none.
    fn text(&self, name: &str) -> Option<String> {
        let text = (self.variable)(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn warn(&mut self, name: &str, value: &str, why: impl fmt::Display) {
        self.warnings.push(format!("{name}={value}: {why}"));
    }

    fn disabled(&mut self) -> bool {
        let name = "OTEL_SDK_DISABLED";
        match self.text(name).map(|it| it.to_lowercase()).as_deref() {
            Some("true") => true,
            None | Some("false") => false,
            Some(other) => {
                self.warn(
                    name,
                    other,
                    "is neither true nor false, and taken for false",
                );
                false
            }
        }
    }

    fn exporter(&mut self) -> Option<bool> {
        let name = "OTEL_TRACES_EXPORTER";
        let mut exports = None;
        for word in self.text(name)?.split(',').map(str::trim) {
            match word {
                "otlp" => exports = Some(true),
                "none" => exports = exports.or(Some(false)),
                other => self.warn(name, other, "is not built in; there are otlp and none"),
            }
        }
        exports
    }

    fn propagators(&mut self) -> Propagation {
        let name = "OTEL_PROPAGATORS";
        let Some(named) = self.text(name) else {
            return Propagation::default();
        };
        let mut propagation = Propagation {
            trace_context: false,
            baggage: false,
        };
        for word in named.split(',').map(str::trim) {
            match word {
                "tracecontext" => propagation.trace_context = true,
                "baggage" => propagation.baggage = true,
                "none" => {}
                other => {
                    let why = "is not built in; there are tracecontext, baggage and none. \
                         A proxy passes the headers on as they are";
                    self.warn(name, other, why);
                }
            }
        }
        propagation
    }

    /// The ratio, and whether it is for new traces alone.
    fn sampler(&mut self) -> (Option<f64>, Option<bool>) {
        let name = "OTEL_TRACES_SAMPLER";
        let Some(sampler) = self.text(name) else {
            return (None, None);
        };
        let (by_parent, kind) = match sampler.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, sampler.as_str()),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.ratio(),
            _ => {
                let why = "is not built in; there are always_on, always_off and traceidratio, \
                     each also with parentbased_ before it";
                self.warn(name, &sampler, why);
                return (None, None);
            }
        };
        (Some(ratio), Some(by_parent))
    }

    fn ratio(&mut self) -> f64 {
        let name = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.text(name) else {
            return 1.0;
        };
        match text.parse() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            Ok(_) | Err(_) => {
                self.warn(name, &text, "is no share between 0 and 1, and taken for 1");
                1.0
            }
        }
    }

    fn milliseconds(&mut self, name: &str) -> Option<Duration> {
        let millis = self.number::<u64>(name)?;
        Some(Duration::from_millis(millis))
    }

    fn number<N: TryFrom<u64>>(&mut self, name: &str) -> Option<N> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| *number > 0);
        let number = number.and_then(|number: u64| N::try_from(number).ok());
        if number.is_none() {
            self.warn(name, &text, "is no whole number of more than 0");
        }
        number
    }

    fn service(&mut self) -> Option<String> {
        if let Some(service) = self.text("OTEL_SERVICE_NAME") {
            return Some(service);
        }
        let attributes = self.text("OTEL_RESOURCE_ATTRIBUTES")?;
        let named = attributes.split(',').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key.trim() == "service.name").then_some(value.trim())
        });
        Some(percent_decoded(named?))
    }
}

/// Resource attributes are written as W3C Baggage, which escapes what it must.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = || {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        match (first, escaped()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
