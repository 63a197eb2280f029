//! What an answer is looked at for.

use std::fmt;

use http::{HeaderMap, HeaderName, StatusCode};
use regex::Regex;
use serde_json::Value;

/// Something that an answer of the load either is or is not, such as a fallback's.
///
/// Written `header NAME`, `header NAME=VALUE`, `status CODE`, `json /pointer=VALUE` or `text REGEX`; a colon may stand
/// for the first blank.
#[derive(Debug, Clone)]
pub enum Predicate {
    /// It has this field, with this value where one is given.
    Header(HeaderName, Option<String>),
    /// It has this status.
    Status(StatusCode),
    /// Its JSON body has this value at the pointer (RFC 6901); a text is compared without its quotes.
    Json(String, String),
    /// Its body has text that fits.
    Text(Regex),
}

impl Predicate {
    /// How much of a body is looked at.
    pub const BODY_BYTES_MAX: usize = 1024 * 1024;

    /// Reads a predicate.
    ///
    /// # Errors
    /// A sentence that says what would be accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (kind, rest) = text
            .split_once([' ', ':'])
            .map_or((text, ""), |(kind, rest)| (kind, rest.trim()));
        match kind {
            "header" => {
                let (name, value) = match rest.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (rest, None),
                };
                let name = name
                    .parse()
                    .map_err(|_| format!("`{name}` is not the name of a header field"))?;
                Ok(Self::Header(name, value))
            }
            "status" => rest
                .parse()
                .ok()
                .and_then(|code| StatusCode::from_u16(code).ok())
                .map(Self::Status)
                .ok_or_else(|| format!("`{rest}` is not a status, such as 206")),
            "json" => match rest.split_once('=') {
                Some((pointer, value)) if pointer.starts_with('/') => {
                    Ok(Self::Json(pointer.to_owned(), value.to_owned()))
                }
                _ => Err("expected a pointer and a value, such as `/source=cache`".to_owned()),
            },
            "text" => Regex::new(rest)
                .map(Self::Text)
                .map_err(|_| format!("`{rest}` is not a regular expression")),
            other => Err(brownout_fault::read::unknown(
                "predicate",
                other,
                &["header", "status", "json", "text"],
            )),
        }
    }

    /// Whether it looks at the body.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        match self {
            Self::Header(..) | Self::Status(_) => false,
            Self::Json(..) | Self::Text(_) => true,
        }
    }

    /// Whether a whole answer is that. `body` is at most [`BODY_BYTES_MAX`](Self::BODY_BYTES_MAX) of it.
    #[must_use]
    pub fn fits(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> bool {
        match self {
            Self::Header(name, None) => headers.contains_key(name),
            Self::Header(name, Some(wanted)) => {
                let mut values = headers.get_all(name).iter();
                values.any(|value| value.as_bytes() == wanted.as_bytes())
            }
            Self::Status(wanted) => status == *wanted,
            Self::Json(pointer, wanted) => {
                let read: Option<Value> = serde_json::from_slice(body).ok();
                let found = read.as_ref().and_then(|it| it.pointer(pointer));
                found.is_some_and(|value| match value {
                    Value::String(text) => text == wanted,
                    other => {
                        let text = other.to_string();
                        text == *wanted
                    }
                })
            }
            Self::Text(regex) => regex.is_match(&String::from_utf8_lossy(body)),
        }
    }
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name, None) => write!(f, "header {name}"),
            Self::Header(name, Some(value)) => write!(f, "header {name}={value}"),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
            Self::Json(pointer, value) => write!(f, "json {pointer}={value}"),
            Self::Text(regex) => write!(f, "text {regex}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(predicate: &str, status: u16, field: (&str, &str), body: &str) -> bool {
        let name: HeaderName = field.0.parse().unwrap();
        let headers = HeaderMap::from_iter([(name, field.1.parse().unwrap())]);
        let status = StatusCode::from_u16(status).unwrap();
        let predicate = Predicate::parse(predicate).unwrap();
        predicate.fits(status, &headers, body.as_bytes())
    }

    #[test]
    fn an_answer_is_looked_at_for_what_was_said() {
        let degraded = ("x-degraded", "recommendations");
        assert!(fits("header x-degraded", 200, degraded, ""));
        assert!(fits("header:X-Degraded=recommendations", 200, degraded, ""));
        assert!(!fits("header x-degraded=other", 200, degraded, ""));
        assert!(fits("status 206", 206, degraded, ""));
        assert!(!fits("status 206", 200, degraded, ""));
        assert!(fits(
            "json /source=cache",
            200,
            degraded,
            r#"{"source":"cache"}"#
        ));
        assert!(fits("json /items/0=12", 200, degraded, r#"{"items":[12]}"#));
        assert!(!fits("json /source=cache", 200, degraded, "no JSON"));
        assert!(fits(
            "text from (the )?cache",
            200,
            degraded,
            "<p>from cache</p>"
        ));
    }

    #[test]
    fn what_is_no_predicate_says_what_would_be() {
        for (text, why) in [
            (
                "heder x",
                "unknown predicate `heder`; did you mean `header`?",
            ),
            ("status two", "`two` is not a status, such as 206"),
            (
                "json source",
                "expected a pointer and a value, such as `/source=cache`",
            ),
            ("text (", "`(` is not a regular expression"),
        ] {
            assert_eq!(Predicate::parse(text).unwrap_err(), why);
        }
    }
}
