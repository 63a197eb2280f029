//! A connection or a stream that changes its protocol.

use super::{After, Exchange};
use crate::{
    access_log::ConnectionLine,
    http1::{
        Outgoing, Persistence, ResponseHead, Source, UpstreamConnection, to_client, write_response,
    },
    transport::Transport,
    upstream::Place,
};

/// An exchange that ended in a change of protocol: what is to be passed on, both ways, from then on.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) upstream: Transport,
    /// Of an upstream with a limit, as long as the connection lasts.
    pub(crate) place: Option<Place>,
    /// The answer's head, and bytes of the new protocol that came with it.
    pub(crate) to_client: Vec<u8>,
    /// Bytes that the client sent behind its request.
    pub(crate) to_upstream: Vec<u8>,
    pub(crate) line: Option<ConnectionLine>,
}

impl Exchange<'_, '_> {
    /// Hands both sides over, behind the 101 of `head`, or on a stream behind its 2xx.
    pub(super) fn upgrade(
        &self,
        connection: Box<UpstreamConnection>,
        mut head: Box<ResponseHead>,
        body: &mut Source<'_>,
    ) -> After {
        self.record.borrow_mut().begins_answer(0);
        let mut answer = Vec::new();
        to_client(&mut head, Outgoing::None, Persistence::Unsaid);
        write_response(&head, &mut answer);
        answer.extend_from_slice(connection.input.bytes());
        let to_upstream = body.input.bytes().to_vec();
        body.input.consume(to_upstream.len());
        After::Upgrade(Box::new(Upgrade {
            upstream: connection.transport,
            place: connection.place,
            to_client: answer,
            to_upstream,
            line: self.record.borrow_mut().upgraded(),
        }))
    }
}
