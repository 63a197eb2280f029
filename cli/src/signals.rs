//! The signals that a running command obeys.

use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    child,
    exit::{Exit, Failure},
    watched_file::WatchedFile,
};

/// What a signal asks a server to do besides to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGHUP, or the file of the configuration has changed: read it again.
    Reload,
    /// SIGUSR1: remove every fault.
    Halt,
}

/// Which signal asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGINT, as Ctrl-C sends it to everybody on a terminal.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGUSR1, waited for instead of dying of them.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    user: Signal,
}

impl Stop {
    /// From now on the signals are kept. To be called before anybody is told that the server is ready.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(
                    Exit::Internal,
                    format!("could not listen for signals: {error}"),
                )
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the first SIGINT, SIGTERM or SIGHUP: the terminal of a command that only prints has gone. A second SIGINT
    /// or SIGTERM ends the process at once, whatever it is doing.
    pub(crate) async fn asked(mut self) {
        tokio::select! {
            _ = next(&mut self.interrupt, &mut self.terminate) => {}
            _ = self.hangup.recv() => {}
        }
        exit_on_the_next();
    }

    /// As [`asked`](Self::asked), for a server: it lives on after SIGHUP, and obeys that and SIGUSR1.
    pub(crate) async fn asked_while(self, obey: impl FnMut(Order)) -> Asked {
        self.asked_while_following(None, obey).await
    }

    /// As [`asked_while`](Self::asked_while). A change of the file orders what SIGHUP does.
    pub(crate) async fn asked_while_following(
        self,
        mut file: Option<WatchedFile>,
        mut obey: impl FnMut(Order),
    ) -> Asked {
        let Self {
            mut interrupt,
            mut terminate,
            mut hangup,
            mut user,
        } = self;
        let mut stop = pin!(next(&mut interrupt, &mut terminate));
        let asked = loop {
            tokio::select! {
                asked = &mut stop => break asked,
                _ = hangup.recv() => {
                    if let Some(file) = &mut file {
                        file.is_taken();
                    }
                    obey(Order::Reload);
                }
                () = changed(&mut file) => obey(Order::Reload),
                _ = user.recv() => obey(Order::Halt),
            }
        };
        exit_on_the_next();
        asked
    }

    /// As [`asked_while`](Self::asked_while), for a server that has no configuration and no faults.
    pub(crate) async fn asked_of_a_service(self) -> Asked {
        self.asked_while(|order| tracing::info!(?order, "nothing to do"))
            .await
    }
}

async fn changed(file: &mut Option<WatchedFile>) {
    match file {
        Some(file) => file.changed().await,
        None => std::future::pending().await,
    }
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> Asked {
    tokio::select! {
        _ = interrupt.recv() => Asked::Interrupt,
        _ = terminate.recv() => Asked::Terminate,
    }
}

/// From now on a signal finds a thread that does nothing but wait for it, however busy the others are.
///
/// It returns once that thread listens: a signal in between would be heard by nobody.
fn exit_on_the_next() {
    let (listens, is_listening) = std::sync::mpsc::channel::<()>();
    let waiting = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let Ok(mut stop) = Stop::listen() else { return };
                drop(listens);
                next(&mut stop.interrupt, &mut stop.terminate).await;
                child::kill_the_one();
                #[expect(clippy::exit, reason = "asked twice: nothing is waited for")]
                std::process::exit(Exit::Interrupted.code().into());
            });
        });
    if let Err(error) = waiting {
        tracing::warn!(%error, "a second signal will not end the process early");
    }
    // Nothing is ever sent: the other end is dropped when it listens, or when it never will.
    for () in is_listening {}
}
