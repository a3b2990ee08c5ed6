//! Event timestamps: ISO 8601 as producers write it.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};

/// Microseconds in a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Microseconds since 1970 of an ISO 8601 date and time, if it is one.
///
/// With `Z`, with an offset, or without a zone, which is UTC; `T` or a blank between date and time; any number
/// of fractional digits, of which microseconds are kept. Years 1970 to 9999.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    usual(text.as_bytes()).or_else(|| iso_8601(text.trim()))
}

/// The form that nearly all have: `2026-01-02T03:04:05.678Z`, with 0 to 6 fractional digits.
fn usual(text: &[u8]) -> Option<i64> {
    let (date_time, fraction) = text.strip_suffix(b"Z")?.split_at_checked(19)?;
    let [y0, y1, y2, y3, b'-', mo0, mo1, b'-', d0, d1, b'T', h0, h1, b':', mi0, mi1, b':', s0, s1] =
        date_time
    else {
        return None;
    };
    let two = |high: &u8, low: &u8| number(&[*high, *low]);
    let year = number(&[*y0, *y1, *y2, *y3]).filter(|year| *year >= 1970)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, two(mo0, mo1)?, two(d0, d1)?)?;
    let (hour, minute, second) = (two(h0, h1)?, two(mi0, mi1)?, two(s0, s1)?);
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => digits
            .iter()
            .chain(&[b'0'; 6])
            .take(6)
            .try_fold(0, |sum, digit| Some(sum * 10 + number(&[*digit])?))?,
        _ => return None,
    };
    let time = date.and_hms_micro_opt(hour, minute, second, micros)?;
    Some(time.and_utc().timestamp_micros())
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
}

fn iso_8601(text: &str) -> Option<i64> {
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).or_else(|_| {
        let blank = |format: &str| format.replace('T', " ");
        let format = |format: &str| if text.contains('T') { format.to_owned() } else { blank(format) };
        NaiveDateTime::parse_from_str(text, &format("%Y-%m-%dT%H:%M:%S%.f")).map(|at| at.and_utc()).or_else(
            |_| DateTime::parse_from_str(text, &format("%Y-%m-%dT%H:%M:%S%.f%z")).map(|at| at.to_utc()),
        )
    });
    at.ok().filter(|at| (1970..=9999).contains(&at.year())).map(|at| at.timestamp_micros())
}

/// A UTC day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// The day of a moment in microseconds since 1970.
    #[must_use]
    pub fn of(micros: i64) -> Self {
        Self(micros.div_euclid(DAY_MICROS))
    }

    /// The same day as a date.
    #[must_use]
    pub fn date(self) -> NaiveDate {
        DateTime::from_timestamp_micros(self.0.saturating_mul(DAY_MICROS)).unwrap_or_default().date_naive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_that_producers_write_are_read() {
        let at = 1_765_306_245_929_804;
        let second = 1_765_306_245_000_000;
        for (text, expected) in [
            ("2025-12-09T18:50:45.929804Z", at),
            ("2025-12-09T18:50:45.929804", at),
            ("2025-12-09 18:50:45.929804", at),
            ("2025-12-09 18:50:45.929804Z", at),
            ("2025-12-09T18:50:45.929804+00:00", at),
            ("2025-12-09T20:50:45.929804+02:00", at),
            ("2025-12-09T20:50:45.929804+0200", at),
            ("2025-12-09 13:20:45.929804-0530", at),
            ("2025-12-09T18:50:45.929804999Z", at),
            ("2025-12-09T18:50:45Z", second),
            ("2025-12-09T18:50:45", second),
            (" 2025-12-09 18:50:45 ", second),
            ("2025-12-09T18:50:45.5", second + 500_000),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_usual_form_reads_as_any_other(
            text in "(19|20|99)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,7})?Z",
        ) {
            prop_assert_eq!(parse(&text), iso_8601(&text));
        }
    }

    #[test]
    fn anything_else_is_not_a_timestamp() {
        for text in [
            "",
            "now",
            "1765306245",
            "2025-12-09",
            "2025-13-09T18:50:45Z",
            "2025-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "12025-12-09T18:50:45Z",
            "0001-01-01T00:00:00Z",
            "2025-12-09T25:00:00Z",
            "2025-12-09T18:50:45Zjunk",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_changes_at_midnight_utc() {
        assert_eq!(Day::of(parse("2025-12-09T23:59:59.999999Z").unwrap()).date().to_string(), "2025-12-09");
        assert_eq!(Day::of(parse("2025-12-10T00:00:00Z").unwrap()).date().to_string(), "2025-12-10");
        assert_eq!(Day::of(-1).date().to_string(), "1969-12-31");
    }
}
