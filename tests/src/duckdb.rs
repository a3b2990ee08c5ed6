//! Reads the lake's Parquet files with another program than the one that wrote them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::expected::{Summary, SummaryKey};
use crate::services;

const SCRIPT: &str = include_str!("read_summaries.py");

/// What `DuckDB` finds in the folder `txn_summary` of a lake.
#[derive(Debug)]
pub struct Summaries {
    /// Every row, by date (from the path) and customer.
    pub rows: BTreeMap<SummaryKey, Summary>,
    /// Names and types of the columns inside the files, in order.
    pub columns: Vec<(String, String)>,
    /// The files, relative to the folder.
    pub files: Vec<String>,
}

impl Summaries {
    /// Reads the lake in `folder`; fails where a file is not sorted by customer, or a key is there twice.
    pub async fn read(folder: &Path) -> Self {
        let found = found_by(SCRIPT, folder).await;
        let list = |name: &str| found[name].as_array().unwrap().clone();
        assert_eq!(found["unsorted"], 0, "rows that do not come by customer_id");
        let rows: Vec<_> = list("rows").iter().map(summary).collect();
        let summaries = Self {
            columns: list("columns").iter().map(|column| (text(&column[0]), text(&column[1]))).collect(),
            files: list("files").iter().map(text).collect(),
            rows: rows.iter().cloned().collect(),
        };
        assert_eq!(rows.len(), summaries.rows.len(), "a customer has several rows on a date");
        summaries
    }

    /// The dates that have a file, from the paths; a path of another form is a failure.
    #[must_use]
    pub fn dates(&self) -> Vec<String> {
        let date = |path: &String| {
            let date = path.strip_prefix("date=").and_then(|rest| rest.strip_suffix("/part-00000.parquet"));
            date.unwrap_or_else(|| panic!("{path} is not date=YYYY-MM-DD/part-00000.parquet")).to_owned()
        };
        self.files.iter().map(date).collect()
    }
}

/// What a Python script prints as JSON about the lake in `folder`.
pub async fn found_by(script: &str, folder: &Path) -> Value {
    let output = Command::new(services::python()).args(["-c", script]).arg(folder).output().await.unwrap();
    assert!(output.status.success(), "DuckDB: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn summary(row: &Value) -> (SummaryKey, Summary) {
    let number = |index: usize| row[index].as_i64().unwrap();
    (
        (text(&row[0]), number(1)),
        Summary {
            // As text, which keeps every bit of a double.
            total_amount: text(&row[2]).parse().unwrap(),
            total_items: number(3),
            distinct_products: number(4),
            top_category: text(&row[5]),
        },
    )
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
