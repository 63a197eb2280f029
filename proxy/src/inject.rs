//! Carrying out what was decided: the one place that waits, answers, hangs and disconnects.

use std::{sync::Arc, time::Duration};

use brownout_fault::{Answer, Delay, Ending, Then};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::sleep;

use crate::{error::Cut, record::Record};

/// How long a reset waits for earlier answers on the connection to arrive.
const DRAIN: Duration = Duration::from_secs(2);

/// What is left to do with a request after the faults before the upstream.
pub(crate) enum Next {
    Forward,
    /// Answer in the upstream's place, on behalf of the fault with this index.
    Answer(usize, Arc<Answer>),
}

/// Waits, and ends the exchange if a fault says so. `request` is read only by an ending that reads it whole.
pub(crate) async fn before_upstream(
    delays: &[Delay],
    ending: Option<(usize, Ending)>,
    request: &mut Incoming,
    may_read: bool,
    record: &mut Record,
) -> Result<Next, Cut> {
    for delay in delays {
        wait(*delay, record).await?;
    }
    match ending {
        None => Ok(Next::Forward),
        Some((by, Ending::Answer(answer))) => Ok(Next::Answer(by, answer)),
        Some((by, Ending::Reset)) => {
            record.cut_by_fault(by);
            Err(reset(record).await)
        }
        Some((by, Ending::Hang { hold, then })) => {
            hang(by, hold, request, may_read, record).await?;
            record.cut_by_fault(by);
            Err(match then {
                Then::Reset => reset(record).await,
                Then::Close => Cut,
            })
        }
    }
}

/// Holds the request, until its time is over or its fault is removed.
async fn wait(delay: Delay, record: &mut Record) -> Result<(), Cut> {
    let span = record.hold(delay.by);
    let left = {
        let fired = record.fired(delay.by);
        tokio::select! {
            () = sleep(delay.span) => false,
            () = fired.released() => false,
            () = record.client().left() => true,
        }
    };
    span.end();
    if left {
        return Err(Cut);
    }
    record.let_go();
    Ok(())
}

/// Reads the request whole and answers nothing, until the hold is over or the fault is removed.
async fn hang(
    by: usize,
    hold: Option<Duration>,
    request: &mut Incoming,
    may_read: bool,
    record: &mut Record,
) -> Result<(), Cut> {
    let span = record.hold(by);
    let held = async {
        match hold {
            Some(hold) => sleep(hold).await,
            None => std::future::pending().await,
        }
    };
    let swallow = async {
        // An expected 100 is never sent, and asking for the body would send it.
        while may_read && request.frame().await.is_some_and(|frame| frame.is_ok()) {}
        std::future::pending::<()>().await;
    };
    let left = {
        let fired = record.fired(by);
        tokio::select! {
            () = held => false,
            () = fired.released() => false,
            () = record.client().left() => true,
            () = swallow => false,
        }
    };
    span.end();
    if left {
        return Err(Cut);
    }
    record.let_go();
    Ok(())
}

/// Lets what was sent before arrive, then makes the close a reset.
async fn reset(record: &Record) -> Cut {
    record.client().settled(DRAIN).await;
    record.client().reset_on_close();
    Cut
}

/// Reads and forgets the rest of a request that was answered without it, so that the connection can be used
/// again: at most 1 MiB or one second, then the close lingers.
pub(crate) fn discard(mut request: Incoming, record: &Record) {
    const BYTES_MAX: usize = 1024 * 1024;
    const TIME_MAX: Duration = Duration::from_secs(1);
    if request.is_end_stream() {
        return;
    }
    let client = Arc::clone(record.client());
    tokio::task::spawn_local(async move {
        let mut bytes_left = BYTES_MAX;
        let read_all = async {
            while let Some(frame) = request.frame().await {
                let Ok(frame) = frame else { return true };
                let read = frame.data_ref().map_or(0, bytes::Bytes::len);
                if read > bytes_left {
                    return false;
                }
                bytes_left -= read;
            }
            true
        };
        if !tokio::time::timeout(TIME_MAX, read_all)
            .await
            .unwrap_or(false)
        {
            client.linger_on_close();
        }
    });
}
