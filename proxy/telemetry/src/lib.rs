//! OpenTelemetry traces, statsd metrics and their names.
