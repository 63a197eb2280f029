//! A connection to an upstream, used by one exchange at a time.

use std::{io, sync::Arc};

use super::{
    BadAnswer, Input, ResponseHead,
    head::{HeadLimits, HeadSearch},
};
use crate::{
    clock::{Clock, Part},
    error::UpstreamError,
    sys,
    transport::Transport,
    upstream::Upstream,
};

/// A connection to an upstream. Dropping it closes it.
///
/// Nobody watches it while it is idle: whether the upstream has closed it is looked at when it is taken.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    pub(crate) transport: Transport,
    pub(crate) input: Input,
    pub(crate) upstream: Arc<Upstream>,
}

/// Why no head of an answer came.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    pub(crate) error: UpstreamError,
    /// The upstream closed an idle connection, without having read all of the request: nothing of it was acted on.
    pub(crate) was_unread: bool,
}

impl NoAnswer {
    /// There was one, but it cannot be passed on.
    pub(crate) fn of(bad: BadAnswer) -> Self {
        Self {
            error: UpstreamError::Protocol { bad },
            was_unread: false,
        }
    }
}

impl UpstreamConnection {
    /// Opens one. Boxed, as exchanges and the pool hand it to each other.
    pub(crate) async fn open(upstream: &Arc<Upstream>) -> Result<Box<Self>, UpstreamError> {
        Ok(Box::new(Self {
            transport: Transport::Plain(upstream.connect().await?),
            input: Input::default(),
            upstream: Arc::clone(upstream),
        }))
    }

    /// Whether it waits for a request: the upstream has neither closed it nor sent anything. Asks the kernel only if
    /// something happened on it.
    pub(crate) fn is_idle(&mut self) -> bool {
        if !self.input.is_empty() {
            return false;
        }
        let read = self.transport.tcp().try_read(&mut [0; 1]);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Reads the head of an answer, a 1xx included.
///
/// # Errors
/// When the upstream ends the connection before, or sends what is no head.
pub(crate) async fn read_head(
    transport: &Transport,
    input: &mut Input,
    head: &mut ResponseHead,
    clock: &Clock,
    limits: &HeadLimits,
) -> Result<(), NoAnswer> {
    let mut search = HeadSearch::default();
    let mut is_silent = true;
    loop {
        if !input.is_empty() {
            is_silent = false;
            match head.parse(input.bytes(), &mut search, limits) {
                Ok(Some(used)) => {
                    input.consume(used);
                    return Ok(());
                }
                Ok(None) => {}
                Err(bad) => {
                    return Err(NoAnswer::of(bad));
                }
            }
        }
        let read = clock
            .during(Part::Upstream, |cx| input.poll_fill(transport, cx))
            .await;
        let source = match read {
            Ok(1..) => continue,
            // An orderly close. Bytes that the upstream had not read would have made it a reset, unless they came later.
            Ok(0) => {
                let unread = sys::unacknowledged_bytes(transport.tcp());
                let was_unread = is_silent && unread.is_ok_and(|bytes| bytes > 0);
                let source = io::ErrorKind::UnexpectedEof.into();
                let error = UpstreamError::Broken { source };
                return Err(NoAnswer { error, was_unread });
            }
            Err(source) => source,
        };
        let error = UpstreamError::Broken { source };
        return Err(NoAnswer {
            error,
            was_unread: false,
        });
    }
}
