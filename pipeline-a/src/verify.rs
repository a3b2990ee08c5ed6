//! Compares the profiles that stand with those that a recomputation from the source gives.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::ready;
use std::num::NonZeroUsize;
use std::pin::pin;

use clap::Args;
use common::profiles::{Profiles, ProfilesError};
use common::quality::{Entity, QuarantineEntry, judge_transaction};
use common::run::{Exit, Shutdown};
use common::schema::{CustomerId, CustomerProfile};
use common::settings::{MemoryArgs, OutputFormat, ProfilesArgs, RecomputeArgs, RunArgs, SourceArgs};
use common::source::{Job, QuarantinedKey};
use common::telemetry::TelemetryArgs;
use common::verify::{Books, Column, Compared, Findings, QuarantineDifference, sample};
use futures::{Stream, StreamExt, TryStreamExt};
use serde::Serialize;

use crate::config::{Config, CustomersArgs, WriteArgs};
use crate::error::Error;
use crate::extract::{self, Extracted};
use crate::slice::Whom;
use crate::transform::{self, Profiled};

/// Profiles of a sample that are read side by side.
const READS_IN_FLIGHT: usize = 32;

/// Differences that are kept with their values; the others are counted.
const DESCRIBED: usize = 10_000;

/// Settings of `pipeline-a verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub profiles: ProfilesArgs,
    /// Compare this many customers, chosen at random, and read only their rows [default: all]
    #[arg(long, value_name = "N")]
    pub sample: Option<NonZeroUsize>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub memory: MemoryArgs,
    /// Form of the differences on standard output
    #[arg(long, env = "RUN_OUTPUT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// A customer whose profile is not what the source gives, or a key that is wrongly in or out of quarantine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Difference {
    /// A profile.
    Profile {
        /// `profile_missing`, `profile_extra` or `profile`.
        difference: &'static str,
        /// Whose.
        customer_id: CustomerId,
        /// What differs.
        columns: Vec<Column>,
    },
    /// A key of the quarantine.
    Quarantine(QuarantineDifference),
}

impl From<QuarantineDifference> for Difference {
    fn from(difference: QuarantineDifference) -> Self {
        Self::Quarantine(difference)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quarantine(difference) => difference.fmt(f),
            Self::Profile { difference: "profile_missing", customer_id, .. } => {
                write!(f, "customer {customer_id} has no profile, but should")
            }
            Self::Profile { difference: "profile_extra", customer_id, .. } => {
                write!(f, "customer {customer_id} has a profile, but no accepted transaction")
            }
            Self::Profile { customer_id, columns, .. } => {
                let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
                write!(f, "customer {customer_id}: {}", columns.join("; "))
            }
        }
    }
}

/// Compares and prints; see [`common::verify::run`] for the exit codes.
pub async fn verify(args: &VerifyArgs, shutdown: &Shutdown) -> Exit {
    let settings = (&args.source, args.output);
    common::verify::run(Job::Profiles, settings, shutdown, async |books| compare(args, books).await).await
}

async fn compare(args: &VerifyArgs, books: &mut Books) -> Result<Compared<Difference>, Error> {
    let config = Config {
        source: args.source.clone(),
        profiles: args.profiles.clone(),
        increment: books.settings.clone(),
        recompute: RecomputeArgs::default(),
        customers: CustomersArgs::default(),
        memory: args.memory.clone(),
        write: WriteArgs::default(),
        run: RunArgs::default(),
        telemetry: TelemetryArgs::default(),
    };
    let profiles = Profiles::open(&args.profiles.profiles).await?;
    let chosen = match args.sample {
        Some(count) => Some(choose(books, &profiles, count.get()).await?),
        None => None,
    };
    let Books { source, keys, increment, .. } = &mut *books;
    let mut extracted = if let Some(chosen) = &chosen {
        Extracted::of(chosen, source, *keys, increment, &config).await?
    } else {
        extract::read(source, *keys, increment, HashSet::new(), &config).await?
    };

    let (mut comparison, mut entries) = (Comparison::default(), Vec::new());
    while let Some(slice) = extracted.next_slice(&books.source, books.keys, &books.increment, &config).await?
    {
        let mut expected = transform::profiles(slice, &extracted.catalog)?;
        entries.append(&mut expected.entries);
        comparison.compare(&profiles, expected).await?;
    }

    let mut later = HashSet::new();
    let note_later = |row: &_| {
        if judge_transaction(row, &extracted.catalog).is_empty() {
            later.extend(row.customer_id);
        }
    };
    books.later_rows(note_later).await?;
    let Comparison { differing, described, checked } = comparison;
    let waiting = differing.iter().filter(|id| later.contains(id)).count();
    let mut findings = Findings::default();
    compare_quarantine(books, &extracted, &entries, chosen.as_ref(), &mut findings);
    let described: Vec<_> = described.into_iter().filter(|(id, _)| !later.contains(id)).collect();
    let not_described = differing.len() - waiting - described.len();
    for (_, difference) in described {
        findings.add(difference);
    }
    findings.add_unlisted(not_described as u64);
    let (waiting, to_txn_id) = (waiting as u64, books.increment.highest);
    Ok(Compared { what: "customers", checked, waiting, to_txn_id, findings })
}

/// `count` of those who are customers or have a profile.
async fn choose(books: &Books, profiles: &Profiles, count: usize) -> Result<HashSet<CustomerId>, Error> {
    let mut all = books.source.customer_ids().await?;
    all.extend(profiles.ids().await?);
    Ok(sample(all, count))
}

fn compare_quarantine(
    books: &Books,
    extracted: &Extracted,
    met: &[QuarantineEntry],
    chosen: Option<&HashSet<CustomerId>>,
    findings: &mut Findings<Difference>,
) {
    let in_scope = |id: CustomerId| chosen.is_none_or(|chosen| chosen.contains(&id));
    let is_needless = |key: &QuarantinedKey| match key {
        // A customer without a purchase may stand there for as long as the row is rejected.
        (Entity::Customer, Some(_)) => {
            extracted.no_longer_bad.contains(key) && extract::customer_id(key).is_some_and(in_scope)
        }
        _ => chosen.is_none(),
    };
    books.compare_quarantine(extracted.entries(met), is_needless, findings);
}

#[derive(Default)]
struct Comparison {
    differing: Vec<CustomerId>,
    /// What differs, for the first of them: more than are listed.
    described: Vec<(CustomerId, Difference)>,
    checked: u64,
}

impl Comparison {
    /// Compares the profiles of a slice with those that stand.
    async fn compare(&mut self, profiles: &Profiles, slice: Profiled) -> Result<(), ProfilesError> {
        match &slice.whom {
            Whom::Range(_) => {
                let all = profiles.all().await?;
                let found = all.try_filter(|found| ready(slice.whom.contains(found.customer_id)));
                self.compare_found(found, &slice).await
            }
            Whom::These(customers) => {
                let reads = futures::stream::iter(customers).map(|id| profiles.get(*id));
                let found = reads.buffer_unordered(READS_IN_FLIGHT);
                self.compare_found(found.filter_map(|found| ready(found.transpose())), &slice).await
            }
        }
    }

    async fn compare_found(
        &mut self,
        found: impl Stream<Item = Result<CustomerProfile, ProfilesError>>,
        slice: &Profiled,
    ) -> Result<(), ProfilesError> {
        let mut missing: BTreeMap<CustomerId, &CustomerProfile> =
            slice.profiles.iter().map(|profile| (profile.customer_id, profile)).collect();
        let mut found = pin!(found);
        while let Some(found) = found.try_next().await? {
            let id = found.customer_id;
            match missing.remove(&id) {
                Some(expected) => self.note("profile", id, columns(&found, expected)),
                // Whatever profile stands keeps standing.
                None if slice.withheld.binary_search(&id).is_ok() => {}
                None => self.note("profile_extra", id, Vec::new()),
            }
        }
        for id in missing.into_keys() {
            self.note("profile_missing", id, Vec::new());
        }
        Ok(())
    }

    fn note(&mut self, difference: &'static str, customer_id: CustomerId, columns: Vec<Column>) {
        self.checked += 1;
        if difference != "profile" || !columns.is_empty() {
            self.differing.push(customer_id);
            if self.described.len() < DESCRIBED {
                let difference = Difference::Profile { difference, customer_id, columns };
                self.described.push((customer_id, difference));
            }
        }
    }
}

/// The columns that differ.
fn columns(found: &CustomerProfile, expected: &CustomerProfile) -> Vec<Column> {
    let (f, e) = (found, expected);
    [
        Column::compare_hidden("name", &f.name, &e.name),
        Column::compare_hidden("email", &f.email, &e.email),
        Column::compare("gender", &f.gender, &e.gender),
        Column::compare("total_spend", f.total_spend, e.total_spend),
        Column::compare("total_transactions", f.total_transactions, e.total_transactions),
        Column::compare("avg_order_value", f.avg_order_value, e.avg_order_value),
        Column::compare("first_purchase", f.first_purchase.to_rfc3339(), e.first_purchase.to_rfc3339()),
        Column::compare("last_purchase", f.last_purchase.to_rfc3339(), e.last_purchase.to_rfc3339()),
        Column::compare("favorite_category", &f.favorite_category, &e.favorite_category),
    ]
    .into_iter()
    .flatten()
    .collect()
}
