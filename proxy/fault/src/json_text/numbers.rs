//! Numbers of a JSON text that a 64-bit number cannot hold.

/// Finds the first number of a JSON text that loses digits when it is read as a 64-bit integer or a double.
///
/// `12345678901234567890123` and `19.999999999999999999` do; `1.10` and `1E5` keep their value, though not their
/// spelling. Digits inside strings are not looked at. The text is taken to be valid JSON.
#[must_use]
pub fn inexact_number(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let at = rest.find(|mark: char| mark == '"' || mark == '-' || mark.is_ascii_digit())?;
        rest = &rest[at..];
        if let Some(string) = rest.strip_prefix('"') {
            rest = &string[end_of_string(string)..];
            continue;
        }
        let end = rest.find(|mark: char| !matches!(mark, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let (number, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if !is_exact(number) {
            return Some(number);
        }
        rest = behind;
    }
}

/// Where the text behind the closing quote begins; `string` is what follows the opening one.
fn end_of_string(string: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in string.bytes().enumerate() {
        match byte {
            b'"' if !is_escaped => return at + 1,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    string.len()
}

fn is_exact(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    number
        .parse::<f64>()
        .is_ok_and(|double| Decimal::of(number) == Decimal::of(&format!("{double:e}")))
}

/// A decimal number: 0.`digits` times ten to the `exponent`, without zeros at either end of `digits`.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None` where the exponent is far beyond that of any double.
    fn of(number: &str) -> Option<Self> {
        let (is_negative, number) = match number.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, number),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let zeros = digits.len() - significant.len();
        let exponent = match significant {
            "" => 0,
            _ => exponent.parse::<i32>().ok()?.into(),
        };
        let places = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        Some(Self {
            is_negative,
            digits: significant.trim_end_matches('0').to_owned(),
            exponent: if significant.is_empty() {
                0
            } else {
                exponent + places
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_loses_digits_is_found_wherever_it_stands() {
        for number in [
            "12345678901234567890123",
            "-12345678901234567890123",
            "18446744073709551616",
            "9007199254740993.5",
            "19.999999999999999999",
            "0.10000000000000000001",
            "1e-400",
            "1.5e99999999999",
        ] {
            for text in [
                number.to_owned(),
                format!("{{\"a\":1,\"b\":[ {number} ]}}"),
                format!("[\"\\\"1\\\\\",{number},2]"),
            ] {
                assert_eq!(inexact_number(&text), Some(number), "{text}");
            }
        }
    }

    #[test]
    fn a_number_that_keeps_its_value_is_none() {
        for number in [
            "0",
            "-0",
            "0.0",
            "0e5",
            "7",
            "1.10",
            "0.1",
            "1E5",
            "1e+22",
            "100000000000000000000",
            "18446744073709551615",
            "-9223372036854775808",
            "0.30000000000000004",
            "2.2250738585072014e-308",
            "1.7976931348623157e308",
            "\"12345678901234567890123\"",
            "\"a\\\"12345678901234567890123\"",
            "{\"12345678901234567890123\":null}",
        ] {
            assert_eq!(inexact_number(number), None, "{number}");
        }
    }
}
