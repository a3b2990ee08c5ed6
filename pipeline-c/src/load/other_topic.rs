//! What becomes of a partition whose topic was deleted and made anew; `witnesses` notices it.

use common::run::new_run_id;

use super::Loader;
use crate::config::OnNewTopic;
use crate::error::Error;
use crate::fingerprint::Fingerprint;

impl Loader {
    /// The last record that was committed.
    #[must_use]
    pub fn last_record(&self) -> Option<&Fingerprint> {
        self.ledger.state().last_record.as_ref()
    }

    /// Notes the last record of the batch that is committed next.
    pub fn note_last(&mut self, record: Option<Fingerprint>) {
        self.last_record = record;
    }

    /// Ends the work on a topic that is another one. Where it is to be read from its beginning, the state says so
    /// afterwards, and the error is [`Error::Restarted`]. `log_start`: where the other topic's log begins.
    pub async fn leave_other_topic(&mut self, log_start: i64) -> Error {
        let (place, mut next) = (self.place.clone(), self.ledger.state().clone());
        if self.on_new_topic == OnNewTopic::Stop {
            let offset = next.last_record.map_or(next.next_offset, |last| last.offset);
            return Error::OtherTopic { place, offset };
        }
        next.restart(log_start);
        next.commit = new_run_id();
        let at = next.committed_at;
        match self.ledger.commit(next, at).await {
            // What a command has written meanwhile is found by the claim that comes next.
            Ok(()) | Err(Error::Rearranged { .. }) => Error::Restarted { place },
            Err(error) => error,
        }
    }
}
