//! Where traces and metrics go: flags, then environment, then the file, then defaults.

mod environment;

use brownout_telemetry::{
    Dialect, FaultSampling, Sampling, StartError, Telemetry, TelemetryConfig,
};

use self::environment::Environment;
use crate::{
    args::TelemetryArgs,
    exit::{Exit, Failure},
    variables::variable,
};

/// What a file says of telemetry; `None` where it says nothing.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct TelemetryFile {
    pub(crate) otlp: Option<String>,
    pub(crate) statsd: Option<String>,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) sample_ratio: Option<f64>,
    pub(crate) fault_sampling: Option<FaultSampling>,
}

/// Telemetry that runs, and under which name.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) telemetry: Telemetry,
    /// What the environment calls the one service of this process.
    service: Option<String>,
}

impl Started {
    /// The name of the process's one service, and its telemetry.
    pub(crate) fn of_one(self, usual: &str) -> (Telemetry, String) {
        let service = self.service.unwrap_or_else(|| usual.to_owned());
        (self.telemetry, service)
    }

    /// The telemetry of a process that has several services, which keep their names.
    pub(crate) fn of_many(self) -> Telemetry {
        if let Some(service) = self.service {
            tracing::warn!(
                service,
                "OTEL_SERVICE_NAME is for one service; those of this process keep their names"
            );
        }
        self.telemetry
    }
}

/// Starts what counts and traces, for everything in the process.
pub(crate) fn start(args: TelemetryArgs, file: TelemetryFile) -> Result<Started, Failure> {
    let environment = Environment::read(variable);
    for warning in &environment.warnings {
        tracing::warn!("{warning}");
    }
    let service = environment.service.clone();
    let telemetry = Telemetry::start(resolve(args, environment, file))
        .map_err(|error: StartError| Failure::chain(Exit::Usage, &error))?;
    Ok(Started { telemetry, service })
}

/// Puts together what was said; the first of flag, environment and file wins.
fn resolve(args: TelemetryArgs, environment: Environment, file: TelemetryFile) -> TelemetryConfig {
    let defaults = TelemetryConfig::default();
    let Environment {
        disabled,
        endpoint,
        exact_endpoint,
        exporter,
        ratio,
        by_parent,
        propagation,
        export_timeout,
        export_interval,
        spans_max,
        batch_spans_max,
        service: _,
        warnings: _,
    } = environment;
    let is_off = disabled || (exporter == Some(false) && args.otlp.is_none());
    let from_environment = args.otlp.is_none() && !is_off;
    let usual = || (exporter == Some(true)).then(|| "http://localhost:4318".to_owned());
    TelemetryConfig {
        otlp_traces: exact_endpoint.filter(|_| from_environment),
        otlp: match is_off {
            true => None,
            false => args.otlp.or(endpoint).or(file.otlp).or_else(usual),
        },
        sampling: Sampling {
            ratio: args
                .sample_ratio
                .or(ratio)
                .or(file.sample_ratio)
                .unwrap_or(defaults.sampling.ratio),
            by_parent: by_parent.unwrap_or(defaults.sampling.by_parent),
        },
        fault_sampling: args
            .fault_sampling
            .map(Into::into)
            .or(file.fault_sampling)
            .unwrap_or_default(),
        propagation,
        export_interval: export_interval.unwrap_or(defaults.export_interval),
        export_timeout: export_timeout.unwrap_or(defaults.export_timeout),
        spans_max: spans_max.unwrap_or(defaults.spans_max),
        batch_spans_max: batch_spans_max.unwrap_or(defaults.batch_spans_max),
        statsd: args.statsd.or(file.statsd),
        dialect: args.statsd_dialect.or(file.dialect).unwrap_or_default(),
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use brownout_telemetry::Propagation;

    use super::*;

    fn from(variables: &[(&str, &str)]) -> Environment {
        Environment::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    /// The outcome of no flags and no file.
    fn alone(variables: &[(&str, &str)]) -> TelemetryConfig {
        resolve(
            TelemetryArgs::default(),
            from(variables),
            TelemetryFile::default(),
        )
    }

    #[test]
    fn a_flag_beats_the_environment_and_that_the_file() {
        let file = || TelemetryFile {
            otlp: Some("http://file:1".to_owned()),
            sample_ratio: Some(0.1),
            ..TelemetryFile::default()
        };
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://environment:1"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.2"),
        ];
        let flags = TelemetryArgs {
            otlp: Some("http://flag:1".to_owned()),
            sample_ratio: Some(0.3),
            ..TelemetryArgs::default()
        };
        for (args, environment, otlp, ratio) in [
            (flags, from(&variables), "http://flag:1", 0.3),
            (
                TelemetryArgs::default(),
                from(&variables),
                "http://environment:1",
                0.2,
            ),
            (TelemetryArgs::default(), from(&[]), "http://file:1", 0.1),
        ] {
            let config = resolve(args, environment, file());

            assert_eq!(config.otlp.as_deref(), Some(otlp));
            assert_eq!(config.sampling.ratio, ratio);
        }
    }

    #[test]
    fn an_endpoint_for_traces_is_taken_as_it_is_unless_a_flag_says_another() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:1"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:1/in"),
        ];
        let flags = TelemetryArgs {
            otlp: Some("http://flag:1".to_owned()),
            ..TelemetryArgs::default()
        };

        assert_eq!(
            alone(&variables).otlp_traces.as_deref(),
            Some("http://traces:1/in")
        );
        let config = resolve(flags, from(&variables), TelemetryFile::default());
        assert_eq!(config.otlp_traces, None);
        assert_eq!(config.otlp.as_deref(), Some("http://flag:1"));
    }

    #[test]
    fn no_variable_at_all_sends_nothing() {
        let config = alone(&[]);

        assert_eq!((config.otlp, config.otlp_traces), (None, None));
        assert_eq!(config.sampling, Sampling::default());
        assert_eq!(config.propagation, Propagation::default());
    }

    #[test]
    fn the_sdk_can_be_disabled_whatever_else_is_said() {
        let flags = TelemetryArgs {
            otlp: Some("http://flag:1".to_owned()),
            ..TelemetryArgs::default()
        };
        let variables = [
            ("OTEL_SDK_DISABLED", "TRUE"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:1/in"),
        ];

        let config = resolve(flags, from(&variables), TelemetryFile::default());

        assert_eq!((config.otlp, config.otlp_traces), (None, None));
    }

    #[test]
    fn the_exporter_may_be_none_or_otlp_at_its_usual_place() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:1");
        let none = ("OTEL_TRACES_EXPORTER", "none");
        let otlp = ("OTEL_TRACES_EXPORTER", "otlp");

        assert_eq!(alone(&[endpoint, none]).otlp, None);
        let usual = Some("http://localhost:4318".to_owned());
        assert_eq!(alone(&[otlp]).otlp, usual);
        assert_eq!(
            alone(&[endpoint, otlp]).otlp.as_deref(),
            Some("http://general:1")
        );
    }

    #[test]
    fn every_sampler_of_the_specification() {
        let sampling = |ratio, by_parent| Sampling { ratio, by_parent };
        for (sampler, expected) in [
            ("always_on", sampling(1.0, false)),
            ("always_off", sampling(0.0, false)),
            ("traceidratio", sampling(0.25, false)),
            ("parentbased_always_on", sampling(1.0, true)),
            ("parentbased_always_off", sampling(0.0, true)),
            ("parentbased_traceidratio", sampling(0.25, true)),
        ] {
            let variables = [
                ("OTEL_TRACES_SAMPLER", sampler),
                ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ];

            assert_eq!(alone(&variables).sampling, expected, "{sampler}");
            assert!(from(&variables).warnings.is_empty());
        }
    }

    #[test]
    fn propagators_are_those_named() {
        for (named, trace_context, baggage) in [
            ("tracecontext,baggage", true, true),
            ("tracecontext", true, false),
            (" baggage ", false, true),
            ("none", false, false),
            ("tracecontext,b3", true, false),
        ] {
            let config = alone(&[("OTEL_PROPAGATORS", named)]);

            let expected = Propagation {
                trace_context,
                baggage,
            };
            assert_eq!(config.propagation, expected, "{named}");
        }
    }

    #[test]
    fn the_queue_and_its_times() {
        let config = alone(&[
            ("OTEL_BSP_SCHEDULE_DELAY", "250"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "9000"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "4000"),
        ]);

        assert_eq!(config.export_interval, Duration::from_millis(250));
        assert_eq!((config.spans_max, config.batch_spans_max), (100, 10));
        assert_eq!(config.export_timeout, Duration::from_secs(4));
    }

    #[test]
    fn a_service_may_be_named_in_two_ways_of_which_its_own_wins() {
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=shop%20one");
        let name = ("OTEL_SERVICE_NAME", "shop");

        assert_eq!(from(&[attributes]).service.as_deref(), Some("shop one"));
        assert_eq!(from(&[attributes, name]).service.as_deref(), Some("shop"));
    }

    #[test]
    fn what_makes_no_sense_is_told_and_counts_as_unset() {
        for (name, value, told) in [
            ("OTEL_SDK_DISABLED", "yes", "is neither true nor false"),
            ("OTEL_PROPAGATORS", "b3", "b3"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", "jaeger_remote"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon", "soon"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "more than 0"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1", "-1"),
        ] {
            let environment = from(&[(name, value)]);

            let [warning] = &environment.warnings[..] else {
                panic!("{name}: {:?}", environment.warnings);
            };
            assert!(
                warning.contains(name) && warning.contains(told),
                "{warning}"
            );
        }
        let ratio = [
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "7"),
        ];
        assert_eq!(from(&ratio).warnings.len(), 1);
        assert_eq!(alone(&ratio).sampling.ratio, 1.0);
    }

    #[test]
    fn an_empty_variable_is_none() {
        let empty = [
            ("OTEL_SDK_DISABLED", ""),
            ("OTEL_PROPAGATORS", ""),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
            ("OTEL_TRACES_SAMPLER", " "),
        ];

        assert!(from(&empty).warnings.is_empty());
        assert_eq!(alone(&empty).otlp, None);
    }
}
