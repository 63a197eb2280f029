//! The header that carries a deadline from one service to the next, as the time that is left.
//!
//! The time that is *left* is sent, not the moment at which it ends, because two machines' clocks differ; what the
//! request needs on the wire is lost, as with `grpc-timeout`. Whoever receives it takes [`read`] of it from the moment
//! the request arrived, does not start what is due already, and calls its own upstreams within it
//! ([`Call::before`](crate::Call::before)).

use std::time::Duration;

/// The header: whole milliseconds, `x-timeout-ms: 350`.
pub const HEADER: &str = "x-timeout-ms";

/// More digits than this are no time that anybody waits: eight are a day.
const DIGITS_MAX: usize = 8;

/// The time that a header's value says is left; none if it is not one to eight digits.
#[must_use]
pub fn read(value: &[u8]) -> Option<Duration> {
    let usual = (1..=DIGITS_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    if !usual {
        return None;
    }
    let ms = value
        .iter()
        .fold(0, |ms, digit| ms * 10 + u64::from(digit - b'0'));
    Some(Duration::from_millis(ms))
}

/// The header's value for so much time, cut to whole milliseconds and to what the header can say.
#[must_use]
pub fn write(left: Duration) -> String {
    left.as_millis().min(99_999_999).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for ms in [0, 1, 350, 99_999_999] {
            let left = Duration::from_millis(ms);
            assert_eq!(read(write(left).as_bytes()), Some(left));
        }
        assert_eq!(write(Duration::from_micros(1999)), "1");
        assert_eq!(write(Duration::MAX), "99999999");
    }

    #[test]
    fn what_is_no_time_says_nothing() {
        for value in ["", "-1", "1.5", "5s", "+5", " 5", "123456789"] {
            assert_eq!(read(value.as_bytes()), None, "{value}");
        }
    }
}
