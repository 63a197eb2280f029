//! The audit: the stock experiments on a service that somebody else wrote, and what they tell of it.
//!
//! An [`Audit`] calls the service as its users do, breaks its dependencies one at a time through the proxy's control API, and
//! reads from the proxy's journal what the service did about it. It begins in calm, which gives the scale of every dose and
//! bound; then come the experiments, each with a client that is proven well; then the [`rules`].
//!
//! Whatever happens, each fault is removed before it returns; if the process dies, each ends by itself within 3 minutes.

mod battery;
mod calibrate;
mod caller;
mod clock;
mod lab;
mod options;
mod report;
mod schema;
mod second;
mod seen;
mod words;

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use brownout_client::{Client, ClientError};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::{
    battery::{Experiments, Stop},
    lab::Lab,
};
pub use self::{
    options::{Endpoint, Options},
    report::{AuditReport, AuditVerdict, CalmRecord, ExperimentRecord, PageAddress},
    schema::audit_schema,
    seen::{AttemptEnding, ExemplarAttempt, ExemplarPage, Moment, OverTime, Seen},
};
use crate::{
    forensics::{Calm, rules},
    run::{JournalError, Proxy, RunError},
};

/// The service under test, as far as it is ours to start.
pub trait UnderTest: Send + fmt::Debug {
    /// Ends the service and starts it anew. `false` where somebody else has started it.
    fn restart(&mut self) -> Restarting<'_>;

    /// Why the service has ended, where it is ours and has.
    fn has_ended(&mut self) -> Option<String>;
}

/// What comes of starting a service anew; an error says why it could not be.
pub type Restarting<'s> = Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 's>>;

/// An audit that has not begun.
#[derive(Debug)]
pub struct Audit<'s> {
    /// What it is told.
    pub options: Options,
    /// The control API of the proxy.
    pub control: Client,
    /// The service under test.
    pub service: &'s mut dyn UnderTest,
    /// Cancelling it ends the audit, rolled back. What was found by then is told; before the first experiment has ended that is
    /// nothing.
    pub stop: CancellationToken,
}

/// What happens in an audit, in order.
#[derive(Debug, Clone)]
pub enum AuditEvent {
    /// The service does not serve its page yet.
    Waiting {
        /// Where the page is asked for.
        page: String,
        /// How long it is waited for in all.
        within: Duration,
    },
    /// The service serves its page.
    Ready,
    /// What was seen of a dependency in calm.
    Calm(CalmRecord),
    /// An experiment is over.
    Experiment(Box<ExperimentRecord>),
    /// The service was started anew.
    Restarted {
        /// The dependency that was being audited.
        route: String,
        /// The reason, as a sentence.
        why: String,
    },
    /// The experiments of a dependency ended early.
    Stopped {
        /// The name of the dependency's route.
        route: String,
        /// The reason, as a sentence.
        why: String,
    },
}

/// Why an audit tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The proxy says no, or does not answer.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The proxy's records cannot be read.
    #[error("the records of requests: {0}")]
    Journal(#[from] JournalError),
    /// The service could not be started, or has ended.
    #[error("the service under test {0}")]
    Service(String),
    /// The service did not serve its page in time.
    #[error("the page was not served within {}: {seen}", crate::expectation::Unit::Time.show(within.as_secs_f64()))]
    NotReady {
        /// How long it was waited for.
        within: Duration,
        /// What was seen last.
        seen: String,
    },
    /// Faults are armed that the audit does not know.
    #[error("faults are armed already ({0}); remove them first: brownout fault clear")]
    OtherFaults(String),
    /// A fault could not be removed.
    #[error("the fault `{0}` could not be removed and may still be armed")]
    FaultLeft(String),
    /// It was asked to stop.
    #[error("interrupted; every fault is removed")]
    Interrupted,
}

impl AuditError {
    fn control(error: ClientError) -> Self {
        Self::Run(RunError::Control(error))
    }

    /// Whether the proxy understood and said no.
    fn is_refusal(&self) -> bool {
        let refused = |source: &ClientError| matches!(source, ClientError::Refused(_));
        matches!(self, Self::Run(RunError::Arm { source, .. }) if refused(source))
    }
}

impl Audit<'_> {
    /// Does the whole audit, and tells what happens.
    ///
    /// # Errors
    /// When the service is not ready, or the proxy cannot be used: nothing can be said of the service.
    pub async fn run(
        self,
        mut tell: impl FnMut(AuditEvent) + Send,
    ) -> Result<AuditReport, AuditError> {
        let Self {
            options,
            control,
            service,
            stop,
        } = self;
        let mut proxy = Proxy::of(control, options.seed);
        let mut report = AuditReport::new(&options);
        let ended = audit(&options, &mut proxy, service, &stop, &mut report, &mut tell);
        let ended = Box::pin(ended).await;
        if let Some(left) = proxy.roll_back().await.first() {
            return Err(AuditError::FaultLeft(left.clone()));
        }
        match ended {
            Err(AuditError::Interrupted) if !report.experiments.is_empty() => {
                report.interrupted(&options.routes);
            }
            ended => ended?,
        }
        Ok(report.closed())
    }
}

/// What comes of it, unless the audit is asked to stop.
async fn unless_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, AuditError>>,
) -> Result<T, AuditError> {
    let ended = stop.run_until_cancelled(work).await;
    ended.unwrap_or(Err(AuditError::Interrupted))
}

async fn audit(
    options: &Options,
    proxy: &mut Proxy,
    service: &mut dyn UnderTest,
    stop: &CancellationToken,
    report: &mut AuditReport,
    tell: &mut (dyn FnMut(AuditEvent) + Send),
) -> Result<(), AuditError> {
    let states = proxy.states().await.unwrap_or_default();
    if !states.is_empty() {
        let ids: Vec<String> = states.into_keys().collect();
        return Err(AuditError::OtherFaults(ids.join(", ")));
    }
    /// A service that takes longer to be ready is told to be waited for.
    const SILENCE: Duration = Duration::from_secs(2);
    /// So much of the time until the service is ready counts as part of the audit.
    const START_COUNTED: Duration = Duration::from_secs(3);
    let began = Instant::now();
    let mut lab = Lab::new(options, service, proxy).await?;
    {
        let mut ready = pin!(unless_stopped(stop, lab.wait_until_ready()));
        match timeout(SILENCE, &mut ready).await {
            Ok(ended) => ended?,
            Err(_elapsed) => {
                tell(AuditEvent::Waiting {
                    page: format!("http://{}{}", options.page.host, options.page.path),
                    within: options.ready_within,
                });
                ready.await?;
            }
        }
    }
    let mut turn = Instant::now() - began.elapsed().min(START_COUNTED);
    tell(AuditEvent::Ready);
    unless_stopped(stop, lab.warm_up()).await?;
    let second = options.second_source.as_deref();
    let mut first: Option<(&str, Calm)> = None;
    // The second source comes last, as it is looked at through the first.
    let (last, routes): (Vec<&String>, Vec<&String>) = options
        .routes
        .iter()
        .partition(|it| Some(it.as_str()) == second);
    for route in routes.into_iter().chain(last) {
        lab.turn_to(route);
        let deadline = turn + options.length();
        let calm = unless_stopped(stop, lab.calibrate()).await?;
        if let Some(ended) = lab.client.has_ended() {
            let but = "though its page is served: something else listens there";
            return Err(AuditError::Service(format!("{ended}, {but}")));
        }
        let told = CalmRecord::of(route, &calm);
        tell(AuditEvent::Calm(told.clone()));
        report.calm(told);
        if let Some(by) = calm.joined_by {
            report.joined(by);
        }
        if calm.paths.is_empty() {
            report.findings(match &first {
                Some((primary, calm)) if Some(route.as_str()) == second => {
                    let second = second::audit(&mut lab, primary, route, calm);
                    unless_stopped(stop, second).await?
                }
                _ => rules::unseen(route, "no call was seen in calm"),
            });
            turn = Instant::now();
            continue;
        }
        if let Some(why) = &calm.fails {
            tell(AuditEvent::Stopped {
                route: route.clone(),
                why: why.clone(),
            });
            report.stopped(route, why);
            report.findings(rules::unseen(route, why));
            turn = Instant::now();
            continue;
        }
        let mut experiments = Experiments::new(&mut lab, &calm, tell, deadline, stop);
        let stopped = experiments.do_all().await;
        // The next dependency is not looked at while the client still keeps away from this one.
        if stopped.is_ok() && options.routes.len() > 1 && !stop.is_cancelled() {
            match experiments.prove("").await {
                Err(Stop::Error(error)) => return Err(error),
                Ok(()) | Err(Stop::NotWell(_)) => {}
            }
        }
        let Experiments {
            scale,
            battery,
            records,
            left_out,
            ..
        } = experiments;
        report.experiments(records);
        let did_all = stopped.is_ok();
        match stopped {
            Ok(()) => {}
            Err(Stop::NotWell(why)) => {
                tell(AuditEvent::Stopped {
                    route: route.clone(),
                    why: why.clone(),
                });
                report.stopped(route, &why);
            }
            Err(Stop::Error(error)) => return Err(error),
        }
        let findings = rules::findings_by_path(route, &calm, &scale, &battery);
        let findings = findings
            .into_iter()
            .map(|it| match left_out.contains(&it.id) {
                true if stop.is_cancelled() => it.left_out(report::INTERRUPTED),
                true => it.left_out(&options.left_out()),
                false if options.fast && did_all && it.why == rules::NOT_TRIED => {
                    it.untold(report::LEFT_OUT_BY_FAST)
                }
                false => it,
            });
        report.findings(findings.collect());
        report.degraded_if = lab.degraded_if();
        if stop.is_cancelled() {
            return Err(AuditError::Interrupted);
        }
        turn = Instant::now();
        first.get_or_insert((route, calm));
    }
    report.degraded_if = lab.degraded_if();
    Ok(())
}
