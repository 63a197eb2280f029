//! The fields that a hop looks at, told apart once while a head is parsed.

/// A field that the proxy itself looks at, or any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FieldKind {
    Connection,
    KeepAlive,
    ProxyConnection,
    TransferEncoding,
    ContentLength,
    Te,
    Trailer,
    Upgrade,
    Http2Settings,
    Host,
    Expect,
    Traceparent,
    Tracestate,
    /// One of those that the journal alone reads.
    Evidence,
    Other,
}

/// A set of kinds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldKinds(pub(super) u16);

impl FieldKind {
    /// The kind of the field with this name, in any case.
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        let first = name.first().map_or(0, |byte| byte | 0x20);
        match (name.len(), first) {
            (2, b't') if is("te") => Self::Te,
            (4, b'h') if is("host") => Self::Host,
            (6, b'e') if is("expect") => Self::Expect,
            (7, b't') if is("trailer") => Self::Trailer,
            (7, b'u') if is("upgrade") => Self::Upgrade,
            (10, b'c') if is("connection") => Self::Connection,
            (10, b'k') if is("keep-alive") => Self::KeepAlive,
            (10, b't') if is("tracestate") => Self::Tracestate,
            (11, b't') if is("traceparent") => Self::Traceparent,
            (12, b'x') if is("x-request-id") => Self::Evidence,
            (13, b'x') if is("x-retry-count") => Self::Evidence,
            (14, b'c') if is("content-length") => Self::ContentLength,
            (14, b'h') if is("http2-settings") => Self::Http2Settings,
            (15, b'a') if is("amz-sdk-request") => Self::Evidence,
            (15, b'i') if is("idempotency-key") => Self::Evidence,
            (16, b'p') if is("proxy-connection") => Self::ProxyConnection,
            (17, b't') if is("transfer-encoding") => Self::TransferEncoding,
            (21, b'x') if is("x-envoy-attempt-count") => Self::Evidence,
            (23, b'x') if is("x-stainless-retry-count") => Self::Evidence,
            _ => Self::Other,
        }
    }

    /// Whether all fields of this kind have one name.
    pub(super) fn is_one_name(self) -> bool {
        !matches!(self, Self::Evidence | Self::Other)
    }

    /// A set with this kind alone.
    pub(super) const fn bit(self) -> u16 {
        1 << self as u8
    }

    /// A set with these kinds.
    pub(crate) const fn set(kinds: &[Self]) -> FieldKinds {
        let (mut set, mut index) = (0, 0);
        while index < kinds.len() {
            set |= kinds[index].bit();
            index += 1;
        }
        FieldKinds(set)
    }
}
