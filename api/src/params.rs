//! What a path or query may say, read strictly.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use chrono::NaiveDate;
use common::schema::CustomerId;

use crate::error::ApiError;

/// A path's parameters; a path that is not UTF-8 has none.
pub type PathOf<T> = Result<Path<T>, PathRejection>;

/// A customer id: digits, perhaps with a minus, in the range of a 32-bit integer.
pub fn customer_id(text: &str) -> Result<CustomerId, ApiError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ApiError::InvalidCustomerId);
    }
    text.parse().map(CustomerId).map_err(|_| ApiError::InvalidCustomerId)
}

/// A date that exists, written `YYYY-MM-DD` and in no other way.
pub fn date(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, b)| if at == 4 || at == 7 { *b == b'-' } else { b.is_ascii_digit() });
    if !shape {
        return None;
    }
    NaiveDate::from_ymd_opt(text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?)
}

/// A count within `least..=most`: digits only.
pub fn count(text: &str, least: usize, most: usize) -> Option<usize> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|count| (least..=most).contains(count))
}

/// A query string. Unknown names are ignored, and so is a name without a value, as in `?fromDate=&limit=5`.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn new(raw: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned();
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The first value of `name`, as it is written.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of `name`; each further one must be well-formed, too.
    pub fn get<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
        malformed: fn() -> ApiError,
    ) -> Result<Option<T>, ApiError> {
        let mut first = None;
        for (_, value) in self.0.iter().filter(|(key, _)| key == name) {
            let value = read(value).ok_or_else(malformed)?;
            first = first.or(Some(value));
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_id_is_a_32_bit_integer() {
        for (text, id) in
            [("456", 456), ("-1", -1), ("007", 7), ("2147483647", i32::MAX), ("-2147483648", i32::MIN)]
        {
            assert_eq!(customer_id(text).unwrap(), CustomerId(id));
        }
        for text in [
            "",
            "-",
            "+5",
            "abc",
            "1.0",
            "1e3",
            " 1",
            "2147483648",
            "-2147483649",
            "99999999999999999999",
            "٣",
        ] {
            assert!(customer_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_exists_and_is_written_in_one_way() {
        assert_eq!(date("2024-02-29"), NaiveDate::from_ymd_opt(2024, 2, 29));
        for text in [
            "",
            "2025-02-29",
            "2025-13-01",
            "2025-00-10",
            "2025-1-1",
            "20250101",
            "2025/01/01",
            "01-01-2025",
            "2025-01-01T00:00",
            "+2025-01-1",
            "2025-01-0１",
            "today",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn a_count_lies_in_its_range() {
        assert_eq!(count("1", 1, 1000), Some(1));
        assert_eq!(count("1000", 1, 1000), Some(1000));
        for text in ["0", "1001", "-1", "+1", "1.5", "ten", "99999999999999999999999"] {
            assert_eq!(count(text, 1, 1000), None, "{text}");
        }
    }

    #[test]
    fn the_first_value_counts_and_a_malformed_one_is_refused_wherever_it_stands() {
        let read = |raw: &str| {
            Query::new(Some(raw)).get("limit", |text| count(text, 1, 1000), || ApiError::InvalidLimit).ok()
        };
        assert_eq!(read("limit=5&limit=6&other=x"), Some(Some(5)));
        assert_eq!(read("limit="), Some(None));
        assert_eq!(read("limit=%35"), Some(Some(5)));
        assert_eq!(read("limit=5&limit=x"), None);
    }
}
