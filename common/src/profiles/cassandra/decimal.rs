//! Exact decimals in Cassandra's form.

use rust_decimal::Decimal;
use scylla::value::CqlDecimal;

pub(super) fn cql_decimal(value: Decimal) -> CqlDecimal {
    let bytes = value.mantissa().to_be_bytes();
    CqlDecimal::from_signed_be_bytes_slice_and_exponent(
        shortest(&bytes),
        i32::try_from(value.scale()).unwrap_or(0),
    )
}

/// Two's complement without the leading bytes that only repeat the sign.
fn shortest(bytes: &[u8]) -> &[u8] {
    let redundant = bytes
        .windows(2)
        .take_while(|pair| (pair[0] == 0 && pair[1] < 0x80) || (pair[0] == 0xff && pair[1] >= 0x80))
        .count();
    &bytes[redundant..]
}

pub(super) fn decimal(value: Option<CqlDecimal>) -> Decimal {
    let Some(value) = value else { return Decimal::ZERO };
    let (bytes, scale) = value.as_signed_be_bytes_slice_and_exponent();
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let seed = if negative { -1_i128 } else { 0 };
    let mantissa = bytes.iter().fold(seed, |sum, byte| (sum << 8) | i128::from(*byte));
    Decimal::try_from_i128_with_scale(mantissa, scale.try_into().unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_decimal_survives_cassandras_form(mantissa in any::<i64>(), scale in 0u32..20) {
            let value = Decimal::new(mantissa, scale);
            prop_assert_eq!(decimal(Some(cql_decimal(value))), value);
        }
    }

    #[test]
    fn a_decimal_takes_the_fewest_bytes() {
        for (mantissa, expected) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0, 0x80]),
            (-1, vec![0xff]),
            (-129, vec![0xff, 0x7f]),
        ] {
            let cql = cql_decimal(Decimal::new(mantissa, 2));
            assert_eq!(cql.as_signed_be_bytes_slice_and_exponent(), (expected.as_slice(), 2));
        }
    }
}
