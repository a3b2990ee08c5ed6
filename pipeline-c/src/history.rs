//! The newest reports, beside the state objects, for `status` and the dashboard.

use std::time::Duration;

use common::lake::{EVENTS, Expect, Lake, LakeError, STATE, Version};
use common::run::{HISTORY_KEPT, RunReport};

/// Writers that append at the same time try again this often.
const ATTEMPTS: u32 = 5;

/// A report may not hold up the end of a run.
const WITHIN: Duration = Duration::from_secs(3);

/// One JSON report a line, the newest last. Losing one never fails a run.
#[derive(Debug)]
pub struct History {
    lake: Lake,
    path: String,
    /// What this instance wrote last, so that it need not be read each time.
    last: Option<(Vec<u8>, Version)>,
}

impl History {
    /// The history of a topic's runs.
    #[must_use]
    pub fn of(lake: Lake, topic: &str) -> Self {
        Self { lake, path: path_of(topic), last: None }
    }

    /// Adds a report; where that fails it is logged.
    pub async fn append(&mut self, report: &RunReport) {
        let error = match tokio::time::timeout(WITHIN, self.try_append(report)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the lake did not answer in time".to_owned(),
        };
        self.last = None;
        tracing::warn!(error, "this run's report is not kept in the history");
    }

    async fn try_append(&mut self, report: &RunReport) -> Result<(), LakeError> {
        let line = serde_json::to_vec(report).expect("a report has only string keys");
        for attempt in 1.. {
            let found = match self.last.take() {
                Some(last) => Some(last),
                None => self.lake.get(&self.path).await?.map(|(body, version)| (body.to_vec(), version)),
            };
            let (before, expect) = found
                .map_or((Vec::new(), Expect::Absent), |(body, version)| (body, Expect::Version(version)));
            let body = appended(&before, &line);
            match self.lake.put(&self.path, body.clone().into(), &expect).await {
                Ok(version) => {
                    self.last = Some((body, version));
                    return Ok(());
                }
                Err(LakeError::Conflict(_)) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The newest `limit` reports of a topic's runs, newest first.
pub async fn newest_reports(lake: &Lake, topic: &str, limit: usize) -> Result<Vec<RunReport>, LakeError> {
    let found = lake.get(&path_of(topic)).await?;
    let body = found.map(|(body, _)| body).unwrap_or_default();
    let lines = body.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).take(limit).collect())
}

fn path_of(topic: &str) -> String {
    format!("{STATE}/{EVENTS}/run_history-{topic}.jsonl")
}

fn appended(before: &[u8], line: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = before.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    lines.push(line);
    let from = lines.len().saturating_sub(usize::try_from(HISTORY_KEPT).unwrap_or(usize::MAX));
    let mut body = lines[from..].join(&b'\n');
    body.push(b'\n');
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn the_newest_thousand_are_kept() {
        let mut body = Vec::new();
        for number in 0..1_003 {
            body = appended(&body, format!("{number}").as_bytes());
        }
        let text = String::from_utf8(body).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[999]), (1_000, "3", "1002"));
    }

    #[tokio::test]
    async fn two_instances_append_to_one_history() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(&format!("file://{}", dir.path().display()).parse().unwrap()).await.unwrap();
        let (mut one, mut two) = (History::of(lake.clone(), "t"), History::of(lake.clone(), "t"));
        for run in 0..3 {
            one.append(&RunReport::started("pipeline-c", &format!("one{run}"), DateTime::UNIX_EPOCH)).await;
            two.append(&RunReport::started("pipeline-c", &format!("two{run}"), DateTime::UNIX_EPOCH)).await;
        }
        let (body, _) = lake.get("_state/events/run_history-t.jsonl").await.unwrap().unwrap();
        assert_eq!(String::from_utf8(body.to_vec()).unwrap().lines().count(), 6);
    }
}
