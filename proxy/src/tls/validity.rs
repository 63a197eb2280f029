//! When a certificate is valid: read from its bytes (RFC 5280 §4.1), as the TLS library tells it of no root.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From when to when a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, which holds the version.
const VERSION: u8 = 0xa0;

impl Validity {
    /// Reads it; `None` where the bytes are no certificate.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let certificate = Der(certificate).take(SEQUENCE)?;
        let mut fields = Der(Der(certificate).take(SEQUENCE)?);
        if fields.0.first() == Some(&VERSION) {
            fields.take(VERSION)?;
        }
        fields.take(INTEGER)?; // serialNumber
        fields.take(SEQUENCE)?; // signature
        fields.take(SEQUENCE)?; // issuer
        let mut validity = Der(fields.take(SEQUENCE)?);
        Some(Self {
            not_before: validity.time()?,
            not_after: validity.time()?,
        })
    }
}

/// A date in words, of seconds since 1970.
pub(super) fn date_of(seconds: u64) -> String {
    let latest = UNIX_EPOCH + Duration::from_secs(253_402_300_799); // the end of year 9999
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    httpdate::fmt_http_date(time.unwrap_or(latest).min(latest))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Elements of DER (X.690) one behind the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else {
            return None;
        };
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                let length = (digits.iter()).fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    fn time(&mut self) -> Option<u64> {
        let (tag, text) = self.next()?;
        let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
        if !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let (year, rest) = match tag {
            GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
            UTC_TIME => match text.get(..2)?.parse::<i64>().ok()? {
                year @ 0..50 => (2000 + year, text.get(2..)?),
                year => (1900 + year, text.get(2..)?),
            },
            _ => return None,
        };
        if rest.len() != 10 {
            return None;
        }
        let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
        let days = days_since_1970(year, part(0)?, part(2)?);
        let seconds = days * 86_400 + part(4)? * 3_600 + part(6)? * 60 + part(8)?;
        u64::try_from(seconds.max(0)).ok()
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, whose years are counted from March here.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(2000, 3, 1), 11_017);
        assert_eq!(days_since_1970(2024, 2, 29), 19_782);
        assert_eq!(days_since_1970(2100, 12, 31), 47_846);
    }

    #[test]
    fn a_certificate_is_read_whichever_way_its_dates_are_written() {
        for (from, to) in [((1999, 2000), (2020, 2030)), ((2040, 2060), (2051, 4096))] {
            for (not_before, not_after) in [from, to] {
                let mut params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
                params.not_before = rcgen::date_time_ymd(not_before, 2, 28);
                params.not_after = rcgen::date_time_ymd(not_after, 3, 1);
                let key = rcgen::KeyPair::generate().unwrap();
                let certificate = params.self_signed(&key).unwrap();

                let validity = Validity::of(certificate.der()).unwrap();

                let begins = |seconds, year, month, day| {
                    let days = days_since_1970(i64::from(year), month, day);
                    assert_eq!(i64::try_from(seconds), Ok(days * 86_400));
                };
                begins(validity.not_before, not_before, 2, 28);
                begins(validity.not_after, not_after, 3, 1);
            }
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        for bytes in [&b""[..], b"0", b"0\x80", b"0\x03\x02\x01\x01", &[0x30; 40]] {
            assert_eq!(Validity::of(bytes), None);
        }
    }

    #[test]
    fn dates_beyond_the_calendar_are_told_all_the_same() {
        assert_eq!(date_of(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert!(date_of(u64::MAX).contains("9999"));
    }
}
