//! A small reader of HTTP/1.1 written from the grammar (RFC 9110, RFC 9112) for the tests, with nothing of the codec.

/// A head as the grammar reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// The first line's three parts.
    pub(crate) line: [&'a [u8]; 3],
    pub(crate) fields: Vec<(&'a [u8], &'a [u8])>,
    /// Bytes up to and with the empty line.
    pub(crate) used: usize,
}

/// HTTP-message of RFC 9112 §2.1 up to its empty line, with `request-line`.
pub(crate) fn request(input: &[u8]) -> Option<Head<'_>> {
    let (line, rest) = line(input)?;
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let line = [parts.next()?, parts.next()?, parts.next()?];
    let [method, target, version] = line;
    let is_target =
        !target.is_empty() && target.iter().all(|byte| !matches!(byte, 0..=b' ' | 0x7f));
    if !is_token(method) || !is_target || !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
        return None;
    }
    let (fields, rest) = fields(rest)?;
    let used = input.len() - rest.len();
    Some(Head { line, fields, used })
}

/// The same with `status-line`.
pub(crate) fn answer(input: &[u8]) -> Option<Head<'_>> {
    let (line, rest) = line(input)?;
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let line = [parts.next()?, parts.next()?, parts.next()?];
    let [version, status, reason] = line;
    let is_status = status.len() == 3 && status.iter().all(u8::is_ascii_digit);
    let is_reason = reason
        .iter()
        .all(|byte| is_vchar(*byte) || matches!(byte, b' ' | b'\t'));
    if !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") || !is_status || !is_reason {
        return None;
    }
    let (fields, rest) = fields(rest)?;
    let used = input.len() - rest.len();
    Some(Head { line, fields, used })
}

type Field<'a> = (&'a [u8], &'a [u8]);

/// `*( field-line CRLF ) CRLF`
fn fields(mut input: &[u8]) -> Option<(Vec<Field<'_>>, &[u8])> {
    let mut fields = Vec::new();
    loop {
        let (field, rest) = line(input)?;
        if field.is_empty() {
            return Some((fields, rest));
        }
        let colon = field.iter().position(|byte| *byte == b':')?;
        let (name, mut value) = (&field[..colon], &field[colon + 1..]);
        while let [b' ' | b'\t', trimmed @ ..] | [trimmed @ .., b' ' | b'\t'] = value {
            value = trimmed;
        }
        if !is_token(name)
            || !value
                .iter()
                .all(|byte| is_vchar(*byte) || matches!(byte, b' ' | b'\t'))
        {
            return None;
        }
        fields.push((name, value));
        input = rest;
    }
}

/// A chunked body (RFC 9112 §7.1): its content, its trailers, and the bytes it takes. `None` if it is none, or not
/// all of it.
pub(crate) fn chunked(input: &[u8]) -> Option<(Vec<u8>, Vec<Field<'_>>, usize)> {
    let mut content = Vec::new();
    let mut rest = input;
    loop {
        let (head, after) = line(rest)?;
        let digits = head
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let size = u64::from_str_radix(str::from_utf8(&head[..digits]).ok()?, 16).ok()?;
        extensions(&head[digits..])?;
        if digits > 16 {
            return None;
        }
        if size == 0 {
            let (trailers, rest) = fields(after)?;
            return Some((content, trailers, input.len() - rest.len()));
        }
        let size = usize::try_from(size).ok()?;
        content.extend_from_slice(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`
fn extensions(mut text: &[u8]) -> Option<()> {
    while !text.is_empty() {
        text = space(space(text).strip_prefix(b";")?);
        text = token(text)?;
        if let Some(value) = space(text).strip_prefix(b"=") {
            let value = space(value);
            text = match value.strip_prefix(b"\"") {
                Some(quoted) => quoted_end(quoted)?,
                None => token(value)?,
            };
        }
    }
    Some(())
}

/// What stands behind the closing quote.
fn quoted_end(mut text: &[u8]) -> Option<&[u8]> {
    let is_text = |byte: u8| is_vchar(byte) || matches!(byte, b' ' | b'\t');
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', byte, rest @ ..] if is_text(*byte) => rest,
            [b'\\', ..] => return None,
            [byte, rest @ ..] if is_text(*byte) => rest,
            _ => return None,
        };
    }
}

fn token(text: &[u8]) -> Option<&[u8]> {
    let end = text
        .iter()
        .position(|byte| !is_tchar(*byte))
        .unwrap_or(text.len());
    (end > 0).then(|| &text[end..])
}

fn space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// A line that ends with CRLF and has no other CR or LF in it.
fn line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n'))?;
    Some((&input[..end], input[end..].strip_prefix(b"\r\n")?))
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_tchar(*byte))
}

fn is_tchar(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9') || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// VCHAR or obs-text.
fn is_vchar(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0x80..=0xff)
}
