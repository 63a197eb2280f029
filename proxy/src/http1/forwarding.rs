//! What a hop changes about a message's head, and nothing else: the order of the fields stays.

use super::head::{FieldKind, FieldKinds, Fields, RequestHead, ResponseHead};

/// What concerns one connection alone. Most messages have none of it.
const OF_CONNECTION: FieldKinds = FieldKind::set(&[
    FieldKind::Connection,
    FieldKind::KeepAlive,
    FieldKind::ProxyConnection,
    FieldKind::Te,
    FieldKind::Upgrade,
    FieldKind::Http2Settings,
]);

/// Which framing fields go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// Those that came: the content goes on as it came.
    Keep,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// `Content-Length`, in bytes.
    Sized(u64),
    /// Neither: no content, or an answer that ends with its connection.
    None,
}

/// Which `Host` goes to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutgoingHost<'a> {
    /// The client's, or this where it sent none.
    KeptOr(&'a str),
    /// This, whatever the client sent.
    Is(&'a str),
}

/// What an answer says about the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Nothing: the version's default.
    Unsaid,
    /// `Connection: close`.
    Close,
    /// `Connection: keep-alive`, for HTTP/1.0.
    KeepAlive,
}

/// Makes a client's request into one of this hop: origin form, without the fields of the client's connection.
/// `Host` is kept as sent, taken from a target in absolute form, or filled in where it is missing, unless the
/// route says another.
///
/// Tells whether the request asks to change the protocol of its connection (RFC 9110 §7.8). HTTP/1.0 cannot, and to
/// `h2c` nobody does: there the request to do so is removed.
#[must_use]
pub(crate) fn to_upstream(
    head: &mut RequestHead,
    host: OutgoingHost<'_>,
    framing: Outgoing,
) -> bool {
    head.use_origin_form();
    let mut upgrades = false;
    if head.fields.may_have(OF_CONNECTION) {
        let asks = !head.is_http10() && head.fields.lists(FieldKind::Connection, "upgrade");
        upgrades = asks && keep_upgrades(&mut head.fields);
        let accepts_trailers = head.fields.lists(FieldKind::Te, "trailers");
        strip_hop_by_hop(&mut head.fields, upgrades);
        head.fields.remove_kind(FieldKind::Http2Settings);
        if accepts_trailers {
            // What else TE says is between the client and this hop (RFC 9110 §10.1.4).
            say_only(&mut head.fields, FieldKind::Te, "TE", "trailers");
        } else {
            head.fields.remove_kind(FieldKind::Te);
        }
    }
    frame(&mut head.fields, framing);
    match host {
        OutgoingHost::KeptOr(_) if head.fields.has_kind(FieldKind::Host) => {}
        OutgoingHost::KeptOr(missing) => head.fields.append("host", missing.as_bytes()),
        OutgoingHost::Is(host) => {
            head.fields
                .set_kind(FieldKind::Host, "Host", host.as_bytes());
        }
    }
    upgrades
}

/// Makes an upstream's answer into one of this hop. `Upgrade` stays where it means something: in a 101 and a 426.
pub(crate) fn to_client(head: &mut ResponseHead, framing: Outgoing, persistence: Persistence) {
    if head.fields.may_have(OF_CONNECTION) {
        let upgrades = matches!(head.status, 101 | 426) && head.fields.has_kind(FieldKind::Upgrade);
        strip_hop_by_hop(&mut head.fields, upgrades);
        head.fields.remove_kind(FieldKind::Te);
    }
    // RFC 9110 §8.6, RFC 9112 §6.1: neither has content, nor may say how much.
    let framing = match head.status {
        100..=199 | 204 => Outgoing::None,
        _ => framing,
    };
    frame(&mut head.fields, framing);
    match persistence {
        Persistence::Unsaid => {}
        Persistence::Close => say_connection(&mut head.fields, "close"),
        Persistence::KeepAlive => say_connection(&mut head.fields, "keep-alive"),
    }
}

/// Writes a request as HTTP/1.1, up to and with its empty line.
pub(crate) fn write_request(head: &RequestHead, out: &mut Vec<u8>) {
    head.write_to(out);
}

/// Writes an answer as HTTP/1.1, up to and with its empty line.
pub(crate) fn write_response(head: &ResponseHead, out: &mut Vec<u8>) {
    head.write_to(out);
}

/// Whether a request waits for a 100 before it sends its content (RFC 9110 §10.1.1). HTTP/1.0 does not know it.
pub(crate) fn expects_continue(head: &RequestHead) -> bool {
    !head.is_http10() && head.fields.lists(FieldKind::Expect, "100-continue")
}

/// Removes the fields of one connection: those RFC 9110 §7.6.1 lists, and those `Connection` names. TE and the
/// framing are left to the caller.
fn strip_hop_by_hop(fields: &mut Fields, upgrades: bool) {
    if fields.has_kind(FieldKind::Connection) {
        strip_named(fields);
    }
    fields.remove_kind(FieldKind::KeepAlive);
    fields.remove_kind(FieldKind::ProxyConnection);
    if upgrades {
        say_only(fields, FieldKind::Connection, "Connection", "upgrade");
    } else {
        fields.remove_kind(FieldKind::Connection);
        fields.remove_kind(FieldKind::Upgrade);
    }
}

/// Removes the fields that `Connection` names.
fn strip_named(fields: &mut Fields) {
    let named: Vec<Vec<u8>> = fields
        .members(FieldKind::Connection)
        .filter(|name| is_removable(name))
        .map(<[u8]>::to_vec)
        .collect();
    for name in named {
        fields.remove_bytes(&name);
    }
}

/// Whether `Connection` can remove this field. What frames or addresses a message is not the connection's, whatever
/// it claims; the usual options name fields that are looked after anyway.
fn is_removable(name: &[u8]) -> bool {
    match FieldKind::of(name) {
        FieldKind::Connection
        | FieldKind::KeepAlive
        | FieldKind::ProxyConnection
        | FieldKind::TransferEncoding
        | FieldKind::ContentLength
        | FieldKind::Te
        | FieldKind::Trailer
        | FieldKind::Upgrade
        | FieldKind::Http2Settings
        | FieldKind::Host => false,
        FieldKind::Expect
        | FieldKind::Traceparent
        | FieldKind::Tracestate
        | FieldKind::Evidence
        | FieldKind::Other => !name.eq_ignore_ascii_case(b"close"),
    }
}

/// Leaves the protocols in `Upgrade` that a request can be upgraded to here: any but `h2c` (RFC 9113 §3.1).
fn keep_upgrades(fields: &mut Fields) -> bool {
    let is_h2c = |protocol: &[u8]| protocol.eq_ignore_ascii_case(b"h2c");
    let members = || fields.members(FieldKind::Upgrade);
    if !members().any(is_h2c) {
        return members().next().is_some();
    }
    let rest: Vec<&[u8]> = members().filter(|protocol| !is_h2c(protocol)).collect();
    let rest = rest.join(&b", "[..]);
    if rest.is_empty() {
        return false;
    }
    fields.set_kind(FieldKind::Upgrade, "Upgrade", &rest);
    true
}

/// Leaves of a comma-separated field one member. It is not written anew if it says nothing else.
fn say_only(fields: &mut Fields, kind: FieldKind, name: &str, member: &str) {
    let member = member.as_bytes();
    let mut said = fields.all_kind(kind);
    let is_said = said
        .next()
        .is_some_and(|said| said.eq_ignore_ascii_case(member));
    if !is_said || said.next().is_some() {
        drop(said);
        fields.set_kind(kind, name, member);
    }
}

fn frame(fields: &mut Fields, framing: Outgoing) {
    match framing {
        Outgoing::Keep => {}
        Outgoing::Chunked => {
            fields.remove_kind(FieldKind::ContentLength);
            if !fields.has_kind(FieldKind::TransferEncoding) {
                fields.append("Transfer-Encoding", b"chunked");
            }
        }
        Outgoing::Sized(length) => {
            fields.remove_kind(FieldKind::TransferEncoding);
            let mut said = fields.all_kind(FieldKind::ContentLength);
            let is_said = said.next().and_then(super::framing::length) == Some(length);
            if !is_said || said.next().is_some() {
                drop(said);
                let mut digits = [0; 20];
                let digits = decimal(length, &mut digits);
                fields.set_kind(FieldKind::ContentLength, "Content-Length", digits);
            }
        }
        Outgoing::None => {
            fields.remove_kind(FieldKind::TransferEncoding);
            fields.remove_kind(FieldKind::ContentLength);
        }
    }
}

/// Adds an option to `Connection`.
fn say_connection(fields: &mut Fields, option: &str) {
    let value = match fields.get_kind(FieldKind::Connection) {
        Some(said) => [said, b", ", option.as_bytes()].concat(),
        None => option.as_bytes().to_vec(),
    };
    fields.set_kind(FieldKind::Connection, "Connection", &value);
}

/// A number as text, without an allocation.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789"[(number % 10) as usize];
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}
