//! Field lines, in order, as they came.

use super::{
    FieldKind, FieldKinds, HeadLimits, Span, diagnosis, grammar, is_token, is_value_byte, offset,
};
use crate::http1::refusal::HeadFlaw;

/// Where a field line and its parts are in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    /// The line with its CRLF. The name is at its start.
    line: Span,
    name_end: u32,
    /// Without the white space around it.
    value: Span,
    kind: FieldKind,
}

impl Field {
    fn name(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.line.start as usize..self.name_end as usize]
    }
}

/// The field lines of a head or of a trailer section: a buffer with their bytes, and where they are in it.
///
/// A changed field is appended to the buffer; the bytes of the old one stay until [`clear`](Self::clear), which
/// keeps the capacity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    lines: Vec<Field>,
    /// The kinds that may be there: none is missing, some may have been removed since.
    kinds: u16,
}

impl Fields {
    /// The first value of the field with this name, in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let is_named = self.named(name.as_bytes());
        let field = self.lines.iter().find(|field| is_named(field))?;
        Some(field.value.in_bytes(&self.bytes))
    }

    /// The first value of a field of this kind.
    pub(crate) fn get_kind(&self, kind: FieldKind) -> Option<&[u8]> {
        self.all_kind(kind).next()
    }

    /// All values of the field with this name, in order.
    #[cfg(test)]
    pub(crate) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
        let is_named = self.named(name.as_bytes());
        let lines = self.lines.iter().filter(move |field| is_named(field));
        lines.map(|field| field.value.in_bytes(&self.bytes))
    }

    /// All values of the fields of this kind, in order.
    pub(crate) fn all_kind(&self, kind: FieldKind) -> impl Iterator<Item = &[u8]> {
        self.iter_kind(kind).map(|(_, value)| value)
    }

    /// Names and values of the fields of this kind, in order.
    pub(crate) fn iter_kind(&self, kind: FieldKind) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = if self.kinds & kind.bit() == 0 {
            &[][..]
        } else {
            &self.lines[..]
        };
        let lines = lines.iter().filter(move |field| field.kind == kind);
        lines.map(|field| (field.name(&self.bytes), field.value.in_bytes(&self.bytes)))
    }

    /// Names and values in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines
            .iter()
            .map(|field| (field.name(&self.bytes), field.value.in_bytes(&self.bytes)))
    }

    /// How many field lines there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether there may be a field of one of these kinds, told without a look at the fields.
    pub(crate) fn may_have(&self, kinds: FieldKinds) -> bool {
        self.kinds & kinds.0 != 0
    }

    pub(crate) fn has_kind(&self, kind: FieldKind) -> bool {
        self.kinds & kind.bit() != 0 && self.lines.iter().any(|field| field.kind == kind)
    }

    /// The members of a comma-separated field, over all its lines in order, empty ones left out (RFC 9110 §5.6.1).
    pub(crate) fn members(&self, kind: FieldKind) -> impl Iterator<Item = &[u8]> {
        let members = self
            .all_kind(kind)
            .flat_map(|value| value.split(|byte| *byte == b','));
        members
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
    }

    /// Whether a comma-separated field has `token` as a member, in any case.
    pub(crate) fn lists(&self, kind: FieldKind, token: &str) -> bool {
        self.kinds & kind.bit() != 0
            && self
                .members(kind)
                .any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Removes all fields of this name. Tells whether there was one.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.remove_bytes(name.as_bytes())
    }

    pub(crate) fn remove_bytes(&mut self, name: &[u8]) -> bool {
        let kind = FieldKind::of(name);
        if kind.is_one_name() {
            return self.remove_kind(kind);
        }
        self.retain(|_, other, _| !other.eq_ignore_ascii_case(name))
    }

    /// Removes all fields of this kind. Tells whether there was one.
    pub(crate) fn remove_kind(&mut self, kind: FieldKind) -> bool {
        if self.kinds & kind.bit() == 0 {
            return false;
        }
        let removed = self.retain(|other, _, _| other != kind);
        if kind != FieldKind::Other {
            self.kinds &= !kind.bit();
        }
        removed
    }

    /// Keeps the fields for which `keep` says so, given kind, name and value. Tells whether one was removed.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(FieldKind, &[u8], &[u8]) -> bool) -> bool {
        let (bytes, before) = (&self.bytes, self.lines.len());
        self.lines
            .retain(|field| keep(field.kind, field.name(bytes), field.value.in_bytes(bytes)));
        self.lines.len() < before
    }

    /// Gives the first field of this name the value, where it stands, and removes the others of that name; appends
    /// the field if there is none. The name is written as given.
    ///
    /// The caller has checked both: a token, and bytes that may stand in a value.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        let first = self.lines.iter().position(self.named(name.as_bytes()));
        let Some(first) = first else {
            return self.append(name, value);
        };
        let name = self.store(name.as_bytes());
        self.replace(first, name, value);
    }

    /// As [`set`](Self::set), for a field that is told by its kind; one that is there keeps its name's case.
    pub(crate) fn set_kind(&mut self, kind: FieldKind, name: &str, value: &[u8]) {
        debug_assert_eq!(FieldKind::of(name.as_bytes()), kind);
        let first = self.lines.iter().position(|field| field.kind == kind);
        let Some(first) = first else {
            return self.append(name, value);
        };
        let old = self.lines[first];
        let start = self.bytes.len();
        self.bytes
            .extend_from_within(old.line.start as usize..old.name_end as usize);
        self.check_size();
        let name = Span::new(start, self.bytes.len());
        self.replace(first, name, value);
    }

    /// Adds a field behind all others. The caller has checked name and value, as for [`set`](Self::set).
    pub(crate) fn append(&mut self, name: &str, value: &[u8]) {
        let name = self.store(name.as_bytes());
        let field = self.written(name, value);
        self.kinds |= field.kind.bit();
        self.lines.push(field);
    }

    /// Writes all lines in order, each with its CRLF, without the empty line behind them.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        self.write_from(None, out);
    }

    /// As [`write_to`](Self::write_to), behind a part of the buffer that goes first. What follows each other in
    /// the buffer is copied in one go.
    pub(super) fn write_from(&self, first: Option<Span>, out: &mut Vec<u8>) {
        let mut run = first.unwrap_or_default();
        for field in &self.lines {
            if field.line.start == run.end {
                run.end = field.line.end;
            } else {
                out.extend_from_slice(run.in_bytes(&self.bytes));
                run = field.line;
            }
        }
        out.extend_from_slice(run.in_bytes(&self.bytes));
    }

    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.kinds = 0;
    }

    /// How much memory is held, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.lines.capacity() * size_of::<Field>()
    }

    /// The text at `span` of the buffer.
    pub(super) fn text(&self, span: Span) -> &[u8] {
        span.in_bytes(&self.bytes)
    }

    /// Offsets have 32 bits: a head is limited to far less, and so are the changes that faults make.
    fn check_size(&self) {
        assert!(
            u32::try_from(self.bytes.len()).is_ok(),
            "a head is below 4 GiB"
        );
    }

    /// Puts a text that is no field into the buffer.
    pub(super) fn store(&mut self, text: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        self.check_size();
        Span::new(start, self.bytes.len())
    }

    /// Reads field lines from `start` up to their empty line, and takes over the input up to there, `fields_max` lines at
    /// most. Gives its end; `None` if what stands there is not that, or not whole.
    pub(super) fn load(&mut self, input: &[u8], start: usize, fields_max: usize) -> Option<usize> {
        self.clear();
        let mut at = start;
        while !input[at..].starts_with(b"\r\n") {
            let line = grammar::field_line(&input[at..])?;
            if self.lines.len() == fields_max {
                return None;
            }
            let name_end = at + line.name;
            let kind = FieldKind::of(&input[at..name_end]);
            self.kinds |= kind.bit();
            self.lines.push(Field {
                line: Span::new(at, at + line.bytes),
                name_end: offset(name_end),
                value: Span::new(at + line.value.0, at + line.value.1),
                kind,
            });
            at += line.bytes;
        }
        let end = at + 2;
        self.bytes.extend_from_slice(&input[..end]);
        self.check_size();
        Some(end)
    }

    /// Reads a trailer section, up to its empty line.
    pub(in crate::http1) fn read(
        &mut self,
        section: &[u8],
        limits: &HeadLimits,
    ) -> Result<(), HeadFlaw> {
        match self.load(section, 0, limits.fields) {
            Some(used) if used == section.len() => Ok(()),
            Some(_) | None => {
                let flaw = diagnosis::trailers(section, limits.fields);
                Err(flaw.unwrap_or(HeadFlaw::FieldName))
            }
        }
    }

    fn named<'f>(&'f self, name: &'f [u8]) -> impl Fn(&Field) -> bool + use<'f> {
        let kind = FieldKind::of(name);
        move |field| {
            field.kind == kind
                && (kind.is_one_name() || field.name(&self.bytes).eq_ignore_ascii_case(name))
        }
    }

    /// Puts a field in place of the first one of its name, and removes the others. The name is at the buffer's end.
    fn replace(&mut self, first: usize, name: Span, value: &[u8]) {
        let field = self.written(name, value);
        let (bytes, name) = (&self.bytes, name.in_bytes(&self.bytes));
        let mut index = 0;
        self.lines.retain(|other| {
            let keep = index <= first
                || other.kind != field.kind
                || (!field.kind.is_one_name() && !other.name(bytes).eq_ignore_ascii_case(name));
            index += 1;
            keep
        });
        self.lines[first] = field;
    }

    /// Completes a field line whose name is at the buffer's end.
    fn written(&mut self, name: Span, value: &[u8]) -> Field {
        debug_assert!(is_token(name.in_bytes(&self.bytes)), "{name:?}");
        debug_assert!(value.iter().all(|byte| is_value_byte(*byte)), "{value:?}");
        self.store(b": ");
        let value = self.store(value.trim_ascii());
        let end = self.store(b"\r\n");
        Field {
            line: Span {
                start: name.start,
                end: end.end,
            },
            name_end: name.end,
            value,
            kind: FieldKind::of(name.in_bytes(&self.bytes)),
        }
    }
}
