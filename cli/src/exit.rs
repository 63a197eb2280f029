//! How the command ends: the one table of exit codes.

use std::{error::Error, fmt, process::ExitCode};

use brownout_client::ClientError;

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command did what it was asked for.
    Ok,
    /// It was understood and refused, by the proxy or by what was measured.
    Refused,
    /// Wrong usage, a wrong file, or an address that is taken or cannot be listened on.
    Usage,
    /// The steady state of an experiment did not hold; nothing was injected.
    SteadyNotMet,
    /// An experiment proves nothing either way.
    Inconclusive,
    /// A guard stopped an experiment.
    Halted,
    /// A fault may still be armed.
    FaultLeft,
    /// The control API or the target cannot be reached.
    Unreachable,
    /// A bug, or the system failed.
    Internal,
    /// Interrupted, and rolled back.
    Interrupted,
    /// As the command that ran behind a proxy ended.
    Command(u8),
    /// The code of `--exit-code-on-fail`, in place of [`Refused`](Self::Refused).
    Chosen(u8),
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::SteadyNotMet => 3,
            Self::Inconclusive => 4,
            Self::Halted => 5,
            Self::FaultLeft => 6,
            Self::Unreachable => 69,
            Self::Internal => 70,
            Self::Interrupted => 130,
            Self::Command(code) => code,
            Self::Chosen(code) => code,
        }
    }
}

/// The table, for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done; a server that was asked to stop has stopped
  1    understood and refused; an expectation of an experiment did not hold
  2    wrong usage or a wrong file; an address that is taken or cannot be listened on
  3    the steady state of an experiment did not hold, and nothing was injected
  4    inconclusive: too few samples, or a fault never injected
  5    a guard stopped an experiment
  6    a fault could not be removed and may still be armed
  69   the control API or the target cannot be reached
  70   an internal error
  130  interrupted
  With `proxy ... -- COMMAND` the exit code is the command's, or 128 and the number of the signal that ended it.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why the command did not do what it should, for a person.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }

    /// An error with all its sources.
    pub(crate) fn chain(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let all = std::iter::successors(Some(error), |&error| error.source());
        let all: Vec<String> = all.map(ToString::to_string).collect();
        Self::new(exit, all.join(": "))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Refused(_) => Self::new(Exit::Refused, error),
            // hyper's own words would say less than the address does.
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } => {
                Self::new(Exit::Unreachable, error)
            }
            ClientError::Tls { .. } | ClientError::Foreign { .. } => {
                Self::new(Exit::Unreachable, error)
            }
        }
    }
}

impl From<brownout_client::InvalidTrust> for Failure {
    fn from(error: brownout_client::InvalidTrust) -> Self {
        Self::chain(Exit::Usage, &error)
    }
}

impl From<brownout_client::InvalidAddress> for Failure {
    fn from(error: brownout_client::InvalidAddress) -> Self {
        Self::new(Exit::Usage, error)
    }
}
