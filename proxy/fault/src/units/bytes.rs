//! Sizes and rates as text: `"64KiB"`, `"1MB"`, `"64KiB/s"`.

use serde_json::Value;

use crate::read::{Problem, expected, shorten};

/// The units of sizes; the first that divides a number is the one it is shown in.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// The largest size and, for a second, the largest rate: 1 TiB.
pub const SIZE_MAX: u64 = 1 << 40;

/// Reads a size written as text.
///
/// # Errors
/// When it is a bare number (a unit must be said), has a fraction of a byte, or is no size at all.
pub fn size(value: &Value) -> Result<u64, Problem> {
    match value {
        Value::String(text) => parse_size(text).map_err(Problem::here),
        Value::Number(number) => Err(Problem::here(format!(
            "{number} has no unit; write \"{number}B\" or \"{number}KiB\""
        ))),
        other => Err(expected("a size such as \"64KiB\"", other)),
    }
}

/// Reads a size, or a bare number of bytes, where the name of the key says that it counts bytes.
///
/// # Errors
/// As [`size`], but that a whole number needs no unit.
pub fn byte_count(value: &Value) -> Result<u64, Problem> {
    match value {
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if bytes <= SIZE_MAX => Ok(bytes),
            Some(_) => Err(Problem::here(format!("{number} is above 1TiB"))),
            None => Err(Problem::here(format!(
                "{number} is no whole number of bytes"
            ))),
        },
        Value::String(text)
            if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() =>
        {
            // As a shell writes it.
            parse_size(&format!("{text}B")).map_err(Problem::here)
        }
        other => size(other),
    }
}

/// Reads a rate written as text, in bytes a second, at least 1.
///
/// # Errors
/// As [`size`], and when it does not end in `/s`.
pub fn rate(value: &Value) -> Result<u64, Problem> {
    match value {
        Value::String(text) => {
            let Some(size) = text.trim().strip_suffix("/s") else {
                return Err(Problem::here(format!(
                    "`{}` is not a rate; write it like \"64KiB/s\"",
                    shorten(text)
                )));
            };
            match parse_size(size).map_err(Problem::here)? {
                0 => Err(Problem::here("must be above 0B/s")),
                rate => Ok(rate),
            }
        }
        other => Err(expected("a rate such as \"64KiB/s\"", other)),
    }
}

/// Parses a size such as `64KiB`, `1.5MB` or `0B`. Binary units end in `iB`, decimal ones in `B`.
///
/// # Errors
/// A sentence that says what is wrong, for a person.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let wrong = || {
        format!(
            "`{}` is not a size; write it like \"512B\", \"64KiB\" or \"1MB\"",
            shorten(text)
        )
    };
    let digits_end = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(|| {
            if trimmed.is_empty() {
                wrong()
            } else {
                format!(
                    "`{}` has no unit; write \"{trimmed}B\" or \"{trimmed}KiB\"",
                    shorten(text)
                )
            }
        })?;
    let (number, unit) = trimmed.split_at(digits_end);
    let unit = unit.trim_start();
    let (_, unit_bytes) = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let too_large = || format!("`{}` is above 1TiB", shorten(text));
    if fraction.len() > 9 || whole.is_empty() || number.ends_with('.') {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let places = 10_u64.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
    let fraction: u64 = match fraction {
        "" => 0,
        digits => digits.parse().map_err(|_| wrong())?,
    };
    let scaled = u128::from(whole) * u128::from(places) + u128::from(fraction);
    let bytes = scaled * u128::from(*unit_bytes);
    if !bytes.is_multiple_of(u128::from(places)) {
        return Err(format!("`{}` is no whole number of bytes", shorten(text)));
    }
    match u64::try_from(bytes / u128::from(places)) {
        Ok(bytes) if bytes <= SIZE_MAX => Ok(bytes),
        Ok(_) | Err(_) => Err(too_large()),
    }
}

/// Writes a size in the largest unit that divides it.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    match UNITS.iter().find(fits) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => "0B".to_owned(),
    }
}

/// Writes a rate as it is read.
#[must_use]
pub fn show_rate(bytes_per_second: u64) -> String {
    format!("{}/s", show_size(bytes_per_second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_text_with_a_unit() {
        let cases = [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("1MB", 1_000_000),
            ("1.5MB", 1_500_000),
            ("0.5KiB", 512),
            ("1GiB", 1 << 30),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_why() {
        for text in [
            "", "64", "KiB", "-1B", "1.B", ".5KB", "0.1B", "2000GiB", "1XB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        let bare = size(&json!(64)).unwrap_err().detail;
        assert_eq!(bare, "64 has no unit; write \"64B\" or \"64KiB\"");
        assert!(rate(&json!("64KiB")).is_err());
        assert!(rate(&json!("0B/s")).is_err());
        assert_eq!(rate(&json!("64KiB/s")), Ok(65_536));
    }

    #[test]
    fn a_count_of_bytes_needs_no_unit() {
        assert_eq!(byte_count(&json!(512)), Ok(512));
        assert_eq!(byte_count(&json!("512")), Ok(512));
        assert_eq!(byte_count(&json!("1KiB")), Ok(1024));
        for wrong in [
            json!(-1),
            json!(1.5),
            json!("-1"),
            json!(true),
            json!(SIZE_MAX + 1),
        ] {
            assert!(byte_count(&wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same_size(bytes in 0u64..=SIZE_MAX) {
            prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }
}
