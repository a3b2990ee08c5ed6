//! What pipeline C has made of a topic, read with another program than the one that wrote it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::compare::assert_same;
use crate::duckdb::found_by;
use crate::judge::{Event, Malformed, Outputs, date, judge};
use crate::topic::Topic;

const SCRIPT: &str = include_str!("read_events.py");

/// The contract's limit.
const ROW_GROUP_ROWS: i64 = 20_000;

/// What `DuckDB` finds in the folders `events` and `events_malformed` of a lake.
#[derive(Debug, Default)]
pub struct Events {
    /// The rows.
    pub rows: Outputs,
    /// Names and types of the columns of `events`, in order, with the folder's.
    pub columns: Vec<(String, String)>,
    /// The same of `events_malformed`.
    pub malformed_columns: Vec<(String, String)>,
    /// The files of `events`, relative to it, and the ids of their events.
    pub files: BTreeMap<String, Vec<String>>,
    /// The files of `events_malformed`, relative to it.
    pub malformed_files: Vec<String>,
    /// What the footers say: file, key, value.
    pub labels: BTreeMap<(String, String), String>,
    /// All times of ingestion, in microseconds since 1970.
    pub ingested: Vec<i64>,
}

impl Events {
    /// Reads the lake in `folder`; fails where a file is not sorted, or its row groups are too large, or a row lies
    /// in the wrong folder.
    pub async fn read(folder: &Path) -> Self {
        let found = found_by(SCRIPT, folder).await;
        let mut events = Self::default();
        for table in ["events", "events_malformed"] {
            let part = &found[table];
            if part["files"].as_array().unwrap().is_empty() {
                continue;
            }
            assert_eq!(part["unsorted"], 0, "rows of {table} that are not sorted");
            assert!(part["largest_group"].as_i64().unwrap() <= ROW_GROUP_ROWS, "a row group of {table}");
            for label in part["labels"].as_array().unwrap() {
                events.labels.insert((text(&label[0]), text(&label[1])), text(&label[2]));
            }
        }
        events.take_events(&found["events"]);
        events.take_malformed(&found["events_malformed"]);
        events
    }

    fn take_events(&mut self, found: &Value) {
        self.columns = columns(found);
        self.files = files(found).into_iter().map(|file| (file, Vec::new())).collect();
        for row in found["rows"].as_array().unwrap() {
            let (file, event_id) = (text(&row[0]), text(&row[1]));
            let event = Event {
                partition: FileName::parse(&file, "event_date").partition,
                customer_id: int(&row[2]).unwrap(),
                event_type: text(&row[3]),
                product_id: int(&row[4]),
                event_timestamp: row[5].as_i64().unwrap(),
                event_date: text(&row[6]),
                event_id: event_id.clone(),
            };
            *self.rows.events.entry(event).or_default() += 1;
            self.ingested.push(row[7].as_i64().unwrap());
            self.files.get_mut(&file).expect("a row is in a file").push(event_id);
        }
    }

    fn take_malformed(&mut self, found: &Value) {
        self.malformed_columns = columns(found);
        self.malformed_files = files(found);
        for row in found["rows"].as_array().unwrap() {
            let name = FileName::parse(row[0].as_str().unwrap(), "ingest_date");
            let (partition, offset) = (int(&row[2]).unwrap(), row[3].as_i64().unwrap());
            let ingested = row[10].as_i64().unwrap();
            let malformed = Malformed {
                topic: text(&row[1]),
                kafka_timestamp: row[4].as_i64().unwrap(),
                key: row[5].as_str().map(bytes),
                value: bytes(row[6].as_str().unwrap()),
                reason: text(&row[7]),
            };
            assert!(!text(&row[8]).is_empty(), "a malformed row says what is wrong: {malformed:?}");
            assert_eq!((name.partition, text(&row[9])), (partition, date(ingested)), "{row}");
            self.ingested.push(ingested);
            let twice = self.rows.malformed.insert((partition, offset), malformed);
            assert!(twice.is_none(), "{partition}-{offset} is there twice: {twice:?}");
        }
    }

    /// The number of files of each date of `events`.
    #[must_use]
    pub fn files_by_date(&self) -> BTreeMap<String, usize> {
        let mut dates = BTreeMap::new();
        for file in self.files.keys() {
            *dates.entry(file.split('/').next().unwrap().to_owned()).or_default() += 1;
        }
        dates
    }
}

/// What a data file's path says: `<date column>=<date>/<topic>-<partition>-<first offset>.parquet`.
#[derive(Debug)]
#[allow(missing_docs)] // see above
pub struct FileName {
    pub topic: String,
    pub partition: i32,
    pub first_offset: i64,
}

impl FileName {
    /// Reads a path of either folder; a path of another form is a failure.
    #[must_use]
    pub fn parse(path: &str, date_column: &str) -> Self {
        let parse = || {
            let (folder, name) = path.split_once('/')?;
            let date = folder.strip_prefix(date_column)?.strip_prefix('=')?;
            chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
            let mut parts = name.strip_suffix(".parquet")?.rsplitn(3, '-');
            let first_offset = parts.next()?.parse().ok()?;
            let partition = parts.next()?.parse().ok()?;
            Some(Self { topic: parts.next()?.to_owned(), partition, first_offset })
        };
        parse().unwrap_or_else(|| {
            panic!("{path} is not {date_column}=<date>/<topic>-<partition>-<offset>.parquet")
        })
    }
}

/// Asserts that each record of `topic` is one row of the lake in `folder`, in the right one of the two outputs and
/// with the right values, and that there is no other row.
pub async fn assert_exactly_once(topic: &Topic, folder: &Path) -> Events {
    let records = topic.records().await;
    let expected = judge(&topic.name, &records).await;
    let found = Events::read(folder).await;
    assert_same(&found.rows.events, &expected.events);
    assert_same(&found.rows.malformed, &expected.malformed);
    assert_eq!(found.rows.count(), u64::try_from(records.len()).unwrap());
    found
}

fn columns(found: &Value) -> Vec<(String, String)> {
    found["columns"].as_array().unwrap().iter().map(|column| (text(&column[0]), text(&column[1]))).collect()
}

fn files(found: &Value) -> Vec<String> {
    found["files"].as_array().unwrap().iter().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn int(value: &Value) -> Option<i32> {
    value.as_i64().map(|number| number.try_into().unwrap())
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}
