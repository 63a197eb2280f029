//! The word to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure};

/// SIGINT (Ctrl-C) and SIGTERM, waited for instead of dying of them.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
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
        })
    }

    /// Waits for the first one. A second one ends the process at once, whatever it is doing.
    pub(crate) async fn asked(mut self) {
        self.next().await;
        exit_on_the_next();
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
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
                stop.next().await;
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
