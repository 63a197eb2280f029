//! What a parameter takes, once for people and once for programs.

use std::fmt;

/// What may stand at a parameter. Shown it is a phrase for people; [`schema`](Self::schema) says the same as a JSON
/// Schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Accepts {
    /// Any text.
    Text,
    /// A text of at most so many KiB.
    TextUpTo(u64),
    /// A URL or a path.
    Location,
    /// `true` or `false`.
    Truth,
    /// A span of time of at most so long, such as `"24h"`.
    Duration(&'static str),
    /// A span of time in whole seconds.
    Seconds,
    /// A moment so many whole seconds away, written `date:2s`, or ago: `date:-2s`.
    Date,
    /// A span of time, behind a moment or, with `-`, before it.
    Margin,
    /// Up to so many spans of time.
    Durations(u64),
    /// A span of time, or a form of distribution with its keys.
    Distribution,
    /// A number of bytes.
    Size,
    /// A number of bytes with a bound that is told in words.
    SizeWith(&'static str),
    /// Bytes a second.
    Rate,
    /// A whole number between two, both included.
    Whole(u64, u64),
    /// One of these numbers.
    OneOf(&'static [u64]),
    /// A number above the first and up to the second.
    Above(u64, u64),
    /// A number from the first to below the second.
    Below(u64, u64),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A method or several.
    Methods,
    /// The name of a key, as `per` has it, or `"global"`.
    Key,
    /// Header fields with one value or several.
    Fields,
    /// Statuses with weights.
    Weights,
    /// An object of these members and no others; the phrase is for people.
    Object(&'static str, &'static [(&'static str, Self)]),
    /// Names of header fields.
    Names,
    /// Any JSON.
    Json,
    /// A list of operations (RFC 6902).
    Operations,
    /// One of these.
    Any(&'static [Self]),
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::TextUpTo(kib) => write!(f, "text, up to {kib} KiB"),
            Self::Location => f.write_str("URL or path"),
            Self::Truth => f.write_str("true or false"),
            Self::Duration(max) => write!(f, "duration, up to {max}"),
            Self::Seconds => f.write_str("duration in whole seconds"),
            Self::Date => f.write_str("\"date:\" or \"date:-\" and a duration in whole seconds"),
            Self::Margin => f.write_str("duration, up to 1h, or the same with \"-\" before it"),
            Self::Durations(max) => write!(f, "list of up to {max} durations"),
            Self::Distribution => f.write_str("duration or a distribution, as of latency"),
            Self::Size => f.write_str("size, or a number of bytes"),
            Self::SizeWith(bound) => write!(f, "size, or a number of bytes, {bound}"),
            Self::Rate => f.write_str("rate, 1B/s to 1TiB/s"),
            Self::Whole(min, max) => write!(f, "whole number, {min} to {max}"),
            Self::OneOf(numbers) => list(f, numbers),
            Self::Above(low, high) => write!(f, "number above {low}, up to {high}"),
            Self::Below(low, high) => write!(f, "number, {low} to below {high}"),
            Self::Words(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                list(f, &quoted)
            }
            Self::Methods => f.write_str("method or list of methods"),
            Self::Names => f.write_str("name or list of names"),
            Self::Key => f.write_str(
                "\"global\", or as per: \"client\", \"header:NAME\", \"cookie:NAME\", ...",
            ),
            Self::Fields => f.write_str("object of texts or lists of texts"),
            Self::Weights => f.write_str("object of statuses with weights"),
            Self::Object(phrase, _) => f.write_str(phrase),
            Self::Json => f.write_str("any JSON"),
            Self::Operations => f.write_str("list of operations"),
            Self::Any(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(", or "))
            }
        }
    }
}

/// "a, b or c".
fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        match (at, items.len() - at) {
            (0, _) => {}
            (_, 1) => f.write_str(" or ")?,
            _ => f.write_str(", ")?,
        }
        write!(f, "{item}")?;
    }
    Ok(())
}
