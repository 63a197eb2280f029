//! The form in which a request's record is kept.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU64},
    time::Duration,
};

use super::{Attempt, AttemptEnd};
use crate::journal::{
    JournalQuery,
    open::InProgress,
    packed::{Maybe, Packed, Texts},
};

/// An [`Attempt`] without its texts, which are beside it in this order: route, method, path, request id, the id of each fault
/// behind its length, and the id of the fault that ended it.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct PackedAttempt {
    pub(in crate::journal) number: u64,
    pub(in crate::journal) seq: u64,
    pub(in crate::journal) connection: u64,
    pub(in crate::journal) connection_seq: u64,
    pub(in crate::journal) peer: SocketAddr,
    pub(in crate::journal) t_open: u64,
    pub(in crate::journal) t_head: u64,
    pub(in crate::journal) t_req_end: Maybe,
    pub(in crate::journal) t_first_out: Maybe,
    pub(in crate::journal) t_last_out: Maybe,
    pub(in crate::journal) t_end: Maybe,
    pub(in crate::journal) bytes: u64,
    pub(in crate::journal) fingerprint: u64,
    pub(in crate::journal) idempotency_key: Maybe,
    /// In µs.
    pub(in crate::journal) retry_after: Maybe,
    pub(in crate::journal) trace: Option<PackedTrace>,
    pub(in crate::journal) retry_count: Option<u32>,
    pub(in crate::journal) in_flight: u32,
    pub(in crate::journal) content_hashed: Option<u16>,
    pub(in crate::journal) status: Option<NonZeroU16>,
    pub(in crate::journal) end: AttemptEnd,
    pub(in crate::journal) is_in_head: bool,
    pub(in crate::journal) is_whole: bool,
    pub(in crate::journal) version: Version,
    pub(in crate::journal) lengths: TextLengths,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// A trace and a span, aligned as other numbers are. The span is never 0.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct PackedTrace {
    high: u64,
    low: u64,
    span: NonZeroU64,
}

/// How long the texts of a record are, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::journal) struct TextLengths {
    route: u16,
    path: u16,
    method: u8,
    request_id: u8,
    /// How many ids of faults there are. The one that ended it has what is left.
    faults: u8,
}

impl TextLengths {
    /// Of texts within their bounds, before a fault strikes.
    pub(in crate::journal) fn of(
        route: usize,
        method: usize,
        path: usize,
        request_id: usize,
    ) -> Self {
        let byte = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let two = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        Self {
            route: two(route),
            path: two(path),
            method: byte(method),
            request_id: byte(request_id),
            faults: 0,
        }
    }
}

impl PackedTrace {
    pub(in crate::journal) fn of((trace, span): (u128, u64)) -> Option<Self> {
        let [high, low] = [trace >> 64, trace & u128::from(u64::MAX)];
        Some(Self {
            high: u64::try_from(high).ok()?,
            low: u64::try_from(low).ok()?,
            span: NonZeroU64::new(span)?,
        })
    }

    fn get(self) -> (u128, u64) {
        let trace = (u128::from(self.high) << 64) | u128::from(self.low);
        (trace, self.span.get())
    }
}

/// The texts of a record, apart.
struct AttemptTexts<'t> {
    route: &'t str,
    method: &'t str,
    path: &'t str,
    request_id: &'t str,
    /// The ids of its faults, each behind its length, and the one that ended it.
    faults: Texts<'t>,
}

impl PackedAttempt {
    #[expect(clippy::cast_possible_truncation, reason = "it is 8")]
    const FAULTS_MAX: u8 = Attempt::FAULTS_MAX as u8;

    fn texts<'t>(&self, texts: &'t [u8]) -> AttemptTexts<'t> {
        let lengths = &self.lengths;
        let mut texts = Texts(texts);
        AttemptTexts {
            route: texts.take(lengths.route.into()),
            method: texts.take(lengths.method.into()),
            path: texts.take(lengths.path.into()),
            request_id: texts.take(lengths.request_id.into()),
            faults: texts,
        }
    }
}

impl Packed for PackedAttempt {
    type Record = Attempt;

    fn seq(&self) -> u64 {
        self.seq
    }

    fn is_asked_for(&self, texts: &[u8], query: &JournalQuery) -> bool {
        let AttemptTexts {
            route, mut faults, ..
        } = self.texts(texts);
        let is_of_route = query.route.as_ref().is_none_or(|asked| asked == route);
        is_of_route
            && query
                .fault
                .as_ref()
                .is_none_or(|asked| (0..self.lengths.faults).any(|_| take_id(&mut faults) == asked))
    }

    fn unpack(&self, texts: &[u8]) -> Attempt {
        let AttemptTexts {
            route,
            method,
            path,
            request_id,
            mut faults,
        } = self.texts(texts);
        let ids = (0..self.lengths.faults).map(|_| take_id(&mut faults).to_owned());
        Attempt {
            number: self.number,
            seq: self.seq,
            route: route.to_owned(),
            connection: self.connection,
            connection_seq: self.connection_seq,
            peer: Some(self.peer),
            t_open: self.t_open,
            t_head: self.t_head,
            t_req_end: self.t_req_end.get(),
            t_first_out: self.t_first_out.get(),
            t_last_out: self.t_last_out.get(),
            t_end: self.t_end.get(),
            end: self.end,
            is_in_head: self.is_in_head,
            is_whole: self.is_whole,
            version: self.version.name(),
            bytes: self.bytes,
            status: self.status.map(NonZeroU16::get),
            faults: ids.collect(),
            retry_after: self.retry_after.get().map(Duration::from_micros),
            method: method.to_owned(),
            path: path.to_owned(),
            fingerprint: self.fingerprint,
            content_hashed: self.content_hashed.map(u64::from),
            trace: self.trace.map(PackedTrace::get),
            request_id: request_id.to_owned(),
            idempotency_key: self.idempotency_key.get(),
            retry_count: self.retry_count,
            in_flight: self.in_flight,
            // Behind all others.
            ended_by: faults.take(faults.0.len()).to_owned(),
        }
    }
}

fn take_id<'t>(texts: &mut Texts<'t>) -> &'t str {
    let length = texts.0.first().copied().unwrap_or_default();
    texts.0 = texts.0.get(1..).unwrap_or_default();
    texts.take(length.into())
}

impl InProgress {
    /// Notes that these faults struck it. Ids have up to 64 bytes.
    pub(in crate::journal) fn strike<'f>(&mut self, ids: impl Iterator<Item = &'f str>) {
        for id in ids {
            if self.packed.lengths.faults < PackedAttempt::FAULTS_MAX
                && let Ok(length) = u8::try_from(id.len())
            {
                self.packed.lengths.faults += 1;
                self.texts.push(&[length]);
                self.texts.push(id.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::journal::{ended::Ended, open::TextBuffer};

    fn attempt(seq: u64) -> PackedAttempt {
        PackedAttempt {
            number: 1,
            seq,
            connection: 2,
            connection_seq: 3,
            peer: (Ipv6Addr::LOCALHOST, 4).into(),
            t_open: 5,
            t_head: 6,
            t_req_end: Maybe::of(7),
            t_first_out: Maybe::of(8),
            t_last_out: Maybe::of(9),
            t_end: Maybe::of(10),
            bytes: 11,
            fingerprint: 12,
            idempotency_key: Maybe::of(13),
            retry_after: Maybe::of(14),
            trace: PackedTrace::of((u128::MAX - 15, 16)),
            retry_count: Some(17),
            in_flight: 18,
            content_hashed: Some(19),
            status: NonZeroU16::new(200),
            end: AttemptEnd::Fault,
            is_in_head: true,
            is_whole: true,
            version: Version::Http2,
            lengths: TextLengths::default(),
        }
    }

    /// The texts of a record with these, and the lengths in `packed`.
    fn texts(packed: &mut PackedAttempt, texts: [&str; 4], faults: &[&str], by: &str) -> Vec<u8> {
        let [route, method, path, request_id] = texts.map(str::len);
        packed.lengths = TextLengths::of(route, method, path, request_id);
        let mut open = InProgress {
            packed: *packed,
            texts: TextBuffer::new(),
        };
        open.texts.push(texts.concat().as_bytes());
        open.strike(faults.iter().copied());
        *packed = open.packed;
        open.texts.push(by.as_bytes());
        open.texts.bytes().to_vec()
    }

    #[test]
    fn all_that_is_known_of_a_request_is_kept() {
        let mut packed = attempt(20);
        let texts = texts(
            &mut packed,
            ["web", "GET", "/a", "id"],
            &["f1", "other"],
            "f1",
        );

        let read = packed.unpack(&texts);

        let expected = Attempt {
            number: 1,
            seq: 20,
            route: "web".to_owned(),
            connection: 2,
            connection_seq: 3,
            peer: Some((Ipv6Addr::LOCALHOST, 4).into()),
            t_open: 5,
            t_head: 6,
            t_req_end: Some(7),
            t_first_out: Some(8),
            t_last_out: Some(9),
            t_end: Some(10),
            end: AttemptEnd::Fault,
            ended_by: "f1".to_owned(),
            is_in_head: true,
            is_whole: true,
            version: "2",
            bytes: 11,
            status: Some(200),
            faults: vec!["f1".to_owned(), "other".to_owned()],
            retry_after: Some(Duration::from_micros(14)),
            method: "GET".to_owned(),
            path: "/a".to_owned(),
            fingerprint: 12,
            content_hashed: Some(19),
            trace: Some((u128::MAX - 15, 16)),
            request_id: "id".to_owned(),
            idempotency_key: Some(13),
            retry_count: Some(17),
            in_flight: 18,
        };
        assert_eq!(read, expected);
        let of = |fault: &str| JournalQuery {
            fault: Some(fault.to_owned()),
            ..JournalQuery::default()
        };
        assert!(packed.is_asked_for(&texts, &of("other")));
        assert!(!packed.is_asked_for(&texts, &of("othe")));
    }

    #[test]
    fn records_take_the_memory_that_the_docs_tell() {
        const CAPACITY: usize = 10_000;
        let id = "f".repeat(64);
        let path = "/".repeat(256);
        let usual = (["checkout", "GET", "/items/1234", ""], &[][..], "", 300);
        let largest = (
            [&id[..], &path[..32], &path, &path[..128]],
            &[&id[..]; 9][..],
            &id[..],
            3 * 1024,
        );
        for (of_request, faults, by, most) in [usual, largest] {
            let mut ended = Ended::new(CAPACITY);
            for seq in 1..=3 * CAPACITY as u64 {
                let mut packed = attempt(seq);
                let texts = texts(&mut packed, of_request, faults, by);
                ended.push(&packed, &texts);
            }

            let records = CAPACITY + 2 * Ended::<PackedAttempt>::SEGMENT;
            let each = ended.memory() / records;
            assert!(each <= most, "{each} > {most}");
        }
    }
}
