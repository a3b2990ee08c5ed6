//! Notices that the topic was deleted and made anew, however long the new one is.
//!
//! Kafka's own id of a topic is not among what librdkafka tells. So the last record that was read is read again, and
//! compared.

use common::run::new_run_id;

use super::Loader;
use crate::config::OnNewTopic;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::transform::Record;

impl Loader {
    /// Where to begin to read: at the last record that was read before, where Kafka still has it.
    #[must_use]
    pub fn first_to_read(&self) -> i64 {
        let last = self.ledger.state().last_record.as_ref().map(|last| last.offset);
        last.filter(|last| self.log.start <= *last).unwrap_or_else(|| self.next_offset())
    }

    /// Whether this record is another one than was read at its offset before.
    #[must_use]
    pub fn knows_another(&self, record: &Record<'_>) -> bool {
        let last = self.ledger.state().last_record.as_ref();
        last.is_some_and(|last| last.offset == record.offset && *last != Fingerprint::of(record))
    }

    /// Notes the last record of the batch that is committed next.
    pub fn note_last(&mut self, record: Option<Fingerprint>) {
        self.last_record = record;
    }

    /// Ends the work on a topic that is another one. Where it is to be read from its beginning, the state says so
    /// afterwards, and the error is [`Error::Restarted`].
    pub async fn leave_other_topic(&mut self) -> Error {
        let (place, mut next) = (self.place.clone(), self.ledger.state().clone());
        if self.on_new_topic == OnNewTopic::Stop {
            let offset = next.last_record.map_or(next.next_offset, |last| last.offset);
            return Error::OtherTopic { place, offset };
        }
        next.restart(self.log.start);
        next.commit = new_run_id();
        let at = next.committed_at;
        match self.ledger.commit(next, at).await {
            // What a command has written meanwhile is found by the claim that comes next.
            Ok(()) | Err(Error::Rearranged { .. }) => Error::Restarted { place },
            Err(error) => error,
        }
    }
}
