//! Why a run ends early, and with which code.

use std::time::Duration;

use common::avro::RegistryError;
use common::lake::LakeError;
use common::run::{Exit, JobError};
use rdkafka::error::KafkaError;

use crate::place::Place;
use crate::state::DataFile;

/// Pipeline C could not go on. Nothing is lost by it: the next run goes on from the last commit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refused, or did not answer in time.
    #[error("cannot {action}: {source}")]
    Kafka {
        /// What was tried, on what.
        action: String,
        /// librdkafka's answer.
        source: KafkaError,
    },
    /// A setting that librdkafka does not take.
    #[error("librdkafka does not take these settings: {0}")]
    Setting(KafkaError),
    /// There is no such topic.
    #[error("the topic {topic} does not exist at {brokers}; create it or correct --topic")]
    NoTopic {
        /// Its name.
        topic: String,
        /// Where it was looked for.
        brokers: String,
    },
    /// The group did not hand out its partitions in time.
    #[error("the consumer group {group} gave no assignment within {}; does its coordinator answer?", humantime::format_duration(*.waited))]
    NoAssignment {
        /// Its name.
        group: String,
        /// How long was waited.
        waited: Duration,
    },
    /// Nothing arrived although there is something to read.
    #[error("no record arrived for {}; does Kafka still answer?", humantime::format_duration(*.waited))]
    Stalled {
        /// How long was waited.
        waited: Duration,
    },
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The registry refused, or did not answer for too long.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Kafka deleted records before they were read.
    #[error(
        "{place}: the log starts at offset {log_start}, but {next_offset} is next: {} records were deleted before they were \
         read; run with --on-gap skip to accept their loss",
        log_start - next_offset
    )]
    Gap {
        /// Which partition.
        place: Place,
        /// The next offset to be read.
        next_offset: i64,
        /// The first that there is.
        log_start: i64,
    },
    /// The offset to read next lies beyond the log.
    #[error(
        "{place}: the log ends at offset {log_end}, but {next_offset} is next: the topic was deleted and made anew, or \
         lost records; run with --on-new-topic restart to read it from its beginning"
    )]
    NewTopic {
        /// Which partition.
        place: Place,
        /// The next offset to be read.
        next_offset: i64,
        /// Where the log ends.
        log_end: i64,
    },
    /// A record that was read before is another one now.
    #[error(
        "{place}: the record at offset {offset} is not the one that was read there before: the topic was deleted and made anew, \
         or lost records; run with --on-new-topic restart to read it from its beginning"
    )]
    OtherTopic {
        /// Which partition.
        place: Place,
        /// The offset of the last record that was read.
        offset: i64,
    },
    /// The topic is another one, and its state object says now that it is to be read from its beginning.
    #[error("{place}: the topic is another one; beginning again to read it from its beginning")]
    Restarted {
        /// Which partition.
        place: Place,
    },
    /// While records were read, Kafka deleted those that come next.
    #[error(
        "Kafka has deleted records of {topic} that were to be read next, or the topic was deleted and made anew; run again \
         to see which"
    )]
    OutOfRange {
        /// Which topic.
        topic: String,
    },
    /// The state object cannot be read.
    #[error(
        "the state object {path} is damaged: {reason}; restore it as it was last, from the bucket's versions or a backup: \
         one from before the last batch makes rows twice. Without it the offsets of the files in the lake are not known"
    )]
    StateDamaged {
        /// Where it is.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no state object, though files of the partition stand.
    #[error(
        "{place}: the state object {path} is missing, but {files} of its data files stand, the first is {first}; reading the \
         partition anew would double their rows. Restore the state object as it was last, since one from before the last \
         batch makes rows twice; or move these files out of the lake, and the partition is read from where its log begins now"
    )]
    StateMissing {
        /// Which partition.
        place: Place,
        /// Where the state object was.
        path: String,
        /// How many files stand.
        files: usize,
        /// The one with the first offsets.
        first: String,
    },
    /// The state object was written by a newer program.
    #[error(
        "the state object {path} has version {found}, this program knows version {known}; use the newer pipeline-c"
    )]
    StateVersion {
        /// Where it is.
        path: String,
        /// Its version.
        found: u64,
        /// The version that this program writes.
        known: u64,
    },
    /// Another instance has taken the partition over.
    #[error(
        "{place} was taken over by {owner} (epoch {epoch}); nothing more was published. If that happens again, another \
         group consumes this topic into the same lake"
    )]
    Fenced {
        /// Which partition.
        place: Place,
        /// Who has it now.
        owner: String,
        /// The epoch it has.
        epoch: u64,
    },
    /// A command that moves rows and the partition's owner were at work at once: one of them was first.
    #[error("the files of {place} have changed meanwhile, by its owner or by a command")]
    Rearranged {
        /// Which partition.
        place: Place,
    },
    /// Its files change faster than they can be read.
    #[error(
        "{place} is written to faster than it can be read as a whole; try again when there is less to do"
    )]
    Busy {
        /// Which partition.
        place: Place,
    },
    /// A file is not the one that the state object names.
    #[error(
        "{path} is not the file that {place}'s state object names: something else wrote or removed files there, or the \
         state object was removed. It was left as it is; move it away, or restore it, and run again"
    )]
    Foreign {
        /// Which partition.
        place: Place,
        /// Which file.
        path: String,
    },
    /// A file that was committed cannot be made visible any more.
    #[error(
        "{path}, which {place}'s state object names, is gone before readers could see it: something aborted its upload, or \
         removed it (a lifecycle rule?). It held {rows} rows, with offsets from {first_offset} to {last_offset}. Run with \
         --on-lost-file skip: where nothing of that commit is visible its records are read again from Kafka, otherwise \
         their loss is accepted and recorded"
    )]
    Lost {
        /// Which partition.
        place: Place,
        /// Which file.
        path: String,
        /// Rows in it.
        rows: u64,
        /// Offset of its first record.
        first_offset: i64,
        /// Offset of its last record.
        last_offset: i64,
    },
    /// What a move has begun to take away cannot be finished.
    #[error(
        "{place}: files of a replay or compaction that was committed are gone after others of it became visible, {path} among \
         them; restore what was removed, or the state object, from an earlier version"
    )]
    HalfMoved {
        /// Which partition.
        place: Place,
        /// Which file.
        path: String,
    },
    /// Too many malformed records.
    #[error(
        "refused: {malformed} of {records} records are malformed, more than --max-malformed-ratio {limit} allows"
    )]
    Refused {
        /// Records in the batch.
        records: u64,
        /// Malformed ones among them.
        malformed: u64,
        /// The ratio allowed.
        limit: f64,
    },
    /// A part of this program ended when it should not have.
    #[error("{0} ended unexpectedly; its log tells more")]
    Ended(String),
}

impl JobError for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused { .. } => Exit::Refused,
            Self::Fenced { .. } => Exit::Locked,
            Self::Setting(_)
            | Self::Lake(LakeError::Address(_))
            | Self::Registry(RegistryError::Address(_)) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

impl Error {
    /// Whether only one partition is concerned: the others can go on.
    #[must_use]
    pub fn is_of_one_partition(&self) -> bool {
        matches!(
            self,
            Self::StateDamaged { .. }
                | Self::StateVersion { .. }
                | Self::StateMissing { .. }
                | Self::Lost { .. }
                | Self::HalfMoved { .. }
                | Self::Foreign { .. }
        )
    }

    /// `file`, which was committed, is gone.
    #[must_use]
    pub fn lost(place: Place, file: &DataFile) -> Self {
        let DataFile { rows, first_offset, last_offset, .. } = *file;
        Self::Lost { place, path: file.path.clone(), rows, first_offset, last_offset }
    }

    /// A librdkafka call failed.
    pub fn kafka(action: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        |source| Self::Kafka { action: action.into(), source }
    }
}
