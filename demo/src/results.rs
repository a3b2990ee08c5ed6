//! Real results, asked of the API as a user would.

use std::net::SocketAddr;

use anyhow::Context;
use common::source::Source;
use serde_json::Value;

use crate::parts::Parts;
use crate::say::say;

/// A customer who bought and acted a lot: customers with low numbers do.
const CUSTOMER: i32 = 1;

/// Prints a profile, two rows of a day's summary and two events of a customer.
pub async fn show(parts: &Parts, address: SocketAddr) -> anyhow::Result<()> {
    let day = newest_day(parts).await?;
    say(&format!("  GET /customer/{CUSTOMER}"));
    say(&format!("    {}", get(address, &format!("/customer/{CUSTOMER}")).await?));
    say(&format!("  GET /summary/{day}?limit=2"));
    rows(&get(address, &format!("/summary/{day}?limit=2")).await?["summaries"]);
    say(&format!("  GET /events/{CUSTOMER}?limit=2"));
    rows(&get(address, &format!("/events/{CUSTOMER}?limit=2")).await?["events"]);
    say("");
    Ok(())
}

/// Tells what to try while the demo goes on.
pub fn invite(address: SocketAddr) {
    say(&format!("the API answers at http://{address}; try"));
    say(&format!("  curl http://{address}/customer/42"));
    say(&format!("  curl 'http://{address}/events/42?limit=5&order=desc'"));
    say(&format!("  curl http://{address}/metrics"));
    say("new transactions and events come every few seconds; Ctrl-C ends the demo");
}

async fn newest_day(parts: &Parts) -> anyhow::Result<String> {
    let source = Source::open(&parts.source.source).await?;
    let history = source.history(common::source::Job::Summaries, 1).await?;
    let newest = history.first().and_then(|report| report.job.get("dates")?.as_array()?.last()?.as_str());
    newest.map(ToOwned::to_owned).context("pipeline B has summed up no day")
}

/// The `data` of an answer.
async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Value> {
    let client = common::avro::http_client().build()?;
    let answer = client.get(format!("http://{address}{path}")).send().await?.error_for_status()?;
    let mut body: Value = answer.json().await?;
    Ok(body["data"].take())
}

fn rows(rows: &Value) {
    for row in rows.as_array().into_iter().flatten() {
        say(&format!("    {row}"));
    }
}
