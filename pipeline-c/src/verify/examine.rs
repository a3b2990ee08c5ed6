//! The second look: rows of suspect buckets, one by one.

use std::collections::HashMap;

use super::hash;
use super::proof::{Filing, Part, Prover, part_of};
use super::report::Kind;
use super::rows::{self, Row};
use super::table::{RowHash, Suspects};
use crate::error::Error;
use crate::place::Stream;

/// Records whose rows are looked for.
#[derive(Debug, Default)]
struct Wanted {
    /// Offsets of records whose row was not found yet.
    missing: HashMap<RowHash, Vec<i64>>,
    /// Offsets of all these records.
    all: HashMap<RowHash, i64>,
    /// Malformed records that could be read now.
    malformed: HashMap<RowHash, i64>,
}

impl Prover<'_> {
    /// Compares the rows of suspect buckets one by one.
    pub(super) async fn examine(&mut self, part: Part, suspects: &Suspects) -> Result<(), Error> {
        let mut wanted = self.wanted(part, suspects).await?;
        self.find(part, suspects, &mut wanted).await?;
        let mut missing: Vec<i64> = wanted.missing.into_values().flatten().collect();
        missing.sort_unstable();
        for offset in missing {
            self.proof.differs(Kind::Missing, Some(offset), None, "has no row in the lake");
        }
        Ok(())
    }

    async fn wanted(&mut self, part: Part, suspects: &Suspects) -> Result<Wanted, Error> {
        let mut wanted = Wanted::default();
        let suspect = |row: Option<(Part, RowHash)>| {
            row.filter(|(of, hash)| *of == part && suspects.contain(*hash)).map(|(_, hash)| hash)
        };
        let mut chunks = self.records();
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk?;
            let mut index = 0;
            while let Some(record) = chunk.get(index) {
                index += 1;
                let Filing { row, also } = self.filing(&record).await?;
                if let Some(hash) = suspect(row) {
                    wanted.missing.entry(hash).or_default().push(record.offset);
                    wanted.all.entry(hash).or_insert(record.offset);
                }
                if let Some(hash) = suspect(also) {
                    wanted.malformed.insert(hash, record.offset);
                }
            }
        }
        Ok(wanted)
    }

    /// Takes the rows that are there off the list; those that are on no list differ.
    async fn find(&mut self, part: Part, suspects: &Suspects, wanted: &mut Wanted) -> Result<(), Error> {
        for file in &self.files {
            let in_part = match file.file.stream {
                Stream::Events => part_of(&self.cut, file.file.date) == part,
                Stream::Malformed => part == Part::Malformed,
            };
            if !in_part {
                continue;
            }
            let (proof, start, compacted_away) =
                (&mut self.proof, self.range.start, &mut self.compacted_away);
            let path = Some(file.meta.path.as_str());
            rows::read(self.lake, file, |row| {
                let hash = match &row {
                    Row::Event(event) => hash::of(event),
                    Row::Malformed(malformed, own) if *own && malformed.offset >= start => {
                        hash::of(malformed)
                    }
                    Row::Malformed(..) => return,
                };
                if !suspects.contain(hash) || wanted.missing.get_mut(&hash).and_then(Vec::pop).is_some() {
                    return;
                }
                if let Some(offset) = wanted.all.get(&hash) {
                    proof.differs(Kind::Doubled, Some(*offset), path, format!("{row} is there once more"));
                } else if let Some(offset) = wanted.malformed.get(&hash) {
                    let detail = format!("{row} is in events_malformed too");
                    proof.differs(Kind::InBoth, Some(*offset), path, detail);
                } else if part == Part::Cut || *compacted_away > 0 {
                    *compacted_away = compacted_away.saturating_sub(1);
                    proof.unproven_rows += 1;
                    match part {
                        Part::Malformed => proof.malformed -= 1,
                        Part::Whole | Part::Cut => proof.events -= 1,
                    }
                } else {
                    let detail = format!("{row}: Kafka has no record with this content");
                    proof.differs(Kind::NoRecord, None, path, detail);
                }
            })
            .await?;
        }
        Ok(())
    }
}
