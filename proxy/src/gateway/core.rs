//! One core: a thread with a runtime of its own.

use std::{io, rc::Rc, thread, time::Duration};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::{
    crowd::Crowd,
    listener::{Serve, accept},
    timer::Timer,
};

/// Starts one core's thread: it serves what it is told to, until it is given a time to end in.
pub(super) fn spawn(
    index: usize,
    mut commands: mpsc::UnboundedReceiver<Serve>,
    mut grace: oneshot::Receiver<Duration>,
    give_memory_back: Option<fn()>,
) -> io::Result<thread::JoinHandle<()>> {
    let core = move || {
        let runtime = match Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
        {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "a core could not start");
                return;
            }
        };
        runtime.block_on(async {
            let tasks = TaskTracker::new();
            let timer = Timer::new();
            // Not one of those that a drain waits for: it ends with the runtime.
            tokio::task::spawn_local(timer.clone().run());
            let crowd = Rc::new(Crowd::new(tasks.clone()));
            if let Some(give) = give_memory_back {
                tokio::task::spawn_local(Rc::clone(&crowd).run(give));
            }
            let grace = loop {
                tokio::select! {
                    Some(serve) = commands.recv() => {
                        tasks.spawn_local(accept(serve, timer.clone(), tasks.clone(), Rc::clone(&crowd)));
                    }
                    grace = &mut grace => break grace.unwrap_or_default(),
                }
            };
            tasks.close();
            if timeout(grace, tasks.wait()).await.is_err() && !grace.is_zero() {
                tracing::warn!(connections = tasks.len(), "cut what did not end in time");
            }
        });
    };
    thread::Builder::new()
        .name(format!("core-{index}"))
        .spawn(core)
}
