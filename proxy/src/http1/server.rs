//! One client's connection: requests one after the other, and the timers that end it.

use std::{future::poll_fn, io, pin::pin, rc::Rc, task::Poll, time::Instant};

use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::sleep_until};
use tokio_util::sync::CancellationToken;

use super::{BodyLength, Input, Refusal, RequestHead, head::HeadSearch, request_body};
use crate::{
    admit::{Admitted, Held, admit},
    downstream::Downstream,
    exchange::{After, Upgrade, boxed, exchange, refuse},
    http2,
    journal::ConnectionEnd,
    limits::{ClientTimeouts, DRAIN},
    proxy_protocol::ClientAddress,
    relay,
    scope::Scope,
    shaping::StreamShaper,
    timer::later,
    tls::{TlsCause, TlsFailure},
    transport::{ClientSocket, Doing, StreamEnd, close_in_order},
};

/// How a conversation with a client ended.
enum Conversation {
    /// In good order, or the client has ended it.
    Close,
    /// At once.
    Drop,
    Upgrade(Box<Upgrade>),
}

/// Serves a connection until either side ends it. After `closing` the exchange in progress is its last.
pub(crate) async fn serve(
    tcp: TcpStream,
    address: ClientAddress,
    permit: OwnedSemaphorePermit,
    scope: Rc<Scope>,
    closing: CancellationToken,
) {
    let number = scope.route.next_connection();
    let peer = address.peer;
    let client = ClientSocket::new(tcp, address, number, &scope, permit);
    if closing.is_cancelled() {
        return;
    }
    let beginning = StreamShaper::at_connect(&scope.route, peer, number);
    let admitted = match admit(client.tcp(), beginning, &scope.faults, &scope.timer) {
        None => Admitted::Yes,
        Some(held) => Box::pin(held_unless(held, &closing)).await,
    };
    match admitted {
        Admitted::Yes => {}
        Admitted::Reset => return client.reset(),
        Admitted::Close => {
            client.note_end(ConnectionEnd::ProxyFin);
            return close_in_order(&[client.tcp()]).await;
        }
        Admitted::Gone => return,
    }
    match converse_within_limits(&scope, &client, &closing).await {
        Ok(Conversation::Close) => Box::pin(close(&client)).await,
        Ok(Conversation::Drop) => {}
        Ok(Conversation::Upgrade(upgrade)) => {
            client.note_end(ConnectionEnd::Unknown);
            Box::pin(relay::upgraded(&client, *upgrade, &scope, closing)).await;
        }
        Err(StreamEnd::Reset) => {
            client.layered().arrived().await;
            client.reset();
        }
        Err(StreamEnd::Close) => {
            client.note_end(ConnectionEnd::ProxyFin);
            close_in_order(&[client.tcp()]).await;
        }
        Err(StreamEnd::ClientGone) => {}
    }
}

/// A route that closes lets go of what faults hold at its beginning: nobody has read anything of it.
async fn held_unless(held: Held<'_>, closing: &CancellationToken) -> Admitted {
    tokio::select! {
        biased;
        () = closing.cancelled() => Admitted::Gone,
        admitted = held => admitted,
    }
}

/// Sends what faults of the stream layer still hold, then the end.
async fn close(client: &ClientSocket) {
    client.layered().drained(DRAIN).await;
    tokio::select! {
        biased;
        () = client.close_in_order() => {}
        end = client.layered().ended_by_fault() => if end == StreamEnd::Reset {
            client.reset();
        }
    }
}

/// Serves requests until there are no more, a timer is over, or a fault of the stream layer ends the connection.
async fn converse_within_limits(
    scope: &Rc<Scope>,
    client: &Rc<ClientSocket>,
    closing: &CancellationToken,
) -> Result<Conversation, StreamEnd> {
    let mut conversation = pin!(converse(scope, client));
    let mut ended_by_fault = pin!(client.layered().ended_by_fault());
    let mut overdue = pin!(overdue(client, scope.client_timeouts));
    let end = poll_fn(|cx| {
        if let Poll::Ready(end) = conversation.as_mut().poll(cx) {
            return Poll::Ready(Ok(end));
        }
        if let Poll::Ready(end) = ended_by_fault.as_mut().poll(cx) {
            return Poll::Ready(Err(end));
        }
        client.transport().poll_drive(cx);
        // The route wakes its connections when it closes, so no request pays for a waiter. Looked at behind the
        // registration of the waker, so that nothing is missed.
        if client.may_be_closing() && closing.is_cancelled() && !client.is_last() {
            client.close_after_this();
            cx.waker().wake_by_ref();
        }
        if client.activity.now().0 == Doing::Exchange {
            return Poll::Pending; // It is looked at behind the exchange: nothing is overdue before.
        }
        overdue.as_mut().poll(cx).map(Ok)
    });
    end.await
}

/// Reads requests and has them served, one after the other.
async fn converse(scope: &Rc<Scope>, client: &Rc<ClientSocket>) -> Conversation {
    let downstream = Downstream::new(client);
    let mut input = Input::default();
    let mut number = 0;
    loop {
        let (mut head, length) = match next_request(scope, client, &mut input).await {
            Next::Request(head, length) => (head, length),
            // HTTP/2 by prior knowledge, or agreed on with TLS.
            Next::Refused(head, Refusal::HTTP2) if number == 0 => {
                head.recycle();
                return match Box::pin(http2::converse(scope, client, input)).await {
                    http2::Ended::InOrder => Conversation::Close,
                    http2::Ended::Reset => Conversation::Drop,
                };
            }
            Next::Refused(head, refusal) => {
                client.activity.set(Doing::Exchange, Instant::now());
                Box::pin(refuse_connection(
                    scope, client, &mut input, &head, &refusal,
                ))
                .await;
                return Conversation::Close;
            }
            Next::End => return Conversation::Close,
            Next::Broken => return Conversation::Drop,
        };
        let now = Instant::now();
        client.activity.set(Doing::Exchange, now);
        // Boxed, so that an idle connection keeps no room for it.
        let exchange = boxed(|| {
            exchange(
                scope,
                &downstream,
                number,
                now,
                &mut head,
                length,
                &mut input,
            )
        });
        let after = exchange.await;
        head.recycle();
        match after {
            After::Next if client.is_last() => return Conversation::Close,
            After::Next => {}
            After::Close => return Conversation::Close,
            After::Drop => return Conversation::Drop,
            After::Upgrade(upgrade) => return Conversation::Upgrade(upgrade),
        }
        if !input.is_empty() {
            client.activity.set(Doing::Head, client.activity.now().1);
        }
        number += 1;
    }
}

enum Next {
    Request(Box<RequestHead>, BodyLength),
    /// With what could be read of it.
    Refused(Box<RequestHead>, Refusal),
    /// There are no more.
    End,
    Broken,
}

/// Reads the head of the next request. Holds no memory while nothing comes.
async fn next_request(scope: &Scope, client: &ClientSocket, input: &mut Input) -> Next {
    let mut search = HeadSearch::default();
    loop {
        if !input.is_empty() {
            let mut head = RequestHead::spare();
            match head.parse(input.bytes(), &mut search, &scope.head_limits) {
                Ok(Some(used)) => {
                    input.consume(used);
                    return match request_body(&head) {
                        Ok(length) => Next::Request(head, length),
                        Err(refusal) => Next::Refused(head, refusal),
                    };
                }
                Ok(None) => {
                    head.recycle();
                    client.begins_head();
                    // The rest may be long in coming.
                    input.shrink();
                }
                Err(refusal) => return Next::Refused(head, refusal),
            }
        }
        let read = poll_fn(|cx| match input.poll_fill(client.transport(), cx) {
            Poll::Pending if client.is_last() && input.is_empty() => Poll::Ready(Ok(0)),
            polled => polled,
        });
        match read.await {
            // What came of a head that is not whole is for nobody.
            Ok(0) => return Next::End,
            Ok(_) => {}
            Err(error) => return broken(scope, &error),
        }
    }
}

/// The client's connection broke. One that speaks plain HTTP where TLS is spoken is told so.
fn broken(scope: &Scope, error: &io::Error) -> Next {
    match TlsFailure::inside(error) {
        Some(failure) if failure.cause == TlsCause::Plain => {
            Next::Refused(RequestHead::spare(), Refusal::PLAIN_HTTP)
        }
        Some(failure) => {
            scope.route.tls_failed(failure);
            Next::End
        }
        None => Next::Broken,
    }
}

/// Tells a client why its request is refused.
async fn refuse_connection(
    scope: &Scope,
    client: &ClientSocket,
    input: &mut Input,
    head: &RequestHead,
    refusal: &Refusal,
) {
    scope.route.warn_of_protocol(refusal);
    refuse(scope, client, head, refusal).await;
    input.consume(input.len());
}

/// Ends when the client has taken too long over a head, or has been idle for too long.
///
/// It sleeps to the earliest time at which that could be, looks, and sleeps again: no timer is touched by a request.
async fn overdue(client: &ClientSocket, timeouts: ClientTimeouts) -> Conversation {
    let soonest = timeouts.head.min(timeouts.idle);
    let mut held_up_at = None;
    loop {
        let (doing, since) = client.activity.now();
        let now = Instant::now();
        let since = held_up_at.map_or(since, |held: Instant| since.max(held));
        let deadline = match doing {
            Doing::Head => later(since, timeouts.head),
            Doing::Idle => later(since, timeouts.idle),
            Doing::Exchange => later(now, soonest),
        };
        if now < deadline {
            // A head or an idle time may begin meanwhile, and nobody is woken for that.
            sleep_until(deadline.min(later(now, soonest)).into()).await;
            continue;
        }
        if client.layered().is_held_up() {
            held_up_at = Some(now); // The client has its whole time from then on.
            continue;
        }
        match doing {
            Doing::Head => return Conversation::Drop,
            Doing::Idle => return Conversation::Close,
            Doing::Exchange => {}
        }
    }
}
