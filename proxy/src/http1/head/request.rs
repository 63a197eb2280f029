//! The head of a request.

use super::{
    FieldKind, Fields, HeadLimits, HeadSearch, diagnosis, grammar, host, is_token_byte,
    search::{Before, Found},
};
use crate::http1::refusal::{HeadFlaw, Refusal};

/// A client's request, up to its empty line.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestHead {
    method: String,
    target: String,
    /// The minor version: 0 or 1.
    pub(crate) minor: u8,
    pub(crate) fields: Fields,
}

impl RequestHead {
    /// Reads a head from the beginning of `input`, and tells how many bytes it took, empty lines before it included.
    /// `None` asks for more input behind the same bytes.
    ///
    /// When a head is refused, method and target are there if its first line could be read.
    ///
    /// # Errors
    ///
    /// Returns why the request is refused; the connection is to be closed then.
    pub(crate) fn parse(
        &mut self,
        input: &[u8],
        search: &mut HeadSearch,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, Refusal> {
        self.parse_with(input, search, limits, false)
    }

    /// As [`parse`](Self::parse), of a request on a stream: there CONNECT may have a path (RFC 8441 §4).
    ///
    /// # Errors
    ///
    /// As `parse`.
    pub(crate) fn parse_of_stream(
        &mut self,
        input: &[u8],
        search: &mut HeadSearch,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, Refusal> {
        self.parse_with(input, search, limits, true)
    }

    fn parse_with(
        &mut self,
        input: &[u8],
        search: &mut HeadSearch,
        limits: &HeadLimits,
        takes_connect: bool,
    ) -> Result<Option<usize>, Refusal> {
        let start = match search.skip_empty_lines(input) {
            Before::Nothing => return Ok(None),
            Before::Head(start) => start,
            Before::BareLf => return Err(Refusal::BARE_LF),
            Before::BareCr => return Err(Refusal::BARE_CR),
            Before::TooManyLines => return Err(Refusal::EMPTY_LINES),
        };
        let input = &input[start..];
        match input {
            // A TLS record with a handshake, of any version since SSL 3.0.
            [0x16] => return Ok(None),
            [0x16, 0x03, ..] => return Err(Refusal::TLS),
            [first, ..] if !is_token_byte(*first) => return Err(Refusal::FIRST_LINE),
            _ => {}
        }
        // Most heads come whole, and their end is found by reading them.
        let whole = if search.is_new() {
            self.read(&input[..input.len().min(limits.bytes)], limits)
        } else {
            None
        };
        let end = match whole {
            Some(end) => end,
            None => match search.end_of(input, limits) {
                Found::End(end) => self
                    .read(&input[..end], limits)
                    .filter(|read| *read == end)
                    .ok_or_else(|| self.refused(&input[..end], limits))?,
                Found::NotYet if input.len() > limits.target && has_long_target(input, limits) => {
                    return Err(Refusal::TARGET_BYTES);
                }
                Found::NotYet => return Ok(None),
                Found::TooLong => return Err(too_long(input, limits)),
            },
        };
        self.check(limits, takes_connect)?;
        Ok(Some(start + end))
    }

    /// Takes over the head that `input` begins with, and tells where it ends; `None` if there is none, or not all of it.
    fn read(&mut self, input: &[u8], limits: &HeadLimits) -> Option<usize> {
        self.clear();
        let line = grammar::request_line(input)?;
        self.method.push_str(line.method);
        self.target.push_str(line.target);
        self.minor = line.minor;
        self.fields.load(input, line.bytes, limits.fields)
    }

    /// Finds out why a head is no head, and keeps its first line for the logs if it is one.
    #[cold]
    fn refused(&mut self, head: &[u8], limits: &HeadLimits) -> Refusal {
        self.clear();
        let line = diagnosis::request_line(head);
        if let Ok((method, target, minor)) = line {
            self.method.push_str(&String::from_utf8_lossy(method));
            self.target.push_str(&String::from_utf8_lossy(target));
            self.minor = minor;
        }
        // Before any other flaw: a head that comes in pieces is refused as soon as its target is too long.
        if has_long_target(head, limits) {
            return Refusal::TARGET_BYTES;
        }
        let flaw = line
            .err()
            .or_else(|| diagnosis::field_lines(head, limits.fields));
        Refusal::of_flaw(flaw.unwrap_or(HeadFlaw::FirstLine))
    }

    /// What the grammar of a head leaves open: target and Host.
    fn check(&self, limits: &HeadLimits, takes_connect: bool) -> Result<(), Refusal> {
        let (method, target) = (&self.method, &self.target);
        if target.len() > limits.target {
            return Err(Refusal::TARGET_BYTES);
        }
        if method == "CONNECT" && !takes_connect {
            return Err(Refusal::CONNECT);
        }
        check_target(method, target)?;
        let mut hosts = self.fields.all_kind(FieldKind::Host);
        match (hosts.next(), hosts.next()) {
            (None, _) if self.minor > 0 => Err(Refusal::HOST_MISSING),
            (Some(_), Some(_)) => Err(Refusal::HOST_REPEATED),
            (Some(host), None) if !host::is_valid(host) => Err(Refusal::HOST_INVALID),
            (_, None) | (None, Some(_)) => Ok(()),
        }
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// The target as it came, or as [`set_target`](Self::set_target) made it.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The target without its query: `/a` of `/a?b` and of `http://host/a?b`.
    pub(crate) fn path(&self) -> &str {
        split_target(self.target()).0
    }

    /// What stands behind the target's `?`.
    pub(crate) fn query(&self) -> Option<&str> {
        split_target(self.target()).1
    }

    /// The authority of a target in absolute form, else the field `Host`.
    pub(crate) fn host(&self) -> Option<&str> {
        absolute(self.target())
            .map(|(authority, _)| host::without_userinfo(authority))
            .or_else(|| str::from_utf8(self.fields.get_kind(FieldKind::Host)?).ok())
    }

    /// Replaces the target. The caller has checked that it is one: not empty, no space, no control byte.
    pub(crate) fn set_target(&mut self, target: &str) {
        debug_assert!(!target.is_empty() && target.bytes().all(|byte| byte > b' ' && byte != 0x7f));
        self.target.clear();
        self.target.push_str(target);
    }

    pub(crate) fn is_http10(&self) -> bool {
        self.minor == 0
    }

    /// `GET http://host/path` becomes `GET /path` with `Host: host` (RFC 9112 §3.2.2), `OPTIONS http://host` becomes
    /// `OPTIONS *` (§3.2.4). User information is never part of Host (RFC 9110 §7.2). Other forms stay as they are.
    pub(crate) fn use_origin_form(&mut self) {
        let target = self.target();
        let Some((authority, rest)) = absolute(target) else {
            return;
        };
        let authority = host::without_userinfo(authority).to_owned();
        let target = match rest.bytes().next() {
            Some(b'/') => rest.to_owned(),
            Some(_) => format!("/{rest}"),
            None if self.method() == "OPTIONS" => "*".to_owned(),
            None => "/".to_owned(),
        };
        self.set_target(&target);
        self.fields
            .set_kind(FieldKind::Host, "Host", authority.as_bytes());
    }

    /// How much memory is held, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.method.capacity() + self.target.capacity() + self.fields.capacity()
    }

    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.method.clear();
        self.target.clear();
        self.minor = 1;
        self.fields.clear();
    }

    /// Writes the request as HTTP/1.1, up to and with its empty line.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.fields.write_to(out);
        out.extend_from_slice(b"\r\n");
    }
}

/// The first line, if it came, tells which limit a request breaks whose head does not end.
#[cold]
fn too_long(input: &[u8], limits: &HeadLimits) -> Refusal {
    if has_long_target(input, limits) {
        Refusal::TARGET_BYTES
    } else {
        Refusal::HEAD_BYTES
    }
}

/// Whether the target in the first line, as far as it came, is longer than it may be.
#[cold]
fn has_long_target(input: &[u8], limits: &HeadLimits) -> bool {
    let line = memchr::memchr(b'\n', input).map_or(input, |end| &input[..end]);
    let target = line.split(|byte| *byte == b' ').nth(1);
    target.is_some_and(|target| target.len() > limits.target)
}

/// Whether a target has the form that its method asks for (RFC 9112 §3.2), CONNECT aside.
fn check_target(method: &str, target: &str) -> Result<(), Refusal> {
    if memchr::memchr(b'#', target.as_bytes()).is_some() {
        return Err(Refusal::FRAGMENT);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(());
    }
    let (authority, _) = absolute(target).ok_or(Refusal::TARGET_FORM)?;
    if host::is_valid_authority(authority) {
        Ok(())
    } else {
        Err(Refusal::TARGET_FORM)
    }
}

/// The authority of an `http` or `https` target in absolute form, and what stands behind it.
fn absolute(target: &str) -> Option<(&str, &str)> {
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

fn split_target(target: &str) -> (&str, Option<&str>) {
    let rest = absolute(target).map_or(target, |(_, rest)| rest);
    let (path, query) = match memchr::memchr(b'?', rest.as_bytes()) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    (if path.is_empty() { "/" } else { path }, query)
}
