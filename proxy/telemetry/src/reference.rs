//! The reference of everything that is sent, made from the tables of names: a page for people.

use crate::{
    metrics::Metrics,
    names::{self, Kind, Metric, attr},
    prometheus, redact, statsd,
};

/// The reference page, in Markdown.
#[must_use]
pub fn page() -> String {
    let attribute = |attribute: &attr::Attribute| {
        let attr::Attribute { key, on, help } = attribute;
        format!("| `{key}` | {on} | {help} |\n")
    };
    let metric = |metric: &&Metric| {
        let Metric {
            name,
            kind,
            unit,
            tags,
            help,
        } = metric;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let tags: Vec<String> = tags.iter().map(|tag| format!("`{tag}`")).collect();
        let tags = match tags.is_empty() {
            true => "–".to_owned(),
            false => tags.join(", "),
        };
        let scraped = prometheus::name_of(metric);
        format!("| `{name}` | `{scraped}` | {kind} | {unit} | {tags} | {help} |\n")
    };
    [
        TRACES.to_owned(),
        attr::ALL.iter().map(attribute).collect(),
        FAULTS.to_owned(),
        redacted(),
        METRICS.to_owned(),
        names::ALL.iter().map(metric).collect(),
        NAMED.to_owned(),
        dialects(),
        REST.to_owned(),
    ]
    .concat()
}

/// What of a query is not shown.
fn redacted() -> String {
    let list = |names: &[&str]| -> String {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let (names, endings) = (list(redact::NAMES), list(redact::ENDINGS));
    format!("{REDACTED}\nNames: {names}.\n\nEndings of names: {endings}.\n")
}

/// One series of each kind, as each dialect sends it.
fn dialects() -> String {
    let metrics = Metrics::new();
    drop(metrics.counter(names::PROXY_RESPONSES, &["web", "2xx"]));
    drop(metrics.histogram(names::PROXY_LATENCY, &["web"]));
    let section = |dialect: statsd::Dialect| {
        let lines = statsd::example(dialect, &metrics).join("\n");
        format!("`{dialect}`:\n\n```\n{lines}\n```\n\n")
    };
    statsd::Dialect::ALL.into_iter().map(section).collect()
}

const TRACES: &str = "\
# Telemetry

<!-- Made from the tables of names in brownout-telemetry; a test compares it. To write it anew:
     BROWNOUT_WRITE=1 cargo test -p brownout-telemetry the_reference_page_is_up_to_date -->

Traces go to an OpenTelemetry collector (`--otlp URL`, OTLP over HTTP in protobuf), metrics to a statsd daemon
(`--statsd HOST:PORT`, once a second) and to `GET /metrics` of the control API. No request ever waits for either. At most
8,192 spans are queued, and the metrics `telemetry.*` count what is lost.

## Spans

| span | service | kind | what it is |
|---|---|---|---|
| `{METHOD}` | `brownout-proxy` | SERVER | a request on a route, from its head to the end of the answer's body |
| `{METHOD}` | `brownout-proxy` | CLIENT | one sending of it to the upstream; a second one, on another connection, has `http.request.resend_count` |
| `fault {KIND}` | `brownout-proxy` | INTERNAL | time that a fault spends: a wait, a hang, a body that is paced or stopped |
| `{METHOD} {PATTERN}` | `brownout-proxy` | SERVER | a call of the control API, but for `/healthz`, `/readyz` and `/metrics` |
| `{METHOD} {PATTERN}` | each demo service | SERVER | a request it serves |
| `call {UPSTREAM}` | each demo service | INTERNAL | a logical call, whatever its policy made of it |
| `{METHOD}` | each demo service | CLIENT | one attempt of it |

Attributes of HTTP are those of OpenTelemetry's semantic conventions: `http.request.method`, `url.path`, `url.full`,
`server.address`, `http.response.status_code` and so on. A status code is there only if one was sent; 5xx, a missing
answer and a body that breaks off are errors with `error.type`, 4xx only on CLIENT spans. The rest is our own:

| attribute | span | meaning |
|---|---|---|
";

const FAULTS: &str = "
A span that a fault touched has a link to the call of the control API that armed or last changed that fault.

| what happens | the proxy's SERVER span | its CLIENT span | the caller's CLIENT span |
|---|---|---|---|
| `latency`, then 200 | 200, no error; child `fault latency` | begins after the wait | 200, or `timeout` |
| `abort` with 503 | 503, `error.type` 503 | none | 503, an error |
| `reset` before an answer | no status code, `fault.reset` | none | `connection_reset` |
| `truncate` | 200 and an error, `fault.truncate`; `fault.bytes` | 200 | 200 and `incomplete_body` |
| `blackhole` until the caller leaves | no status code, `fault.blackhole`; child `fault blackhole` | none | `timeout` |
| an upstream that is not there | 502, `error.type` 502, no `fault.*` | `connection_refused` | 502 |

`error.type` of a deliberate failure begins with `fault.`, of a real one never: search for `fault.injected=true`.

## Which traces are recorded

A trace that was begun elsewhere is recorded if its `traceparent` says so. Of those begun here `sample_ratio` are, by
trace id. With `fault_sampling = \"always\"` a request that a fault acts on is recorded also in a trace that is not: the
proxy's SERVER span alone, under the trace's id, while the upstream is still told that nothing is recorded. All of that
is decided before anything is built for a span.

Where tracing is off, and in a trace whose caller says that it is not recorded, the proxy passes `traceparent`,
`tracestate` and `baggage` on as they came. Otherwise the upstream gets one `traceparent`, that of the proxy's CLIENT span,
and at most one `tracestate`, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) asks: several fields become one
in their order; one that breaks the grammar or has more than 32 members is dropped, and so is one that came without exactly
one valid `traceparent`, as it belongs to no trace. `baggage` always passes as it came.
";

const REDACTED: &str = "
## What is not shown

Spans show `REDACTED` in place of the values of parameters that sign or authorise: in `url.query`, in `url.full`, and in a
path such as `/cart;jsessionid=1`. The access log and `GET /requests`, which show no query, do the same in a path. A user
name and a password before a host are redacted too. The upstream gets everything as it came.

A parameter of a query begins after `&` or `;`, and a redacted value ends at the next `&`. Names are compared after decoding
`%xx`, and without regard to case, `-` and `_`: `key` is also `KEY` and `k%65y`, and `apikey` is also `api_key`, `api-key` and
`apiKey`. In `user[password]` and `user.password` each part is compared. A URL inside a value is not looked into.
OpenTelemetry's semantic conventions list the first seven names. The others are our choice.
";

const METRICS: &str = "
## Metrics

Counters are sent as what was added since the flush before, and are exact; gauges with each flush. A histogram `X` is sent
as the counter `X.count` and the gauges `X.p50`, `X.p95`, `X.p99`, `X.max` and `X.mean` of the last second, in milliseconds,
within 1.6 %. There are at most 4,000 series at a time, those of some 150 routes; what comes then is counted as `other`. When
a route is deleted and the last exchange on it has ended, its series are sent once more and make room for others; a route of
the same name begins at 0.

| name in statsd | name at `/metrics` | kind | unit in statsd | tags | meaning |
|---|---|---|---|---|---|
";

const NAMED: &str = "
Names that have a service or a path in them, all without tags. `SERVICE` is `homepage`, `authentication`,
`recommendations`, `popular_items` or one of the library's, `PATH` what is asked of an upstream, such as
`/recommendations`:

| name | kind | meaning |
|---|---|---|
| `SERVICE.get`, `SERVICE.post`, … | counter | requests by method |
| `SERVICE.responses.2xx`, … | counter | answers by class |
| `SERVICE.errors` | counter | answers of 500 and above |
| `SERVICE.expired` | counter | requests that were dropped as their deadline had passed |
| `SERVICE.latency` | histogram | how long answers took |
| `PATH.connection_error`, `PATH.timeout`, `PATH.error` | counter | attempts that failed, as the original demo counts them |
| `circuitbreaker.PATH_breaker_open` | counter | calls that an open breaker refused, likewise |
| `authentication.missing_auth_token`, `authorization.authorization_success`, `authorization.permission_denied` | counter | as in the original demo |

There is no counter of faults that were cut short. `fault.client_gave_up` counts the clients that left before their fault was
over, and `fault.delay` has the time that was really added, however the fault ended.

## Dialects

Daemons do not agree on tags: `--statsd-dialect`. Packets have at most 1,432 bytes.

";

const REST: &str = "\
`etsy` is understood by all daemons; dots inside tag values become `_`. In all dialects any character but ASCII letters,
digits, `.`, `_`, `-` and `/` becomes `_`, and a value is cut at 64 bytes. Values that are then the same to the daemon are
told apart by a suffix: of the routes `a.b`, `a_b` and `a:b` the first that is made is `a_b` in `etsy`, the next `a_b_2`, the
last `a_b_3`, in all their series and for as long as they live. The original daemon also takes `/` for `-`, and Datadog takes
upper case for lower case. `influx` is for Telegraf, `datadog` for the Datadog
agent and those who read its dialect. These two get each duration as well, once for each bucket (at most 64 a second) with
the rate `1/n` for the n of its kind, which adds up across processes. The daemon's name is looked up again every 30 s.
`telemetry.statsd_send_errors` counts what the system refused to send, in `influx` and `datadog`.

## `GET /metrics`

The control API serves every series in Prometheus' text format, whether or not there is a statsd daemon. The
names follow the conventions of Prometheus; the second column of the table above has them. A counter ends in `_total`, one of
bytes in `_bytes_total`. A histogram ends in `_seconds`: a summary since the start in seconds, with the quantiles 0.5, 0.95,
0.99 and 1, the longest, and with `_sum` and `_count`. A percentage is a `_ratio` from 0 to 1. `NaN` is what there is no value
of, such as a quantile of nothing. Names with a service or a path in them get `_` for what Prometheus does not take and the
same suffixes: `homepage.get` is `homepage_get_total`, `homepage.latency` is `homepage_latency_seconds`. Tags are labels.

```sh
curl -s localhost:8474/metrics | grep ^proxy_requests_total
```

## Logs

Logs go to standard error, as text on a terminal and otherwise as JSON, one object a line, or as `--log-format` says. What
is logged during a traced call has its `trace_id` and `span_id`. With `--access-log` each request on a route is a line of
the target `brownout::access`: `route`, `method`, `path`, `http_version` (that of the client), `status` or `ending`, `bytes`, `duration_ms`, `upstream_ms`,
`fault_ms`, `client_ms`, `own_ms`, `faults`, `trace_id` and `span_id`. The four parts sum to the whole. `ending` is an error
of `proxy.errors`, `fault.<kind>` of the fault that ended the exchange, `fault.stream` where one of the stream layer ended
the connection, `request_body` where the request's content was malformed, or `refused`, with the reason in `why`. A
connection of a `tcp` route, and one that changed its protocol, has a line when it ends, with `peer`, `bytes_in` and
`bytes_out`. Neither header fields nor the query are in it. Lines are written by a
thread of their own; when 16,384 wait, further ones are dropped, and no request waits.

## Settings

A flag wins over the environment, and both win over the file.

| flag | in `[telemetry]` | default | meaning |
|---|---|---|---|
| `--otlp URL` | `otlp` | off | base URL of a collector; `/v1/traces` is appended |
| `--sample-ratio R` | `sample_ratio` | 1 | share of the traces begun here that is recorded |
| `--fault-sampling W` | `fault_sampling` | `inherit` | `always`: requests with a fault are recorded in traces that are not |
| `--statsd HOST:PORT` | `statsd` | off | a statsd daemon |
| `--statsd-dialect D` | `dialect` | `etsy` | `etsy`, `influx` or `datadog` |

| variable | meaning |
|---|---|
| `OTEL_SDK_DISABLED` | `true`: no spans, also against `--otlp`; headers are passed on all the same |
| `OTEL_TRACES_EXPORTER` | `otlp` or `none`; `otlp` without an endpoint means `http://localhost:4318` |
| `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | a base URL; a whole URL, which wins |
| `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT` | ms that one export may take; 5000 |
| `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TRACES_HEADERS` | further headers of exports |
| `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `always_on`, `always_off`, `traceidratio`, each also with `parentbased_` |
| `OTEL_PROPAGATORS` | `tracecontext`, `baggage`, `none`; without `tracecontext` each process has traces of its own. The proxy passes headers on whatever it says |
| `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | the name of a process with one service, and what all spans say of it |
| `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_BSP_EXPORT_TIMEOUT` | ms that a span waits for others, 1000; as the timeout above |
| `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` | spans that may wait, 8192; spans of one export, 512 |

A value that cannot be used is logged, and treated as unset.
";
