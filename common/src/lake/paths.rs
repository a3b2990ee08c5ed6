//! Names of the lake's folders.

use chrono::NaiveDate;

/// Pipeline B's folder.
pub const TXN_SUMMARY: &str = "txn_summary";
/// Pipeline C's folder.
pub const EVENTS: &str = "events";
/// Pipeline C's folder of records that could not be read.
pub const EVENTS_MALFORMED: &str = "events_malformed";
/// State objects; never a data file.
pub const STATE: &str = "_state";

/// `<table>/<column>=YYYY-MM-DD`, a Hive partition.
#[must_use]
pub fn date_folder(table: &str, column: &str, date: NaiveDate) -> String {
    format!("{table}/{column}={date}")
}

/// The date in `…<column>=YYYY-MM-DD…`, a folder's name or an object's path.
#[must_use]
pub fn date_of(path: &str, column: &str) -> Option<NaiveDate> {
    path.split('/')
        .find_map(|part| part.strip_prefix(column)?.strip_prefix('='))
        .and_then(|date| NaiveDate::parse_from_str(date, "%Y-%m-%d").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dates_folder_names_it() {
        let date = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap();
        let folder = date_folder(EVENTS, "event_date", date);
        assert_eq!(folder, "events/event_date=2026-01-02");
        assert_eq!(date_of(&folder, "event_date"), Some(date));
        assert_eq!(date_of("events/event_date=2026-13-02/x.parquet", "event_date"), None);
        assert_eq!(date_of("_state/events", "event_date"), None);
    }
}
