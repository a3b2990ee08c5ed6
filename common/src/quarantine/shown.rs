//! The quarantine as text.

use std::fmt::Write;

use serde_json::Value;

use super::Totals;
use super::retried::{Keys, Retried};
use crate::quality::Reason;
use crate::source::ListedKey;

/// A table of `keys`, `in_all` of which could be listed, and the totals.
pub(super) fn list(pipeline: &str, keys: &[ListedKey], in_all: u64, totals: &Totals) -> String {
    if totals.keys == 0 {
        return format!("{pipeline}: nothing is in quarantine");
    }
    let head = ["ENTITY", "ID", "SINCE", "LAST SEEN", "REASONS", "VALUES"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(keys.iter().map(row)).collect();
    let mut text = if keys.is_empty() { String::new() } else { table(&rows) };
    let more = in_all.saturating_sub(keys.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "and {more} more (--limit)");
    }
    let by_reason: Vec<String> =
        totals.by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let _ = write!(text, "{pipeline}: {} in quarantine: {}", totals.keys, by_reason.join(", "));
    text
}

fn row(key: &ListedKey) -> [String; 6] {
    let offending: Vec<&str> = key.reasons.iter().flat_map(|code| columns(code)).copied().collect();
    let values = fields(key).filter(|(column, _)| offending.contains(column) || *column == "rows");
    let values: Vec<String> = values.map(|(column, value)| format!("{column}={value}")).collect();
    [
        key.entity.clone(),
        id(key.id),
        whole_seconds(&key.first_seen),
        whole_seconds(&key.last_seen),
        key.reasons.join(","),
        values.join(" "),
    ]
}

/// The columns that a reason is about.
fn columns(code: &str) -> &'static [&'static str] {
    match Reason::from_code(code) {
        Some(Reason::InvalidEmail) => &["email"],
        Some(Reason::InvalidGender) => &["gender"],
        Some(Reason::InvalidSignupDate) => &["signup_date"],
        Some(Reason::UnknownCustomer) => &["customer_id"],
        Some(Reason::UnknownProduct) => &["product_id"],
        Some(Reason::NonPositiveQty) => &["qty"],
        Some(Reason::NonPositiveAmount) => &["amount"],
        Some(Reason::InvalidTimestamp) => &["txn_timestamp"],
        Some(Reason::AmountMismatch) => &["product_id", "qty", "amount"],
        Some(Reason::NullId | Reason::DuplicateId) | None => &[],
    }
}

/// Columns as wide as their widest cell; the last one is as wide as it is.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        text
    })
}

/// All that is known of a key.
pub(super) fn key(key: &ListedKey) -> String {
    let mut text = format!("{} {}\n", key.entity, id(key.id));
    let _ = writeln!(text, "  reasons      {}", key.reasons.join(", "));
    let _ = writeln!(text, "  since        {}", key.first_seen);
    let _ = writeln!(text, "  last seen    {}", key.last_seen);
    for (column, value) in fields(key) {
        let _ = writeln!(text, "  {column:12} {value}");
    }
    text.trim_end().to_owned()
}

fn fields(key: &ListedKey) -> impl Iterator<Item = (&str, String)> {
    let columns = key.values.as_object().into_iter().flatten();
    let columns = columns.map(|(column, value)| (column.as_str(), shown(value)));
    // What is no object was put there by somebody else.
    columns.chain((!key.values.is_object()).then(|| ("rows", shown(&key.values))))
}

/// A text that could break the table or the terminal keeps its quotes and escapes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '"')
}

fn id(id: Option<i128>) -> String {
    id.map_or_else(|| "null".to_owned(), |id| id.to_string())
}

fn whole_seconds(at: &str) -> String {
    at.split_once('.').map_or_else(|| at.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

/// Who left, who stayed and why.
pub(super) fn retried(retried: &Retried) -> String {
    let mut text = String::new();
    for (keys, what) in [
        (&retried.left, "left quarantine"),
        (&retried.stayed, "stays in quarantine for"),
        (&retried.entered, "is new in quarantine for"),
    ] {
        list_keys(&mut text, keys, what);
    }
    let Retried { pipeline, left, stayed, entered } = retried;
    let _ = write!(text, "{pipeline}: {} left quarantine, {} stay", left.count, stayed.count);
    if entered.count > 0 {
        let _ = write!(text, ", {} are new", entered.count);
    }
    text
}

fn list_keys(text: &mut String, keys: &Keys, what: &str) {
    for key in &keys.keys {
        let reasons =
            if what.ends_with("for") { format!(" {}", key.reasons.join(", ")) } else { String::new() };
        let _ = writeln!(text, "{} {} {what}{reasons}", key.entity, id(key.id));
    }
    let more = keys.count - keys.keys.len();
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn listed(id: i128, reasons: &[&str], values: Value) -> ListedKey {
        ListedKey {
            entity: "transaction".to_owned(),
            id: Some(id),
            reasons: reasons.iter().map(|code| (*code).to_owned()).collect(),
            first_seen: "2026-01-02T03:04:05.678Z".to_owned(),
            last_seen: "2026-01-03T03:04:05.678Z".to_owned(),
            values,
        }
    }

    #[test]
    fn a_list_names_the_offending_values_and_counts_what_it_leaves_out() {
        let totals =
            Totals { keys: 4, by_reason: BTreeMap::from([("non_positive_qty", 4), ("unknown_product", 1)]) };
        let keys = [
            listed(7, &["non_positive_qty"], json!({"qty": -1, "amount": "1.00"})),
            listed(123, &["unknown_product", "non_positive_qty"], json!({"qty": null, "product_id": 9})),
        ];
        let expected = "\
ENTITY       ID   SINCE                 LAST SEEN             REASONS                           VALUES
transaction  7    2026-01-02T03:04:05Z  2026-01-03T03:04:05Z  non_positive_qty                  qty=-1
transaction  123  2026-01-02T03:04:05Z  2026-01-03T03:04:05Z  unknown_product,non_positive_qty  product_id=9 qty=null
and 2 more (--limit)
pipeline-a: 4 in quarantine: non_positive_qty 4, unknown_product 1";
        assert_eq!(list("pipeline-a", &keys, 4, &totals), expected);
    }

    #[test]
    fn a_value_cannot_break_the_line_or_the_terminal() {
        assert_eq!(shown(&json!("a\u{1b}[31m\nb")), r#""a\u001b[31m\nb""#);
        assert_eq!(shown(&json!("")), "\"\"");
        assert_eq!(shown(&json!("a@b.c")), "a@b.c");
    }
}
