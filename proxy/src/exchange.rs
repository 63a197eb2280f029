//! The story of one request.

mod before;
mod change;
mod copies;
mod events;
mod forward;
mod head_dribble;
mod interim;
mod malformed;
mod own_answer;
mod recode;
mod record;
mod respond;
mod upgrade;
mod upload;

pub(crate) use self::{
    own_answer::{refuse, refuse_stream},
    upgrade::Upgrade,
};

use std::{cell::RefCell, pin::Pin, rc::Rc, time::Instant};

use brownout_fault::{
    CallerAsked, ForwardFaults, Injection, RequestFaults, ResponseFaults, Subject,
};
use smallvec::SmallVec;

use self::{before::Before, record::Record};
use crate::{
    clock::Clock,
    downstream::Downstream,
    http1::{
        BodyLength, ContentWatch, Decoder, Input, Outgoing, RequestHead, Source, expects_continue,
        request_keeps_alive, to_upstream,
    },
    scope::Scope,
};

/// What becomes of the client's connection after an exchange.
#[derive(Debug)]
pub(crate) enum After {
    /// It may carry another request.
    Next,
    /// It ends in good order.
    Close,
    /// It ends now: the client has left, or it is to be reset.
    Drop,
    /// It carries another protocol from now on.
    Upgrade(Box<Upgrade>),
}

/// What of a request decides how it may be answered.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// An answer has no content, whatever its fields say (RFC 9110 §9.3.2).
    is_head: bool,
    /// The client knows neither chunks nor 1xx.
    is_http10: bool,
    keeps_alive: bool,
    /// The client waits for a 100 before it sends its content (RFC 9110 §10.1.1).
    expects_continue: bool,
    /// It asks for another protocol on its connection (RFC 9110 §7.8).
    upgrades: bool,
    /// It asks for another protocol on its stream (RFC 8441).
    tunnels: bool,
    /// A call of gRPC on a stream: answers of the proxy's own are trailers alone.
    is_grpc: bool,
}

/// One request and its answer, for all that happens to them.
struct Exchange<'e, 'c> {
    scope: &'e Rc<Scope>,
    client: &'e Downstream,
    clock: &'c Clock,
    record: &'e RefCell<Record<'c>>,
    asked: Asked,
}

impl Exchange<'_, '_> {
    /// Counts content of the request that went to the upstream.
    fn count_request(&self, bytes: u64) {
        self.scope.route.bytes_in.add(bytes);
        self.client.bytes().bytes_in.add(bytes);
    }
}

/// Serves one request, whose head came whole `now`: decide, record, inject, forward, follow the answer to its end.
///
/// `input` has what was read behind the head. When the client leaves, the exchange ends; the record is written all the
/// same, as it is when this future is dropped.
pub(crate) async fn exchange(
    scope: &Rc<Scope>,
    client: &Downstream,
    number: u64,
    now: Instant,
    head: &mut RequestHead,
    length: BodyLength,
    input: &mut Input,
) -> After {
    let asked = Asked {
        is_head: head.method() == "HEAD",
        is_http10: head.is_http10(),
        keeps_alive: request_keeps_alive(head),
        expects_continue: length != BodyLength::Empty && expects_continue(head),
        upgrades: false,
        tunnels: client.is_stream() && head.method() == "CONNECT",
        is_grpc: client.is_stream() && own_answer::is_grpc(&head.fields),
    };
    head.use_origin_form();
    let clock = Clock::start(now);
    let record = RefCell::new(Record::begin(scope, client, number, &clock));
    let decided = decide(
        scope,
        client,
        number,
        head,
        length,
        &mut record.borrow_mut(),
    );
    let mut exchange = Exchange {
        scope,
        client,
        clock: &clock,
        record: &record,
        asked,
    };
    let mut decoder = Decoder::new(length);
    if length != BodyLength::Empty {
        let watch = record.borrow().watch_body();
        decoder.watch(watch.map(|it| -> Box<dyn ContentWatch> { it }));
    }
    let mut body = Source {
        transport: client.transport(),
        input,
        decoder: &mut decoder,
    };
    if let Some(before) = decided.before {
        // Boxed, as every exchange would have to keep room for it.
        let before = Box::pin(exchange.before_upstream(*before, head, &mut body));
        match before.await {
            Before::Forward => {}
            Before::Over(after) => return after,
        }
    }
    // Boxed, so that a request that a fault holds keeps no room for it.
    let upstream = scope.route.upstream();
    if upstream.maps_targets() {
        match upstream.map_target(head.target()) {
            Some(target) => head.set_target(&target),
            None => return Box::pin(exchange.outside(&upstream, &mut body)).await,
        }
    }
    exchange.asked.upgrades = to_upstream(head, upstream.outgoing_host(), Outgoing::Keep);
    let Decided { forward, after, .. } = decided;
    boxed(|| exchange.forward(upstream, head, length, &mut body, forward, after)).await
}

/// Makes a future of a request in its box. The allocator is fastest up to 1,024 bytes.
///
/// The memory is allocated first, and only the future's arguments are written to it. `Box::pin` would make the future on the stack
/// and copy all of its bytes, most of which are not in use yet. With hundreds of requests at a time that memory is in no cache.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is what makes it so")]
pub(crate) fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    debug_assert!(size_of::<F>() <= 1_024, "{} bytes", size_of::<F>());
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}

/// What faults do to a request. Most requests have nothing of it.
#[derive(Default)]
struct Decided {
    before: Option<Box<RequestFaults>>,
    forward: Option<Box<ForwardFaults>>,
    after: Option<Box<ResponseFaults>>,
}

/// Decides which faults act on a request, and begins its record. Apart from [`exchange`], whose future would keep room for all
/// that is used here.
fn decide(
    scope: &Scope,
    client: &Downstream,
    number: u64,
    head: &mut RequestHead,
    length: BodyLength,
    record: &mut Record<'_>,
) -> Decided {
    let plan = scope.faults.plan();
    let (has_armed, has_callers) = (plan.has_request_faults(), scope.route.callers.is_on());
    if !has_armed && !has_callers {
        drop(plan);
        record.decided(head, length, &[], SmallVec::new(), None);
        return Decided::default();
    }
    let mut injection = Injection::default();
    let mut asked_for = CallerAsked::default();
    let subject = Subject {
        route: scope.route.name(),
        method: head.method(),
        path: head.path(),
        query: head.query(),
        host: head.host(),
        fields: &head.fields,
        peer: client.peer(),
        connection: client.connection(),
        request: number,
        is_http2: client.is_stream(),
    };
    if has_armed {
        injection = plan.decide(&subject, record.started());
    }
    if has_callers {
        let callers = &scope.route.callers;
        asked_for = callers.decide(&subject, record.started(), &mut injection);
    }
    drop(plan);
    let ended_by = injection.ended_by();
    let Injection {
        considered,
        fired,
        before,
        forward,
        after,
    } = injection;
    record.decided(head, length, &considered, fired, ended_by);
    drop(considered);
    scope.route.take_over(asked_for, &mut head.fields);
    let acts_before =
        !before.delays.is_empty() || before.ending.is_some() || before.http2.is_some();
    Decided {
        before: acts_before.then(|| Box::new(before)),
        forward,
        after,
    }
}
