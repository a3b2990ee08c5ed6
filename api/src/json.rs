//! Money and times as JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// An exact amount as a JSON number: the digits of the decimal, never those of a float near it.
#[derive(ToSchema)]
#[schema(value_type = f64)]
pub struct Money(pub Decimal);

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.normalize().to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// RFC 3339 in UTC with `Z`; no fraction for whole seconds, else milli- or microseconds as needed.
#[derive(ToSchema)]
#[schema(value_type = DateTime<Utc>)]
pub struct Timestamp(pub DateTime<Utc>);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        let cases = [
            ("28885.88", "28885.88"),
            ("143949.50", "143949.5"),
            ("0.00", "0"),
            ("-0.10", "-0.1"),
            ("100.00", "100"),
            ("12345678901234567890.12", "12345678901234567890.12"),
        ];
        for (amount, shown) in cases {
            let json = serde_json::to_string(&Money(amount.parse().unwrap())).unwrap();
            assert_eq!(json, shown);
        }
    }

    #[test]
    fn times_show_a_fraction_only_where_there_is_one() {
        for shown in ["2022-03-07T06:30:00Z", "2025-12-09T18:18:59.149Z", "2025-12-09T18:18:50.850395Z"] {
            let at = shown.parse().unwrap();
            assert_eq!(serde_json::to_string(&Timestamp(at)).unwrap(), format!("\"{shown}\""));
        }
    }
}
