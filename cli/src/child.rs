//! A command that runs behind a proxy, and is not left behind.

use std::{
    fs::File,
    io::{self, IsTerminal},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicI32, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    exit::{Exit, Failure},
    signals::Asked,
};

/// How long it may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// Where the output of the command goes.
#[derive(Debug)]
pub(crate) enum ChildOutput {
    /// Where ours goes; it reads what we could read.
    Ours,
    /// To this file; it reads nothing, and is no part of our terminal's group.
    File(File),
}

/// The running command. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    /// Whether it leads a group of its own, so that its own children can be reached.
    has_group: bool,
    ended: Option<oneshot::Receiver<io::Result<ExitStatus>>>,
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts it with these variables. On a terminal it stays in our group, so that it can read from there, and Ctrl-C reaches
    /// it from there.
    pub(crate) fn start(
        words: &[String],
        variables: &[(String, String)],
        output: ChildOutput,
    ) -> Result<Self, Failure> {
        let [program, arguments @ ..] = words else {
            return Err(Failure::new(Exit::Usage, "there is no command behind `--`"));
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let has_group = match output {
            ChildOutput::Ours => !io::stdin().is_terminal(),
            ChildOutput::File(file) => {
                let error = file
                    .try_clone()
                    .map_err(|error| Failure::new(Exit::Internal, error))?;
                command.stdin(Stdio::null()).stdout(file).stderr(error);
                true
            }
        };
        if has_group {
            command.process_group(0);
        }
        let mut process = command.spawn().map_err(|error| {
            Failure::new(Exit::Usage, format!("could not start `{program}`: {error}"))
        })?;
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::new(Exit::Internal, "the command has no number"))?;
        let number = pid.as_raw_nonzero().get();
        THE_ONE.store(if has_group { -number } else { number }, Ordering::Relaxed);
        let (ends, ended) = oneshot::channel();
        let waiting = thread::Builder::new()
            .name("command".to_owned())
            // Whoever waited may be gone.
            .spawn(move || drop(ends.send(process.wait())));
        waiting.map_err(|error| Failure::new(Exit::Internal, error))?;
        Ok(Self {
            pid,
            has_group,
            ended: Some(ended),
            status: None,
        })
    }

    /// Waits for its end. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> Exit {
        if let Some(ended) = &mut self.ended {
            let status = ended.await;
            self.ended = None;
            if !self.has_group {
                // Its number may be another's now.
                THE_ONE.store(0, Ordering::Relaxed);
            }
            self.status = status.ok().and_then(Result::ok);
        }
        match self.status {
            Some(status) => exit_of(status),
            None => Exit::Internal,
        }
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<Exit> {
        let ended = self.ended.as_mut()?.try_recv().ok()?;
        self.ended = None;
        self.status = ended.ok();
        Some(self.status.map_or(Exit::Internal, exit_of))
    }

    /// Passes a signal on.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.ended.is_some() {
            self.send(signal);
        }
    }

    /// Asks it to end as we were asked, then makes it.
    pub(crate) async fn stop(mut self, asked: Asked) -> Exit {
        match asked {
            // In our group it was told by the terminal.
            Asked::Interrupt if !self.has_group => {}
            Asked::Interrupt => self.signal(Signal::INT),
            Asked::Terminate => self.signal(Signal::TERM),
        }
        if timeout(GRACE, self.ended()).await.is_err() {
            tracing::warn!("the command did not end within {GRACE:?} and is killed");
            self.signal(Signal::KILL);
        }
        self.ended().await
    }

    fn send(&self, signal: Signal) {
        send(self.pid, self.has_group, signal);
    }
}

/// The command of this process, for who ends the process without waiting: its number, negative if it leads a group; 0 for
/// none.
static THE_ONE: AtomicI32 = AtomicI32::new(0);

/// Kills the command of this process, if there is one.
pub(crate) fn kill_the_one() {
    let number = THE_ONE.load(Ordering::Relaxed);
    if let Some(pid) = Pid::from_raw(number.saturating_abs()) {
        send(pid, number < 0, Signal::KILL);
    }
}

fn send(pid: Pid, has_group: bool, signal: Signal) {
    let sent = match has_group {
        true => kill_process_group(pid, signal),
        false => kill_process(pid, signal),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "a signal found nobody");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // What it has started and left behind, or itself.
        if self.has_group || self.ended.is_some() {
            self.send(Signal::KILL);
        }
        THE_ONE.store(0, Ordering::Relaxed);
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    let code = code.and_then(|code| u8::try_from(code).ok());
    match code {
        Some(0) => Exit::Ok,
        Some(code) => Exit::Command(code),
        None => Exit::Internal,
    }
}
