//! Customers that are recomputed together, so that `--max-memory` bounds the job and not the number of customers.

use std::collections::{HashSet, VecDeque};

use common::examine::Examined;
use common::quality::{Catalog, judge_transaction};
use common::schema::{Customer, CustomerId, TxnId};
use common::settings::{ByteSize, IncrementArgs};
use common::source::{CustomerRange, Part, Source, SourceError, SourceKeys};
use foldhash::fast::RandomState;

use crate::transform::Tallies;

/// What the program takes beside slices: drivers, ids of customers, rows on their way. An estimate.
const BESIDES_BYTES: u64 = 48 << 20;

/// What a customer takes: the sums, the row and the profile. An estimate; names and the number of categories differ.
const CUSTOMER_BYTES: u64 = 1 << 10;

/// A slice has this many customers at least, however little memory there is.
const FEWEST_CUSTOMERS: u64 = 256;

/// Where more than one in this many rows is a slice's, a scan is cheaper than looking them up: by the index on
/// `customer_id` a row costs the server about ten times what it costs in a scan.
const SCAN_IF_ONE_IN: u64 = 10;

/// How many customers a slice may have.
#[must_use]
pub fn customers_that_fit(max_memory: ByteSize) -> u64 {
    (max_memory.0.saturating_sub(BESIDES_BYTES) / CUSTOMER_BYTES).max(FEWEST_CUSTOMERS)
}

/// What customers' profiles are made of.
#[derive(Debug)]
pub struct Slice {
    /// Whose.
    pub whom: Whom,
    /// What they bought.
    pub tallies: Tallies,
    /// Their rows, by id; several of one id are all there.
    pub customers: Vec<Customer>,
}

/// Whom a slice is of.
#[derive(Debug, Clone)]
pub enum Whom {
    /// A range of all customers.
    Range(CustomerRange),
    /// These, out of all.
    These(HashSet<CustomerId, RandomState>),
}

impl Whom {
    /// Everybody, in slices of at most `fit`.
    #[must_use]
    pub fn everybody(catalog: &Catalog, fit: u64) -> VecDeque<Self> {
        ranges(catalog.customers(), fit).into_iter().map(Self::Range).collect()
    }

    /// These customers, in slices of at most `fit`.
    #[must_use]
    pub fn these(customers: &HashSet<CustomerId>, fit: u64) -> VecDeque<Self> {
        let slices = sorted(customers);
        let slices = slices.chunks(usize::try_from(fit).unwrap_or(usize::MAX));
        slices.map(|slice| Self::These(slice.iter().copied().collect())).collect()
    }

    /// Whether `id` is among them.
    #[must_use]
    pub fn contains(&self, id: CustomerId) -> bool {
        match self {
            Self::Range(range) => range.contains(id),
            Self::These(customers) => customers.contains(&id),
        }
    }

    /// All their rows of `customers`, by id; several of one id all come.
    pub async fn rows(&self, source: &Source) -> Result<Vec<Customer>, SourceError> {
        let mut rows = match self {
            Self::Range(range) => source.customers_between(*range).await?,
            Self::These(customers) => source.customers_by_id(&sorted(customers)).await?,
        };
        rows.sort_unstable_by_key(|row| row.customer_id);
        Ok(rows)
    }
}

/// Reads transactions again for the sums of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Recomputation<'a> {
    /// Where from.
    pub source: &'a Source,
    /// Which promises of its schema it keeps.
    pub keys: SourceKeys,
    /// Up to which id.
    pub last: TxnId,
    /// What transactions refer to.
    pub catalog: &'a Catalog,
    /// How it is read.
    pub settings: &'a IncrementArgs,
    /// Slices in all.
    pub slices: u64,
}

impl Recomputation<'_> {
    /// Sums up everything that `whom` ever bought; returns the sums and the rows read.
    pub async fn tallies(&self, whom: &Whom, examined: &mut Examined) -> Result<(Tallies, u64), SourceError> {
        let mut reader = self.source.read(self.parts(whom).await?, self.settings.read_connections);
        let (mut tallies, mut rows) = (Tallies::default(), 0);
        while let Some(batch) = reader.next().await? {
            rows += batch.rows.len() as u64;
            for row in batch.rows.iter().filter(|row| row.customer_id.is_some_and(|id| whom.contains(id))) {
                let reasons = judge_transaction(row, self.catalog);
                examined.met(row, reasons);
                tallies.count(row, reasons, self.catalog);
            }
        }
        Ok((tallies, rows))
    }

    /// The parts that bring everything that `whom` ever bought, and perhaps rows of others.
    async fn parts(&self, whom: &Whom) -> Result<Vec<Part>, SourceError> {
        let (last, partitions) = (self.last, self.settings.read_partitions);
        match whom {
            Whom::Range(range) if !self.keys.buyers_are_indexed || self.slices <= SCAN_IF_ONE_IN => {
                Ok(Part::scan_range(*range, last, partitions))
            }
            Whom::Range(range) => Ok(vec![Part::customer_range(*range, last)]),
            Whom::These(customers) => {
                let customers = sorted(customers);
                let many = last.0 / SCAN_IF_ONE_IN;
                if !self.keys.buyers_are_indexed || self.source.have_more_than(&customers, many).await? {
                    return Ok(Part::scan(&customers, last, partitions));
                }
                Ok(Part::customers(&customers, last))
            }
        }
    }
}

/// Ranges that hold all of `ids`, and at most `fit` of them each.
pub fn ranges(ids: impl Iterator<Item = CustomerId>, fit: u64) -> Vec<CustomerRange> {
    let mut ids: Vec<(CustomerId, u64)> = ids.map(|id| (id, 1)).collect();
    ids.sort_unstable();
    CustomerRange::split(&ids, fit)
}

/// In the order of a query's list.
pub fn sorted<S>(ids: &HashSet<CustomerId, S>) -> Vec<CustomerId> {
    let mut ids: Vec<CustomerId> = ids.iter().copied().collect();
    ids.sort_unstable();
    ids
}
