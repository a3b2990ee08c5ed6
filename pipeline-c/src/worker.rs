//! One partition's work: judge records into the batch, write the batch when told to.
//!
//! Each worker has a thread, so that decoding and encoding use all cores and never hold up another's I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use chrono::{DateTime, Utc};
use common::avro::SchemaId;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::error::Error;
use crate::extract::Chunk;
use crate::fingerprint::Fingerprint;
use crate::load::Loader;
use crate::place::{PartitionId, Place};
use crate::schemas::Schemas;
use crate::tally::Tally;
use crate::transform::{Writer, framed, judge};

/// What the consumer sends.
#[derive(Debug)]
pub enum Delivery {
    /// Records, by offset.
    Records(Chunk),
    /// All that a single run is to read has been sent.
    End,
}

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Close the batch as it is and tell about it; what follows goes into the next one.
    Seal(oneshot::Sender<Sealed>),
    /// Write the sealed batch and answer when it is visible.
    Flush(DateTime<Utc>, oneshot::Sender<Flushed>),
    /// Write down that everything is visible.
    Settle(DateTime<Utc>, oneshot::Sender<Flushed>),
    /// End: the topic is another one, and its log begins here.
    Leave(i64, oneshot::Sender<()>),
}

/// A batch that was closed.
#[derive(Debug)]
pub struct Sealed {
    /// Its counts.
    pub tally: Tally,
    /// A record that was read before all others of it, or as the first of it: the last one that was committed. None
    /// where nothing was ever read.
    pub witness: Option<Fingerprint>,
}

/// A flush of one partition that is visible.
#[derive(Debug, Clone, Copy)]
pub struct Flushed {
    /// Which partition.
    pub partition: PartitionId,
    /// The next offset that was committed.
    pub next_offset: i64,
    /// Files written, new or replaced.
    pub files: u64,
}

/// How far a worker is, for whoever feeds it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of records that were not judged yet.
    pub backlog_bytes: AtomicU64,
    /// Bytes of rows that are not visible yet, about.
    pub buffered_bytes: AtomicU64,
    /// Rows in the open batch.
    pub rows: AtomicU64,
    /// The next offset to be judged.
    pub next_offset: AtomicI64,
    /// The next offset that is committed.
    pub committed_offset: AtomicI64,
    /// A single run has read all it was to read.
    pub drained: AtomicBool,
}

/// A worker as others see it. Dropping it ends the worker after what it is doing.
#[derive(Debug)]
pub struct WorkerHandle {
    /// Takes records.
    pub deliveries: mpsc::UnboundedSender<Delivery>,
    /// Takes commands.
    pub commands: mpsc::UnboundedSender<Command>,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// The worker's end, and why.
    pub ended: oneshot::Receiver<Result<(), Error>>,
    /// Drops the worker in the middle of what it does, which is as safe as a kill.
    pub abandon: CancellationToken,
}

struct Worker {
    loader: Loader,
    schemas: Arc<Schemas>,
    last_writer: Option<(SchemaId, Arc<Writer>)>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    current: Option<(Chunk, usize)>,
    batch: Batch,
    sealed: Option<Batch>,
    progress: Arc<Progress>,
}

/// Starts a worker thread for a partition that was claimed.
pub fn spawn(loader: Loader, schemas: Arc<Schemas>, runtime: Handle) -> Result<WorkerHandle, Error> {
    let (deliveries, received) = mpsc::unbounded_channel();
    let (commands, mut told) = mpsc::unbounded_channel();
    let (end, ended) = oneshot::channel();
    let abandon = CancellationToken::new();
    let progress = Arc::new(Progress::default());
    progress.next_offset.store(loader.next_offset(), Relaxed);
    progress.committed_offset.store(loader.next_offset(), Relaxed);
    let place = loader.place().clone();
    let batch = Batch::starting_at(place.partition, loader.next_offset());
    let mut worker = Worker {
        loader,
        schemas,
        last_writer: None,
        deliveries: received,
        current: None,
        batch,
        sealed: None,
        progress: Arc::clone(&progress),
    };
    let abandoned = abandon.clone();
    let work = move || {
        let result = runtime.block_on(async {
            tokio::select! { biased; () = abandoned.cancelled() => Ok(()), result = worker.run(&mut told) => result }
        });
        // Nobody waits for the end of a worker that was given up.
        let _ = end.send(result);
    };
    std::thread::Builder::new()
        .name(place.to_string())
        .spawn(work)
        .map_err(|error| Error::Ended(format!("the worker of {place} could not start ({error}), so it")))?;
    Ok(WorkerHandle { deliveries, commands, progress, ended, abandon })
}

impl Worker {
    async fn run(&mut self, told: &mut mpsc::UnboundedReceiver<Command>) -> Result<(), Error> {
        loop {
            // Commands first: a registry that does not answer may not hold up what was judged already.
            tokio::select! {
                biased;
                command = told.recv() => match command {
                    Some(command) => self.obey(command).await?,
                    None => return Ok(()),
                },
                more = self.step() => if !more? { return Ok(()) },
            }
        }
    }

    /// Judges what has arrived. Waits for records or for a schema, and may be dropped while it waits.
    async fn step(&mut self) -> Result<bool, Error> {
        if self.current.is_none() {
            match self.deliveries.recv().await {
                Some(Delivery::Records(chunk)) => self.current = Some((chunk, 0)),
                Some(Delivery::End) => self.progress.drained.store(true, Relaxed),
                None => return Ok(false),
            }
        }
        if let Some(unknown) = self.judge_current() {
            let writer = self.schemas.resolve(unknown).await?;
            self.last_writer = Some((unknown, writer));
        }
        Ok(true)
    }

    /// Judges the current chunk as far as its schemas are known; returns the one that is missing.
    fn judge_current(&mut self) -> Option<SchemaId> {
        let (chunk, mut index) = self.current.take()?;
        let bytes_before = self.batch.bytes;
        let mut missing = None;
        while let Some(record) = chunk.get(index) {
            // Seen before, when the consumer was set back.
            if record.offset >= self.batch.next_offset {
                let judged = match framed(&record) {
                    Err(malformed) => Err(malformed),
                    Ok((id, body)) => {
                        // What the registry did not know it may know by now.
                        let same = |(last, writer): &(SchemaId, Arc<Writer>)| {
                            *last == id && !matches!(**writer, Writer::Unknown)
                        };
                        if !self.last_writer.as_ref().is_some_and(same) {
                            self.last_writer = self.schemas.known(id).map(|writer| (id, writer));
                        }
                        let Some((_, writer)) = &self.last_writer else {
                            missing = Some(id);
                            break;
                        };
                        judge(id, body, writer, record.timestamp_ms)
                    }
                };
                if self.batch.first_record.is_none() {
                    self.batch.first_record = Some(Fingerprint::of(&record));
                }
                self.batch.push(&record, judged);
            }
            index += 1;
        }
        let last = index.checked_sub(1).and_then(|last| chunk.get(last));
        if let Some(last) = last.filter(|last| last.offset + 1 == self.batch.next_offset) {
            self.batch.last_record = Some(Fingerprint::of(&last));
        }
        self.progress.buffered_bytes.fetch_add(self.batch.bytes - bytes_before, Relaxed);
        self.progress.rows.store(self.batch.tally.records, Relaxed);
        self.progress.next_offset.store(self.batch.next_offset, Relaxed);
        if missing.is_some() {
            self.current = Some((chunk, index));
        } else {
            self.progress.backlog_bytes.fetch_sub(chunk.size_bytes(), Relaxed);
        }
        missing
    }

    async fn obey(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Seal(reply) => {
                let next = Batch::starting_at(self.loader.place().partition, self.batch.next_offset);
                let sealed = std::mem::replace(&mut self.batch, next);
                self.progress.rows.store(0, Relaxed);
                let witness = self.loader.last_record().or(sealed.first_record.as_ref()).cloned();
                // Who asked may have been given up.
                let _ = reply.send(Sealed { tally: sealed.tally.clone(), witness });
                self.sealed = Some(sealed);
            }
            Command::Flush(at, reply) => {
                let flushed = self.flush(at).await?;
                let _ = reply.send(flushed);
            }
            Command::Settle(at, reply) => {
                self.loader.settle(at).await?;
                let _ = reply.send(self.nothing_flushed());
            }
            // The answer is that the worker has ended.
            Command::Leave(log_start, _reply) => return Err(self.loader.leave_other_topic(log_start).await),
        }
        Ok(())
    }

    async fn flush(&mut self, at: DateTime<Utc>) -> Result<Flushed, Error> {
        let Some(batch) = self.sealed.take().filter(|batch| batch.tally.records > 0) else {
            return Ok(self.nothing_flushed());
        };
        let (bytes, next_offset) = (batch.bytes, batch.next_offset);
        self.loader.note_last(batch.last_record.clone());
        let outputs = batch.into_outputs(self.loader.place(), at);
        self.loader.write(&outputs, next_offset, at).await?;
        self.progress.committed_offset.store(next_offset, Relaxed);
        let files = outputs.len() as u64;
        drop(outputs);
        self.progress.buffered_bytes.fetch_sub(bytes, Relaxed);
        Ok(Flushed { files, ..self.nothing_flushed() })
    }

    fn nothing_flushed(&self) -> Flushed {
        Flushed { partition: self.loader.place().partition, next_offset: self.loader.next_offset(), files: 0 }
    }
}

/// The place in the name of a worker's error.
pub fn ended_unexpectedly(place: &Place) -> Error {
    Error::Ended(format!("the worker of {place}"))
}
