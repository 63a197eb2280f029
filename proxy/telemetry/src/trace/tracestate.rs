//! What vendors add to a trace: the `tracestate` fields of W3C Trace Context §3.3.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};

/// The most list members of all `tracestate` fields of a request together (§3.3.1.1).
const MEMBERS_MAX: usize = 32;
/// The longest value of a member, in bytes (§3.3.1.3.2).
const VALUE_BYTES_MAX: usize = 256;

/// The values of a request's `tracestate` fields, in the order in which they came. Making one allocates nothing.
#[derive(Debug, Clone, Copy)]
pub struct TraceState<'a>(Values<'a>);

#[derive(Debug, Clone, Copy)]
enum Values<'a> {
    One(&'a [u8]),
    Several(&'a [&'a [u8]]),
    Of(&'a HeaderMap),
}

impl<'a> TraceState<'a> {
    /// Of a request without the field.
    pub const NONE: Self = Self(Values::Several(&[]));

    /// Of a request with one field.
    #[must_use]
    pub const fn one(value: &'a [u8]) -> Self {
        Self(Values::One(value))
    }

    /// Of a request with any number of fields.
    #[must_use]
    pub const fn several(values: &'a [&'a [u8]]) -> Self {
        Self(Values::Several(values))
    }

    pub(super) const fn of(headers: &'a HeaderMap) -> Self {
        Self(Values::Of(headers))
    }

    /// All fields as the value of one (RFC 9110 §5.3), without a copy if there was only one.
    ///
    /// `None` if there is nothing in them, or if anything in them breaks the grammar of §3.3.1, or if there are more
    /// than 32 members: then §4.3 lets the whole be dropped. A key that is there twice is left alone, and nothing is
    /// cut: 32 members are at most 16.4 KB.
    pub(super) fn combined(self) -> Option<Cow<'a, str>> {
        let mut members = 0;
        let mut combined: Option<Cow<'a, str>> = None;
        for value in self.values() {
            let value = str::from_utf8(value).ok()?.trim_matches(is_blank);
            let before = members;
            for member in value.split(',').map(|member| member.trim_matches(is_blank)) {
                if member.is_empty() {
                    continue; // Allowed, and without meaning.
                }
                members += 1;
                if members > MEMBERS_MAX || !is_member(member) {
                    return None;
                }
            }
            if members > before {
                combined = Some(match combined {
                    None => Cow::Borrowed(value),
                    Some(first) => Cow::Owned(first.into_owned() + "," + value),
                });
            }
        }
        combined
    }

    fn values(self) -> impl Iterator<Item = &'a [u8]> {
        let (one, several, headers) = match self.0 {
            Values::One(value) => (Some(value), &[][..], None),
            Values::Several(values) => (None, values, None),
            Values::Of(headers) => (None, &[][..], Some(headers)),
        };
        let headers = headers.into_iter().flat_map(|it| it.get_all("tracestate"));
        let headers = headers.map(HeaderValue::as_bytes);
        one.into_iter()
            .chain(several.iter().copied())
            .chain(headers)
    }
}

impl Default for TraceState<'_> {
    fn default() -> Self {
        Self::NONE
    }
}

/// Optional whitespace (RFC 9110 §5.6.3).
fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else {
        return false;
    };
    // Neither comma nor equals sign; blanks at the end were taken for whitespace around the member.
    let is_value = (1..=VALUE_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|c| matches!(c, b' '..=b'~') && c != b'=');
    is_value && is_key(key.as_bytes())
}

/// `simple-key` or `multi-tenant-key` (§3.3.1.3.1).
fn is_key(key: &[u8]) -> bool {
    let is_part = |part: &[u8], bytes_max: usize, may_begin_with_digit: bool| {
        let rest = |c: &u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        let first = |c: &u8| c.is_ascii_lowercase() || (may_begin_with_digit && c.is_ascii_digit());
        part.len() <= bytes_max && part.first().is_some_and(first) && part.iter().all(rest)
    };
    match key.iter().position(|c| *c == b'@') {
        None => is_part(key, 256, false),
        Some(at) => is_part(&key[..at], 241, true) && is_part(&key[at + 1..], 14, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(values: &[&str]) -> Option<String> {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        TraceState::several(&values).combined().map(Cow::into_owned)
    }

    #[test]
    fn one_field_goes_on_as_it_came_without_a_copy() {
        let came = "congo=t61rcWkgMzE \t,, rojo=00f067aa0ba902b7,t@vendor=a b";

        let combined = TraceState::one(came.as_bytes()).combined();

        assert!(matches!(combined, Some(Cow::Borrowed(it)) if it == came));
    }

    #[test]
    fn several_fields_become_one_in_their_order() {
        assert_eq!(
            combined(&["a=1,b=2", "", " c=3 ", " , ", "d=4"]).as_deref(),
            Some("a=1,b=2,c=3,d=4")
        );
        assert_eq!(combined(&["a=1", "a=2"]).as_deref(), Some("a=1,a=2"));
        assert_eq!(combined(&["", "\t", ",,"]), None);
        assert_eq!(combined(&[]), None);
    }

    #[test]
    fn more_than_32_members_are_dropped() {
        let members = |n: usize| -> Vec<String> { (0..n).map(|n| format!("k{n}=v")).collect() };
        let (most, more) = (members(32), members(33));

        assert_eq!(combined(&[&most.join(",")]), Some(most.join(",")));
        let fields: Vec<&str> = most.iter().map(String::as_str).collect();
        assert_eq!(combined(&fields), Some(most.join(",")));
        assert_eq!(combined(&[&more.join(",")]), None);
        let fields: Vec<&str> = more.iter().map(String::as_str).collect();
        assert_eq!(combined(&fields), None);
    }

    #[test]
    fn what_breaks_the_grammar_is_dropped_as_a_whole() {
        let (z, t, v) = ("z".repeat(256), "t".repeat(241), "v".repeat(14));
        for valid in [
            format!("{z}=1"),
            format!("{t}@{v}=1"),
            format!("0{}@v=1", "t".repeat(240)),
            format!("a={z}"),
            "foo=1 \t , \t bar=2, \t baz=3".to_owned(),
            "a_-*/9=!\"#$%&'()*+-./:;<>?@[]^`{|}~".to_owned(),
        ] {
            assert!(combined(&[&valid]).is_some(), "{valid}");
        }
        for invalid in [
            format!("{z}z=1"),
            format!("{t}t@v=1"),
            format!("t@{v}v=1"),
            format!("a={z}z"),
            "foo".to_owned(),
            "foo=".to_owned(),
            "=1".to_owned(),
            "foo =1".to_owned(),
            "FOO=1".to_owned(),
            "9foo=1".to_owned(),
            "foo.bar=1".to_owned(),
            "foo@=1".to_owned(),
            "@foo=1".to_owned(),
            "foo@@bar=1".to_owned(),
            "foo@bar@baz=1".to_owned(),
            "foo=bar=baz".to_owned(),
            "foo=a\u{7f}".to_owned(),
            "foo=\u{e4}".to_owned(),
            "foo=a;bar=2".to_owned(),
        ] {
            assert_eq!(combined(&["ok=1", &invalid]), None, "{invalid}");
        }
    }
}
