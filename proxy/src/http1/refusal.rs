//! Why a message is not passed on: one constant for each reason. What is wrong about content becomes a reason of
//! its side by `From`.

/// Why a client's request is refused. The connection is closed after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status of the answer.
    pub(crate) status: u16,
    /// The reason's word in metrics, in snake case.
    pub(crate) why: &'static str,
    /// The reason in one sentence.
    pub(crate) detail: &'static str,
}

/// Why an upstream's answer is not passed on. Its connection is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadAnswer {
    /// The reason's word in metrics, in snake case.
    pub(crate) why: &'static str,
    /// The reason in one sentence.
    pub(crate) detail: &'static str,
}

/// Why the content of a message is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadBody {
    /// The reason's word in metrics, in snake case.
    pub(crate) why: &'static str,
    /// The reason in one sentence.
    pub(crate) detail: &'static str,
}

/// What may be wrong about a head or a trailer section, whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadFlaw {
    FirstLine,
    Version,
    Http2,
    BareCr,
    BareLf,
    ControlByte,
    SpaceBeforeColon,
    ObsFold,
    FieldName,
    TooManyFields,
}

macro_rules! refusals {
    ($($name:ident = $status:literal $why:literal $detail:literal;)*) => {
        impl Refusal {
            $(pub(crate) const $name: Self = Self { status: $status, why: $why, detail: $detail };)*

            /// Every reason.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

macro_rules! bad {
    ($type:ident: $($name:ident = $why:literal $detail:literal;)*) => {
        impl $type {
            $(pub(crate) const $name: Self = Self { why: $why, detail: $detail };)*

            /// Every reason.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

refusals! {
    FIRST_LINE = 400 "first_line" "The first line is not `method SP target SP HTTP/1.x` (RFC 9112 §3).";
    EMPTY_LINES = 400 "empty_lines" "More than 8 empty lines stand before the request.";
    BARE_CR = 400 "bare_cr" "A CR without LF stands in the head (RFC 9112 §2.2).";
    BARE_LF = 400 "bare_lf" "A line of the head ends with LF alone instead of CR LF (RFC 9112 §2.2).";
    CONTROL_BYTE = 400 "control_byte" "A field value has a control byte besides HTAB (RFC 9110 §5.5).";
    SPACE_BEFORE_COLON = 400 "space_before_colon" "White space stands between a field name and its colon (RFC 9112 §5.1).";
    OBS_FOLD = 400 "obs_fold" "A field value is folded over several lines, or the first field begins with white space (RFC 9112 §5.2).";
    FIELD_NAME = 400 "field_name" "A field line has no name that is a token, or no colon (RFC 9110 §5.1).";
    TARGET_FORM = 400 "target_form" "The target is neither a path, nor an http or https URI with a valid host, nor `*` of an OPTIONS request (RFC 9112 §3.2).";
    FRAGMENT = 400 "fragment" "The target has a fragment (RFC 9112 §3.2).";
    HOST_MISSING = 400 "host_missing" "An HTTP/1.1 request needs the field Host (RFC 9112 §3.2).";
    HOST_REPEATED = 400 "host_repeated" "The field Host stands there more than once (RFC 9112 §3.2).";
    HOST_INVALID = 400 "host_invalid" "The field Host is not a host with an optional port (RFC 9110 §7.2).";
    LENGTH_AND_CODING = 400 "length_and_coding" "Content-Length and Transfer-Encoding contradict each other (RFC 9112 §6.1).";
    CONTENT_LENGTH = 400 "content_length" "Content-Length is not one plain decimal number below 2^63 (RFC 9110 §8.6).";
    TRANSFER_ENCODING = 400 "transfer_encoding" "Transfer-Encoding does not end in one `chunked`, or the request is HTTP/1.0 (RFC 9112 §6.1).";
    TRANSFER_CODING = 501 "transfer_coding" "Of transfer codings only `chunked` is supported (RFC 9112 §6.1).";
    VERSION = 505 "version" "Only HTTP/1.0 and HTTP/1.1 are spoken here.";
    CONNECTION_FIELD = 400 "connection_field" "A field that concerns one HTTP/1.1 connection stands in an HTTP/2 request (RFC 9113 §8.2.2).";
    HEAD_BYTES = 431 "head_bytes" "The head is larger than the limit `head_bytes`.";
    HEAD_FIELDS = 431 "head_fields" "The head has more fields than the limit `head_fields`.";
    TARGET_BYTES = 414 "target_bytes" "The target is longer than the limit `target_bytes`.";
    PROTOCOL = 400 "protocol" "`:protocol` is not one name of a protocol that a stream can carry (RFC 8441 §4).";
    CONNECT = 405 "connect" "CONNECT is not supported: this is no forward proxy.";
    TLS = 400 "tls" "This port speaks plain HTTP/1.1, and the client began a TLS handshake: use http instead of https.";
    PLAIN_HTTP = 400 "plain_http" "This port speaks TLS, and the client sent plain HTTP: use https instead of http.";
    HTTP2 = 505 "http2" "This port speaks HTTP/1.1, and the client began HTTP/2 in the middle of a connection.";
}

bad! { BadAnswer:
    STATUS_LINE = "status_line" "It does not begin with a status line of HTTP/1.0 or HTTP/1.1 (RFC 9112 §4).";
    STATUS = "status" "Its status is not between 100 and 599 (RFC 9110 §15).";
    BARE_CR = "bare_cr" "A CR without LF stands in its head (RFC 9112 §2.2).";
    CONTROL_BYTE = "control_byte" "A field value has a control byte besides HTAB (RFC 9110 §5.5).";
    OBS_FOLD = "obs_fold" "A field value is folded over several lines (RFC 9112 §5.2).";
    FIELD_NAME = "field_name" "A field line has no name that is a token, or no colon (RFC 9110 §5.1).";
    HEAD_BYTES = "head_bytes" "Its head is larger than the limit `head_bytes`.";
    HEAD_FIELDS = "head_fields" "Its head has more fields than the limit `head_fields`.";
    LENGTH_AND_CODING = "length_and_coding" "Content-Length and Transfer-Encoding contradict each other (RFC 9112 §6.1).";
    CONTENT_LENGTH = "content_length" "Content-Length is not a plain decimal number below 2^63, or several differ (RFC 9110 §8.6).";
    TRANSFER_ENCODING = "transfer_encoding" "Transfer-Encoding is not one `chunked`, or the answer is HTTP/1.0 (RFC 9112 §6.1).";
    UNASKED_SWITCH = "unasked_switch" "It switches protocols, which nobody asked for (RFC 9110 §7.8).";
}

bad! { BadBody:
    CHUNK_SIZE = "chunk_size" "A chunk size is not a hexadecimal number of 1 to 16 digits (RFC 9112 §7.1).";
    CHUNK_EXTENSION = "chunk_extension" "A chunk extension is malformed, or larger than 16 KiB (RFC 9112 §7.1.1).";
    CHUNK_END = "chunk_end" "No CR LF stands behind a chunk or its size (RFC 9112 §7.1).";
    TRAILERS = "trailers" "The trailer section is malformed, or larger than a head may be (RFC 9112 §7.1.2).";
    CUT_SHORT = "cut_short" "The connection ended before the content was complete (RFC 9112 §8).";
}

impl Refusal {
    pub(super) fn of_flaw(flaw: HeadFlaw) -> Self {
        match flaw {
            HeadFlaw::FirstLine => Self::FIRST_LINE,
            HeadFlaw::Version => Self::VERSION,
            HeadFlaw::Http2 => Self::HTTP2,
            HeadFlaw::BareCr => Self::BARE_CR,
            HeadFlaw::BareLf => Self::BARE_LF,
            HeadFlaw::ControlByte => Self::CONTROL_BYTE,
            HeadFlaw::SpaceBeforeColon => Self::SPACE_BEFORE_COLON,
            HeadFlaw::ObsFold => Self::OBS_FOLD,
            HeadFlaw::FieldName => Self::FIELD_NAME,
            HeadFlaw::TooManyFields => Self::HEAD_FIELDS,
        }
    }
}

impl BadAnswer {
    pub(super) fn of_flaw(flaw: HeadFlaw) -> Self {
        match flaw {
            HeadFlaw::FirstLine | HeadFlaw::Version | HeadFlaw::Http2 => Self::STATUS_LINE,
            HeadFlaw::BareCr => Self::BARE_CR,
            HeadFlaw::ControlByte => Self::CONTROL_BYTE,
            HeadFlaw::ObsFold => Self::OBS_FOLD,
            // The first two are mended where nothing else is wrong.
            HeadFlaw::BareLf | HeadFlaw::SpaceBeforeColon | HeadFlaw::FieldName => Self::FIELD_NAME,
            HeadFlaw::TooManyFields => Self::HEAD_FIELDS,
        }
    }
}

impl From<BadBody> for Refusal {
    fn from(bad: BadBody) -> Self {
        let BadBody { why, detail } = bad;
        Self {
            status: 400,
            why,
            detail,
        }
    }
}

impl From<BadBody> for BadAnswer {
    fn from(bad: BadBody) -> Self {
        let BadBody { why, detail } = bad;
        Self { why, detail }
    }
}
