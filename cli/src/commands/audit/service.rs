//! The service under test: a command that the audit starts, or somebody else's.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use brownout_experiment::audit::{Restarting, UnderTest};

use crate::{
    args::AuditArgs,
    child::{Child, ChildOutput},
    exit::{Exit, Failure},
    signals::Asked,
};

/// The last lines of its output that are shown where it did not serve.
const LINES: usize = 15;

/// The service under test.
#[derive(Debug)]
pub(super) struct Service {
    words: Vec<String>,
    variables: Vec<(String, String)>,
    child: Option<Child>,
    log: Option<Log>,
}

/// Where its output goes.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    /// Whether it is removed in the end.
    is_ours: bool,
}

impl Service {
    pub(super) fn start(
        args: &AuditArgs,
        variables: Vec<(String, String)>,
    ) -> Result<Self, Failure> {
        let mut service = Self {
            words: args.command.clone(),
            variables,
            child: None,
            log: None,
        };
        if args.command.is_empty() {
            return Ok(service);
        }
        service.log = Some(match &args.service_log {
            Some(path) => Log {
                path: path.clone(),
                is_ours: false,
            },
            None => Log {
                path: std::env::temp_dir()
                    .join(format!("brownout-audit-{}.log", std::process::id())),
                is_ours: true,
            },
        });
        service.spawn()?;
        Ok(service)
    }

    fn spawn(&mut self) -> Result<(), Failure> {
        let Some(log) = &self.log else { return Ok(()) };
        let shown = log.path.display();
        let file = File::options().create(true).append(true).open(&log.path);
        let file = file.map_err(|error| {
            Failure::new(Exit::Usage, format!("could not write `{shown}`: {error}"))
        })?;
        let child = Child::start(&self.words, &self.variables, ChildOutput::File(file))?;
        self.child = Some(child);
        Ok(())
    }

    /// Ends it. The last lines of its output.
    pub(super) async fn stop(mut self) -> String {
        if let Some(child) = self.child.take() {
            child.stop(Asked::Terminate).await;
        }
        let Some(log) = &self.log else {
            return String::new();
        };
        let text = fs::read(&log.path).unwrap_or_default();
        if log.is_ours {
            drop(fs::remove_file(&log.path));
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        match last.is_empty() {
            true => String::new(),
            false => format!("its last lines were:\n  {}", last.join("\n  ")),
        }
    }
}

impl UnderTest for Service {
    fn restart(&mut self) -> Restarting<'_> {
        Box::pin(async move {
            let Some(child) = self.child.take() else {
                return Ok(false);
            };
            child.stop(Asked::Terminate).await;
            match self.spawn() {
                Ok(()) => Ok(true),
                Err(failure) => Err(format!("could not be started anew: {}", failure.message)),
            }
        })
    }

    fn has_ended(&mut self) -> Option<String> {
        let exit = self.child.as_mut()?.has_ended()?;
        Some(format!("has ended with the exit code {}", exit.code()))
    }
}
