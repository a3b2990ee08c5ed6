//! One record after the other.

use common::avro::CustomerEvent;
use common::run::Clock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Builder;

use super::kind::Kind;
use super::schemas::Schemas;
use super::spoil::{odd, write_value};
use super::timeline::{Stamp, Timeline};
use crate::config::{EventsConfig, KeyBy};
use crate::error::ProducerError;
use crate::popularity::{Popularity, Spread};

const EVENT_TYPES: [&str; 3] = ["WISHLIST", "LIKE", "CART_ADD"];

/// Makes records. Its buffers are reused: a record is valid until the next one.
pub(super) struct Maker {
    schemas: Schemas,
    key_by: KeyBy,
    invalid_ratio: f64,
    odd_ratio: f64,
    buyers: Popularity,
    bestsellers: Popularity,
    timeline: Timeline,
    stamp: Stamp,
    rng: StdRng,
    malformed: Turns,
    odd: Turns,
    event: CustomerEvent,
    key: String,
    value: Vec<u8>,
}

/// A record as it goes to Kafka.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    /// `None` where the event has no id to be keyed by.
    pub(super) key: Option<&'a str>,
    /// `None` for a tombstone.
    pub(super) value: Option<&'a [u8]>,
}

impl Maker {
    /// Prepares to make what `config` asks for.
    pub(super) fn new(config: &EventsConfig, clock: &Clock, schemas: Schemas) -> Self {
        let timeline = match (config.from, config.count) {
            (Some(from), Some(count)) => {
                Timeline::spread(from, config.to.unwrap_or_else(|| clock.now()), count)
            }
            _ => Timeline::Now(clock.clone()),
        };
        let without_nullable = Kind::MALFORMED.len() - Kind::NULLABLE;
        let kinds = if schemas.nullable.is_some() { Kind::MALFORMED.len() } else { without_nullable };
        let ids = |count: i32| Popularity::over(usize::try_from(count).unwrap_or(1), Spread::Skewed);
        Self {
            schemas,
            key_by: config.key,
            invalid_ratio: config.invalid_ratio,
            odd_ratio: config.odd_ratio,
            buyers: ids(config.customers),
            bestsellers: ids(config.products),
            timeline,
            stamp: Stamp::default(),
            rng: StdRng::from_os_rng(),
            malformed: Turns { kinds: &Kind::MALFORMED[..kinds], next: 0 },
            odd: Turns { kinds: &Kind::ODD, next: 0 },
            event: CustomerEvent {
                event_id: String::new(),
                customer_id: 0,
                event_type: String::new(),
                product_id: None,
                event_timestamp: String::new(),
            },
            key: String::new(),
            value: Vec::new(),
        }
    }

    /// Makes the next record.
    pub(super) fn next(&mut self) -> Result<Record<'_>, ProducerError> {
        let chance: f64 = self.rng.random();
        let kind = if chance < self.invalid_ratio {
            self.malformed.next()
        } else if chance < self.invalid_ratio + self.odd_ratio {
            self.odd.next()
        } else {
            Kind::Valid
        };
        self.plain_event();
        odd(kind, &mut self.event, &mut self.rng);
        self.key.clear();
        match self.key_by {
            KeyBy::EventId => self.key.push_str(&self.event.event_id),
            KeyBy::CustomerId => self.key.push_str(&self.event.customer_id.to_string()),
        }
        let keyless = kind == Kind::EventIdNull && self.key_by == KeyBy::EventId;
        write_value(kind, &self.event, &self.schemas, &mut self.rng, &mut self.value)?;
        Ok(Record {
            kind,
            key: (!keyless).then_some(self.key.as_str()),
            value: (kind != Kind::NotFramedTombstone).then_some(self.value.as_slice()),
        })
    }

    fn plain_event(&mut self) {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = Builder::from_random_bytes(self.rng.random()).into_uuid();
        replace(&mut self.event.event_id, id.hyphenated().encode_lower(&mut text));
        replace(&mut self.event.event_type, EVENT_TYPES[self.rng.random_range(0..EVENT_TYPES.len())]);
        replace(&mut self.event.event_timestamp, self.stamp.of(self.timeline.next()));
        self.event.customer_id = id_of(self.buyers.pick(&mut self.rng));
        self.event.product_id = Some(id_of(self.bestsellers.pick(&mut self.rng)));
    }
}

fn replace(field: &mut String, text: &str) {
    field.clear();
    field.push_str(text);
}

/// Ids count from 1.
fn id_of(index: usize) -> i32 {
    i32::try_from(index + 1).expect("there are as many as an i32 counts")
}

/// Kinds one after the other, so that each occurs equally often.
struct Turns {
    kinds: &'static [Kind],
    next: usize,
}

impl Turns {
    fn next(&mut self) -> Kind {
        let kind = self.kinds[self.next];
        self.next = (self.next + 1) % self.kinds.len();
        kind
    }
}
