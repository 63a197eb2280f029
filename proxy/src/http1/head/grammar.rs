//! The grammar of heads (RFC 9112 §2 to §5), read in one pass: nothing is accepted that another parser could read otherwise.
//!
//! Each function reads a part at the beginning of its input and tells how long it is, or `None` if it is none, or not
//! whole. What is wrong then is for [`diagnosis`](super::diagnosis) to find out.

use super::is_token_byte;

/// `method SP request-target SP HTTP-version CRLF`.
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) minor: u8,
    pub(super) bytes: usize,
}

/// `HTTP-version SP status-code SP [ reason-phrase ] CRLF`; the second space may be missing where no reason follows.
pub(super) struct StatusLine {
    pub(super) minor: u8,
    pub(super) status: u16,
    pub(super) bytes: usize,
}

/// `field-name ":" OWS field-value OWS CRLF`, as offsets.
pub(super) struct FieldLine {
    pub(super) name: usize,
    pub(super) value: (usize, usize),
    pub(super) bytes: usize,
}

pub(super) fn request_line(input: &[u8]) -> Option<RequestLine<'_>> {
    let (method, rest) = input.split_at(token(input));
    let rest = rest.strip_prefix(b" ").filter(|_| !method.is_empty())?;
    let (target, rest) = rest.split_at(run(rest, b'!'));
    let rest = rest
        .strip_prefix(b" HTTP/1.")
        .filter(|_| !target.is_empty())?;
    let ([minor @ (b'0' | b'1'), b'\r', b'\n'], rest) = rest.split_first_chunk()? else {
        return None;
    };
    // Both at once.
    let text = str::from_utf8(&input[..method.len() + 1 + target.len()]).ok()?;
    Some(RequestLine {
        method: &text[..method.len()],
        target: &text[method.len() + 1..],
        minor: minor - b'0',
        bytes: input.len() - rest.len(),
    })
}

pub(super) fn status_line(input: &[u8]) -> Option<StatusLine> {
    let rest = input.strip_prefix(b"HTTP/1.")?;
    let ([minor @ (b'0' | b'1'), b' '], rest) = rest.split_first_chunk()? else {
        return None;
    };
    let (digits, rest) = rest.split_first_chunk::<3>()?;
    let status = (digits.iter()).try_fold(0, |status, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        Some(status * 10 + u16::from(digit))
    })?;
    let rest = match rest {
        [b' ', reason @ ..] => &reason[text(reason)..],
        rest => rest,
    };
    let rest = rest.strip_prefix(b"\r\n")?;
    Some(StatusLine {
        minor: minor - b'0',
        status,
        bytes: input.len() - rest.len(),
    })
}

pub(super) fn field_line(input: &[u8]) -> Option<FieldLine> {
    let name = token(input);
    if name == 0 || input.get(name) != Some(&b':') {
        return None;
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let mut start = name + 1;
    while input.get(start).is_some_and(is_space) {
        start += 1;
    }
    let line = start + text(&input[start..]);
    if !input[line..].starts_with(b"\r\n") {
        return None;
    }
    let mut end = line;
    while end > start && is_space(&input[end - 1]) {
        end -= 1;
    }
    Some(FieldLine {
        name,
        value: (start, end),
        bytes: line + 2,
    })
}

/// A run of `tchar`s.
fn token(input: &[u8]) -> usize {
    static IS_TOKEN: [bool; 256] = {
        let mut bytes = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            bytes[byte as usize] = is_token_byte(byte);
            byte += 1;
        }
        bytes
    };
    let is_other = |byte: &u8| !IS_TOKEN[usize::from(*byte)];
    input.iter().position(is_other).unwrap_or(input.len())
}

/// A run of bytes that may stand in a field value or a reason: HTAB, SP, visible ASCII, obs-text (RFC 9110 §5.5).
fn text(input: &[u8]) -> usize {
    let mut at = run(input, b' ');
    while input.get(at) == Some(&b'\t') {
        at += 1;
        at += run(&input[at..], b' ');
    }
    at
}

/// A run of bytes from `least`, which is below 0x80, without DEL. Eight are looked at in one step.
fn run(input: &[u8], least: u8) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let (least_each, del_each) = (EACH * u64::from(least), EACH * 0x7f);
    let (words, _) = input.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of each byte that is below the least, and of each DEL. A borrow may set further ones behind the first.
        let below = word.wrapping_sub(least_each) & !word;
        let not_del = word ^ del_each;
        let del = not_del.wrapping_sub(EACH) & !not_del;
        let others = (below | del) & HIGH;
        if others != 0 {
            return index * 8 + others.trailing_zeros() as usize / 8;
        }
    }
    let rest = words.len() * 8;
    let is_other = |byte: &u8| *byte < least || *byte == 0x7f;
    let others = input[rest..].iter().position(is_other);
    others.map_or(input.len(), |at| rest + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte that ends it, at each place of a long run, is found wherever a step begins.
    #[test]
    fn a_run_ends_at_the_first_byte_that_is_no_part_of_it() {
        for byte in 0..=u8::MAX {
            for at in 0..40 {
                let mut input = [b'a'; 40];
                input[at] = byte;
                input[39] = b'\n';
                let expected = |is_part: bool| if is_part { 39 } else { at };
                let visible = matches!(byte, b'!'..=b'~' | 0x80..);
                assert_eq!(run(&input, b'!'), expected(visible), "{byte} at {at}");
                let is_text = visible || matches!(byte, b' ' | b'\t');
                assert_eq!(text(&input), expected(is_text && at < 39), "{byte} at {at}");
                assert_eq!(
                    token(&input),
                    expected(is_token_byte(byte) && at < 39),
                    "{byte} at {at}"
                );
            }
        }
        assert_eq!((run(b"", b' '), text(b"\t\t"), token(b"abc")), (0, 2, 3));
    }
}
