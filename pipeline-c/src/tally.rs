//! What was counted in a batch, and the gate that judges it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::{GateArgs, OnMalformed};
use crate::error::Error;
use crate::place::PartitionId;
use crate::transform::{Event, Malformed, Reason, Record};

/// Malformed records a batch that are logged with their bytes.
const SAMPLES: usize = 5;

/// Of a sample's value, at most this much is logged.
const SAMPLE_BYTES: usize = 512;

/// Below this many records a ratio says nothing.
const FEWEST_RECORDS: u64 = 100;

/// Counts of a batch.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Records read.
    pub records: u64,
    /// Rows of `events_malformed`, by reason.
    pub malformed: BTreeMap<Reason, u64>,
    /// What was mended in rows of `events`.
    pub warnings: BTreeMap<&'static str, u64>,
    /// Kafka's timestamp of the newest record, in milliseconds since 1970.
    pub newest_ms: Option<i64>,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    partition: PartitionId,
    offset: i64,
    reason: &'static str,
    detail: String,
    value: String,
}

impl Tally {
    /// Counts one judged record of a partition.
    pub fn count(
        &mut self,
        partition: PartitionId,
        record: &Record<'_>,
        judged: &Result<Event<'_>, Malformed>,
    ) {
        self.records += 1;
        self.newest_ms = self.newest_ms.max(Some(record.timestamp_ms));
        match judged {
            Ok(event) => {
                for warning in [event.warnings.timestamp, event.warnings.product].into_iter().flatten() {
                    *self.warnings.entry(warning).or_default() += 1;
                }
            }
            Err(malformed) => {
                *self.malformed.entry(malformed.reason).or_default() += 1;
                if self.samples.len() < SAMPLES {
                    self.samples.push(Sample::of(partition, record, malformed));
                }
            }
        }
    }

    /// Rows of `events_malformed`.
    #[must_use]
    pub fn malformed_rows(&self) -> u64 {
        self.malformed.values().sum()
    }

    /// Rows of `events`.
    #[must_use]
    pub fn event_rows(&self) -> u64 {
        self.records - self.malformed_rows()
    }

    /// Adds another partition's or an earlier flush's counts.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.newest_ms = self.newest_ms.max(other.newest_ms);
        for (reason, count) in other.malformed {
            *self.malformed.entry(reason).or_default() += count;
        }
        for (warning, count) in other.warnings {
            *self.warnings.entry(warning).or_default() += count;
        }
        self.samples.extend(other.samples);
        self.samples.truncate(SAMPLES);
    }

    fn log_samples(&self) {
        for sample in &self.samples {
            let Sample { partition, offset, reason, detail, value } = sample;
            tracing::warn!(partition = partition.0, offset, reason, detail, value, "malformed record");
        }
    }
}

/// Judges how much is malformed. Batches too small to be judged are judged together.
#[derive(Debug, Default)]
pub struct Gate {
    /// Records, and malformed ones, since the last judgement.
    waiting: Mutex<(u64, u64)>,
}

impl Gate {
    /// Judges a batch: logs samples, raises the alert, refuses it where that is asked for.
    pub fn pass(&self, batch: &Tally, gate: &GateArgs) -> Result<(), Error> {
        batch.log_samples();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = if batch.records < FEWEST_RECORDS { *waiting } else { (0, 0) };
        let (records, malformed) = (earlier.0 + batch.records, earlier.1 + batch.malformed_rows());
        *waiting = if records < FEWEST_RECORDS { (records, malformed) } else { (0, 0) };
        #[allow(clippy::cast_precision_loss)] // counts of a batch are far below 2^53
        let ratio = malformed as f64 / records.max(1) as f64;
        if records < FEWEST_RECORDS || ratio <= gate.max_malformed_ratio {
            return Ok(());
        }
        metrics::counter!("tributary_malformed_alerts_total").increment(1);
        let limit = gate.max_malformed_ratio;
        tracing::error!(records, malformed, ratio, limit, "ALERT: too many malformed records");
        match gate.on_malformed {
            OnMalformed::Continue => Ok(()),
            OnMalformed::Halt => Err(Error::Refused { records, malformed, limit }),
        }
    }
}

impl Sample {
    fn of(partition: PartitionId, record: &Record<'_>, malformed: &Malformed) -> Self {
        let value = record.value.unwrap_or_default();
        Self {
            partition,
            offset: record.offset,
            reason: malformed.reason.code(),
            detail: malformed.detail.clone(),
            value: STANDARD.encode(&value[..value.len().min(SAMPLE_BYTES)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(records: u64, malformed: u64) -> Tally {
        Tally { records, malformed: [(Reason::NotFramed, malformed)].into(), ..Tally::default() }
    }

    #[test]
    fn a_batch_is_refused_above_the_ratio_only_and_only_when_asked_to() {
        let halt = GateArgs { on_malformed: OnMalformed::Halt, ..GateArgs::default() };
        for (records, malformed, passes) in
            [(0, 0, true), (99, 99, true), (100, 5, true), (100, 6, false), (1_000, 51, false)]
        {
            let batch = tally(records, malformed);
            assert_eq!(Gate::default().pass(&batch, &halt).is_ok(), passes, "{malformed} of {records}");
            assert!(Gate::default().pass(&batch, &GateArgs::default()).is_ok());
        }
    }

    #[test]
    fn batches_too_small_to_be_judged_are_judged_together() {
        let (gate, halt) =
            (Gate::default(), GateArgs { on_malformed: OnMalformed::Halt, ..GateArgs::default() });
        for (records, malformed, passes) in [
            (60, 60, true),
            (30, 0, true),
            (10, 0, false),
            (60, 60, true),
            (100, 5, true),
            (50, 0, true),
            (50, 5, true),
        ] {
            assert_eq!(
                gate.pass(&tally(records, malformed), &halt).is_ok(),
                passes,
                "{malformed} of {records}"
            );
        }
    }

    #[test]
    fn at_most_five_samples_are_kept_of_a_batch() {
        let mut total = Tally::default();
        for offset in 0..4 {
            let mut one = Tally::default();
            for _ in 0..3 {
                let record = Record { offset, timestamp_ms: 9, key: None, value: Some(b"\x01") };
                let malformed = Malformed { reason: Reason::NotFramed, detail: String::new() };
                one.count(PartitionId(0), &record, &Err(malformed));
            }
            total.add(one);
        }
        assert_eq!((total.samples.len(), total.records, total.malformed_rows()), (5, 12, 12));
        assert_eq!(total.samples[0].value, "AQ==");
        assert_eq!(total.newest_ms, Some(9));
    }
}
