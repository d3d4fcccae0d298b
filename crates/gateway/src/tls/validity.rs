//! Validity period of a certificate, read from its DER (RFC 5280, section 4.1).
//!
//! *Invariants:* any bytes are read without a panic, and nothing outside of them.

use serde::Serialize;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Maximum number of bytes of a long length: a certificate of more than 4 GiB is invalid.
const LENGTH_BYTES_MAX: usize = 4;

/// Validity period of a certificate, Unix ms; 0 for times before 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Validity {
    /// First moment of the period.
    pub begins_ms: u64,
    /// Last moment of the period.
    pub ends_ms: u64,
}

impl Validity {
    /// Returns the period of a certificate. `None` if the bytes are not a certificate.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let mut body = Reader(Reader(Reader(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
        let (first, _) = body.next()?;
        // Before the period come an optional version, the number, the algorithm and the issuer; `first` is the first of them.
        let skipped = if first == VERSION { 3 } else { 2 };
        for _ in 0..skipped {
            body.next()?;
        }
        let mut times = Reader(body.expect(SEQUENCE)?);
        let (begins, ends) = (times.next()?, times.next()?);
        Some(Self { begins_ms: unix_ms(begins)?, ends_ms: unix_ms(ends)? })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Returns the next value with its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if bytes.is_empty() || bytes.len() > LENGTH_BYTES_MAX {
                return None;
            }
            rest = after;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        let (value, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, value))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

/// Parses `YYMMDDhhmmssZ` of 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn unix_ms((tag, text): (u8, &[u8])) -> Option<u64> {
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let number = |part: &[u8]| part.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let part = |place: usize| number(&rest[2 * place..2 * place + 2]);
    let (month, day) = (part(0), part(1));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + part(2) * 3_600 + part(3) * 60 + part(4);
    Some(u64::try_from(seconds).unwrap_or(0) * 1_000)
}

/// Returns the days since 1970-01-01 in the Gregorian calendar, with years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_a_time_are_read() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "690101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999_000)),
            (UTC_TIME, "240229120000Z", Some(1_709_208_000_000)),
            (GENERALIZED_TIME, "20261127193600Z", Some(1_795_808_160_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799_000)),
            (GENERALIZED_TIME, "491231235959Z", None),
            (UTC_TIME, "20261127193600Z", None),
            (UTC_TIME, "241301000000Z", None),
            (UTC_TIME, "240100000000Z", None),
            (UTC_TIME, "2401010000Z", None),
            (UTC_TIME, "240101000000+0100", None),
            (0x0c, "240101000000Z", None),
        ] {
            assert_eq!(unix_ms((tag, text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn what_breaks_off_is_no_certificate() {
        let authority = rustorium_transport::authority::Authority::new("test").unwrap();
        let issued = authority.issue(&[], rustorium_transport::authority::Purpose::Server, Some((2031, 2, 3))).unwrap();
        let der = super::super::files::certificates(issued.certificate.as_bytes()).unwrap().remove(0);
        assert_eq!(Validity::of(&der).unwrap().ends_ms, 1_927_843_200_000);
        for length in 0..der.len() {
            assert_eq!(Validity::of(&der[..length]), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Validity::of(&bytes);
        }

        #[test]
        fn any_time_is_read_without_a_panic(text in "[0-9]{12,14}Z", tag in 0x17u8..0x19) {
            let _ = unix_ms((tag, text.as_bytes()));
        }
    }
}
