//! The way of spans to the collector: a queue and a thread for each service.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use opentelemetry::{Context, trace::TracerProvider as _};
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};

use super::{
    Decisions, FaultSampling, Ledger, Propagation, Sampling, Service, Tracer, collector::Collector,
    sampling::Sampled,
};
use crate::StartError;

/// The instrumentation scope that spans name.
const SCOPE: &str = "brownout";

/// Makes a tracer for each service, and ends them all.
///
/// A service is a resource of its own to OpenTelemetry, and a resource belongs to a provider, so
/// each has one, with its thread and queue. The limit on spans that wait is one for all.
#[derive(Debug)]
pub(crate) struct Traces {
    settings: TraceSettings,
    collector: Collector,
    ledger: Arc<Ledger>,
    services: Mutex<Services>,
}

#[derive(Debug, Clone)]
pub(crate) struct TraceSettings {
    /// Where batches are posted to, path included.
    pub(crate) endpoint: String,
    pub(crate) sampling: Sampling,
    pub(crate) fault_sampling: FaultSampling,
    pub(crate) propagation: Propagation,
    /// The longest that a span waits for others to go with it.
    pub(crate) export_interval: Duration,
    /// The longest that one export may take.
    pub(crate) export_timeout: Duration,
    /// The most spans of one export.
    pub(crate) batch_spans_max: usize,
}

#[derive(Debug, Default)]
struct Services {
    by_name: BTreeMap<String, (SdkTracerProvider, Tracer)>,
    are_shut: bool,
}

impl Traces {
    pub(crate) fn start(settings: TraceSettings, ledger: Ledger) -> Result<Self, StartError> {
        let traces = Self {
            collector: Collector::new(settings.export_timeout).map_err(StartError::System)?,
            settings,
            ledger: Arc::new(ledger),
            services: Mutex::default(),
        };
        // What is wrong with the settings is to show now, not at the first service.
        traces
            .exporter(&traces.collector)
            .map_err(|error| StartError::OtlpExporter(error.into()))?;
        Ok(traces)
    }

    /// The tracer of `service`: the same for the same name; off after the shutdown.
    pub(crate) fn tracer(&self, service: &str) -> Tracer {
        let mut services = self.services();
        if services.are_shut {
            return Tracer::off_with(self.settings.propagation);
        }
        if let Some((_, tracer)) = services.by_name.get(service) {
            return tracer.clone();
        }
        let provider = self.provider(service);
        let tracer = Tracer {
            service: Some(Arc::new(Service {
                tracer: provider.tracer(SCOPE),
                sampling: Decisions {
                    reads_parents: self.settings.propagation.trace_context,
                    by_parent: self.settings.sampling.by_parent,
                    faults_always: self.settings.fault_sampling == FaultSampling::Always,
                },
            })),
            propagation: self.settings.propagation,
        };
        services
            .by_name
            .insert(service.to_owned(), (provider, tracer.clone()));
        tracer
    }

    /// Sends what waits and comes back when that is done, or after 5 s for each service.
    pub(crate) fn flush(&self) {
        let providers: Vec<_> = {
            let services = self.services();
            services
                .by_name
                .values()
                .map(|(it, _)| it.clone())
                .collect()
        };
        for provider in providers {
            provider.force_flush().ok(); // The ledger knows what failed.
        }
    }

    /// Sends what waits, as far as `timeout` allows, and tells how many spans that left unsent.
    pub(crate) fn shutdown(&self, timeout: Duration) -> u64 {
        let services = {
            let mut services = self.services();
            services.are_shut = true;
            mem::take(&mut services.by_name)
        };
        thread::scope(|scope| {
            for (provider, _) in services.values() {
                // Its result is fine also when nothing was delivered; the ledger knows better.
                scope.spawn(|| provider.shutdown_with_timeout(timeout).ok());
            }
        });
        self.ledger.give_up()
    }

    fn provider(&self, service: &str) -> SdkTracerProvider {
        let collector = self.collector.of_another();
        let exporter = CountedExporter {
            exporter: self
                .exporter(&collector)
                .expect("the settings were tried at the start"),
            collector,
            endpoint: self.settings.endpoint.clone(),
            ledger: Arc::clone(&self.ledger),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(usize::try_from(self.ledger.waiting_max()).unwrap_or(usize::MAX))
            .with_max_export_batch_size(self.settings.batch_spans_max)
            .with_scheduled_delay(self.settings.export_interval)
            .build();
        let queue = CountedQueue {
            queue: BatchSpanProcessor::new(exporter, batches),
            ledger: Arc::clone(&self.ledger),
        };
        SdkTracerProvider::builder()
            .with_sampler(Sampled::by(self.settings.sampling))
            .with_resource(
                Resource::builder()
                    .with_service_name(service.to_owned())
                    .build(),
            )
            .with_span_processor(queue)
            .build()
    }

    fn exporter(
        &self,
        collector: &Collector,
    ) -> Result<opentelemetry_otlp::SpanExporter, ExporterBuildError> {
        // Once is enough for a collector that is restarting, and a dead one costs a shutdown only
        // some 150 ms a batch. The crate's own three retries would take over a second.
        let retry = RetryPolicy::default()
            .with_max_retries(1)
            .with_initial_delay(Duration::from_millis(100))
            .with_max_jitter(Duration::from_millis(50));
        opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            // Always: the crate picks clients by features, and some of them panic on its threads.
            .with_http_client(collector.clone())
            .with_endpoint(&self.settings.endpoint)
            .with_timeout(self.settings.export_timeout)
            .with_retry_policy(retry)
            .build()
    }

    fn services(&self) -> MutexGuard<'_, Services> {
        self.services
            .lock()
            .expect("nothing panics while it holds the services")
    }
}

/// The queue that spans end in. It is bounded by the ledger, which, unlike the SDK's own bound,
/// tells what it drops.
#[derive(Debug)]
struct CountedQueue {
    queue: BatchSpanProcessor,
    ledger: Arc<Ledger>,
}

impl SpanProcessor for CountedQueue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.ledger.admit() {
            self.queue.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// The other end of the queue.
#[derive(Debug)]
struct CountedExporter {
    exporter: opentelemetry_otlp::SpanExporter,
    /// What it sends with.
    collector: Collector,
    /// Where it sends to, for the log.
    endpoint: String,
    ledger: Arc<Ledger>,
}

impl SpanExporter for CountedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.ledger.has_given_up() {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let spans = batch.len() as u64;
        let begun = Instant::now();
        let result = self.exporter.export(batch).await;
        self.ledger.export_time.record(begun.elapsed());
        let failure = self.collector.take_failure();
        if let Err(error) = &result {
            match &failure {
                Some(failure) => self.ledger.tell_undelivered(&self.endpoint, failure),
                None => self.ledger.tell_undelivered(&self.endpoint, error),
            }
        }
        self.ledger.settle(spans, result.is_ok());
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
