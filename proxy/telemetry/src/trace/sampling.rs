//! Which traces are recorded, and which headers carry them on.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt as _, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// The share of traces, 0 to 1, by trace id: every service that uses the same ratio picks the same traces.
    pub ratio: f64,
    /// Whether a trace that was begun elsewhere is recorded as its `traceparent` says, and the ratio is for those
    /// begun here alone.
    pub by_parent: bool,
}

impl Default for Sampling {
    /// All that are begun here, and of others those that say so.
    fn default() -> Self {
        Self {
            ratio: 1.0,
            by_parent: true,
        }
    }
}

/// Whether a request that a fault acts on is recorded where others are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FaultSampling {
    /// No: it goes by its trace, as all others.
    #[default]
    Inherit,
    /// Yes: the span of the proxy alone, in the trace the request came with.
    Always,
}

/// Which headers are read and passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// `traceparent` and `tracestate`, of W3C Trace Context. Without it no trace goes beyond one process.
    pub trace_context: bool,
    /// `baggage`, of W3C Baggage.
    pub baggage: bool,
}

impl Default for Propagation {
    /// Both.
    fn default() -> Self {
        Self {
            trace_context: true,
            baggage: true,
        }
    }
}

/// Marks a context whose span is recorded whatever the sampler thinks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forced;

/// What the SDK asks for each span.
#[derive(Debug, Clone)]
pub(super) struct Sampled(Sampler);

impl Sampled {
    pub(super) fn by(sampling: Sampling) -> Self {
        let by_ratio = Sampler::TraceIdRatioBased(sampling.ratio);
        Self(match sampling.by_parent {
            true => Sampler::ParentBased(Box::new(by_ratio)),
            false => by_ratio,
        })
    }
}

impl ShouldSample for Sampled {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if parent.is_some_and(|parent| parent.get::<Forced>().is_some()) {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::NONE,
            };
        }
        // Children follow the span they belong to, whatever the ratio says of new ones.
        let local = parent.map(|parent| parent.span().span_context().clone());
        if let Some(parent) = local.filter(|parent| parent.is_valid() && !parent.is_remote()) {
            let decision = match parent.is_sampled() {
                true => SamplingDecision::RecordAndSample,
                false => SamplingDecision::Drop,
            };
            return SamplingResult {
                decision,
                attributes: Vec::new(),
                trace_state: TraceState::NONE,
            };
        }
        self.0
            .should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
