//! Rows as they stand: what a column cannot hold or a value does not mean becomes `None`, never an error.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use rust_decimal::Decimal;
use sqlx::mysql::MySqlRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, ColumnIndex, Decode, Row, Type, TypeInfo};

use crate::schema::{Customer, CustomerId, Product, ProductId, SignupDate, Transaction, TxnId};

/// Reads the columns of the dialect's select lists, by position.
pub(super) trait SourceRow {
    /// A number; one beyond `i64` keeps its bits.
    fn integer(&self, column: usize) -> Option<i64>;
    /// A number as it is.
    fn number(&self, column: usize) -> Option<i128>;
    fn text(&self, column: usize) -> Option<String>;
    fn decimal(&self, column: usize) -> Option<Decimal>;
    fn timestamp(&self, column: usize) -> Option<DateTime<Utc>>;

    /// A date that was selected as text.
    fn date(&self, column: usize) -> SignupDate {
        match self.text(column) {
            None => SignupDate::Null,
            Some(text) => {
                NaiveDate::parse_from_str(&text, "%Y-%m-%d").map_or(SignupDate::Invalid, SignupDate::Date)
            }
        }
    }

    fn int(&self, column: usize) -> Option<i32> {
        self.number(column).and_then(|value| value.try_into().ok())
    }

    fn transaction(&self) -> Transaction {
        Transaction {
            txn_id: TxnId(self.integer(0).unwrap_or_default().cast_unsigned()),
            customer_id: self.int(1).map(CustomerId),
            product_id: self.int(2).map(ProductId),
            qty: self.int(3),
            amount: self.decimal(4),
            at: self.timestamp(5),
        }
    }

    /// `None` for a row without a key.
    fn customer(&self) -> Option<Customer> {
        Some(Customer {
            customer_id: CustomerId(self.int(0)?),
            name: self.text(1),
            email: self.text(2),
            gender: self.text(3),
            signup_date: self.date(4),
        })
    }

    /// `None` for a row without a key.
    fn product(&self) -> Option<Product> {
        Some(Product { product_id: ProductId(self.int(0)?), category: self.text(1), price: self.decimal(2) })
    }
}

/// A value whose type was checked when the run started, or `None`.
fn value<'r, R: Row, T>(row: &'r R, column: usize) -> Option<T>
where
    usize: ColumnIndex<R>,
    T: Decode<'r, R::Database> + Type<R::Database>,
{
    row.try_get_unchecked::<Option<T>, _>(column).ok().flatten()
}

impl SourceRow for MySqlRow {
    fn integer(&self, column: usize) -> Option<i64> {
        // An unsigned BIGINT beyond the signed range keeps its bits; `transaction` reads them as unsigned.
        let bits =
            |number| i64::try_from(number).ok().or_else(|| Some(u64::try_from(number).ok()?.cast_signed()));
        self.number(column).and_then(bits)
    }

    fn number(&self, column: usize) -> Option<i128> {
        // Read by the wrong sign, the driver extends the highest bit.
        if self.column(column).type_info().name().ends_with("UNSIGNED") {
            value::<_, u64>(self, column).map(i128::from)
        } else {
            value::<_, i64>(self, column).map(i128::from)
        }
    }

    fn text(&self, column: usize) -> Option<String> {
        value(self, column)
    }

    fn decimal(&self, column: usize) -> Option<Decimal> {
        // A DECIMAL travels as text.
        let text = value::<_, &[u8]>(self, column)?;
        Decimal::from_str_exact(std::str::from_utf8(text).ok()?).ok()
    }

    fn timestamp(&self, column: usize) -> Option<DateTime<Utc>> {
        // A zero date does not decode.
        value::<_, NaiveDateTime>(self, column).map(|at| at.and_utc())
    }
}

impl SourceRow for SqliteRow {
    fn integer(&self, column: usize) -> Option<i64> {
        value(self, column)
    }

    fn number(&self, column: usize) -> Option<i128> {
        self.integer(column).map(i128::from)
    }

    fn text(&self, column: usize) -> Option<String> {
        value(self, column)
    }

    fn decimal(&self, column: usize) -> Option<Decimal> {
        Decimal::from_str_exact(value::<_, &str>(self, column)?).ok()
    }

    fn timestamp(&self, column: usize) -> Option<DateTime<Utc>> {
        // Unpadded forms would not sort by time, which reading a day's rows relies on.
        let text = value::<_, &str>(self, column).filter(|text| text.len() >= "2026-01-02 03:04:05".len())?;
        let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.fZ"];
        forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).map(|at| at.and_utc())
    }
}
