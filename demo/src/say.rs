//! What the demo prints: it is a program for people.
#![allow(clippy::print_stdout)]

use common::run::{RunReport, Stopwatch};
use serde_json::Value;

/// One line.
pub fn say(line: &str) {
    println!("{line}");
}

/// A step that is done.
pub fn step(name: &str, what: &str, watch: &Stopwatch) {
    println!("  {name:<16} {what} ({:.1} s)", watch.elapsed().as_secs_f64());
}

/// What each pipeline read, wrote and quarantined.
pub fn table(reports: &[RunReport]) {
    println!();
    println!("  {:<12} {:>10} {:>10} {:>12} {:>8}   into", "", "read", "written", "quarantined", "seconds");
    for report in reports {
        println!(
            "  {:<12} {:>10} {:>10} {:>12} {:>8.2}   {}",
            report.pipeline,
            report.read,
            report.written,
            report.quarantined,
            seconds(report),
            target(report)
        );
    }
    println!();
}

#[allow(clippy::cast_precision_loss)] // shown with two decimals
fn seconds(report: &RunReport) -> f64 {
    report.duration_ms as f64 / 1_000.0
}

fn target(report: &RunReport) -> String {
    let count = |field: &str| match report.job.get(field) {
        Some(Value::Array(items)) => items.len().to_string(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    };
    match report.pipeline.as_str() {
        "pipeline-a" => format!("customer_profile, {} customers", count("customers")),
        "pipeline-b" => format!("txn_summary, {} dates", count("dates")),
        _ => format!("events and events_malformed, {} files", count("files")),
    }
}

/// One later round in one line.
pub fn round(produced: &str, reports: &[RunReport]) {
    let each: Vec<String> = reports
        .iter()
        .map(|report| {
            let letter = report.pipeline.trim_start_matches("pipeline-").to_uppercase();
            format!("{letter} wrote {} in {:.2} s", report.written, seconds(report))
        })
        .collect();
    println!("{produced}: {}", each.join(", "));
}
