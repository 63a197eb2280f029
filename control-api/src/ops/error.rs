//! Why something was not done. Nothing was changed then.

use std::time::Duration;

use brownout_fault::{ArmError, read::Problem};
use brownout_proxy::RouteError;

/// A change that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// Understood and refused, with the place of each problem.
    #[error("{}", told(.0))]
    Invalid(Vec<Problem>),
    /// An id, name or address is taken.
    #[error("{0}")]
    Taken(String),
    /// It is no longer as it was when the change was worked out.
    #[error("{0}")]
    Changed(String),
    /// More than there may be at a time.
    #[error("{0}")]
    TooMany(String),
    /// No fault has this id.
    #[error("there is no fault `{0}`; it may have expired")]
    NoFault(String),
    /// No route has this name.
    #[error("there is no route `{0}`")]
    NoRoute(String),
    /// No toxic of the proxy has this name.
    #[error("toxic not found")]
    NoToxic,
    /// No lease has this id.
    #[error("there is no lease `{0}`; it may have ended")]
    NoLease(String),
    /// What was to be so is not so.
    #[error("{0}")]
    Condition(String),
    /// Everything was halted; arming is locked for this long.
    #[error(
        "everything was halted, and nothing may be armed for another {} s; \
         lift that with POST /halt {{\"rearm_after\":\"0s\"}}",
        whole_seconds(*.0)
    )]
    Locked(Duration),
    /// The process is about to end.
    #[error("the proxy is shutting down")]
    ShuttingDown,
}

impl OpError {
    /// One problem with the input.
    pub(crate) fn invalid(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }

    /// Says which of several routes it was.
    pub(super) fn of_route(self, name: &str) -> Self {
        match self {
            Self::Taken(why) => Self::Taken(format!("route `{name}`: {why}")),
            Self::Invalid(problems) => {
                let of_route = |Problem { pointer, detail }| Problem {
                    pointer: format!("route `{name}` {pointer}"),
                    detail,
                };
                Self::Invalid(problems.into_iter().map(of_route).collect())
            }
            other => other,
        }
    }
}

/// Seconds, rounded up: what `Retry-After` says.
pub(crate) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

fn told(problems: &[Problem]) -> String {
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    told.join("; ")
}

impl From<ArmError> for OpError {
    fn from(error: ArmError) -> Self {
        match error {
            ArmError::Taken { .. } => Self::Taken(error.to_string()),
            ArmError::TooMany => Self::TooMany(error.to_string()),
            ArmError::TooManyExpressions { .. } => {
                Self::invalid(Problem::at("match", error.to_string()))
            }
        }
    }
}

impl From<RouteError> for OpError {
    fn from(error: RouteError) -> Self {
        match &error {
            RouteError::NameTaken { .. } | RouteError::AddressTaken { .. } => {
                Self::Taken(error.to_string())
            }
            RouteError::ChangedMeanwhile { .. } => Self::Changed(error.to_string()),
            RouteError::Unknown { name } => Self::NoRoute(name.clone()),
            RouteError::Listen { source, .. } => {
                Self::invalid(Problem::at("listen", format!("{error}: {source}")))
            }
            RouteError::Reserved { address, .. } => Self::invalid(Problem::at(
                "upstream",
                format!(
                    "leads to the control API at {address}; start the proxy with --allow-control-upstream if \
                     that is meant"
                ),
            )),
            RouteError::Tls(wrong) => Self::invalid(Problem::at("tls", wrong.to_string())),
            RouteError::OtherProtocol { .. } | RouteError::Loop { .. } => {
                Self::invalid(Problem::at("upstream", error.to_string()))
            }
            RouteError::NoCallerFaults => {
                Self::invalid(Problem::at("caller_faults", error.to_string()))
            }
            RouteError::TooMany => Self::TooMany(error.to_string()),
            RouteError::ShuttingDown => Self::ShuttingDown,
        }
    }
}
