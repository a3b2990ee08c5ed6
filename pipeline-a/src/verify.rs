//! Compares the profiles that stand with those that a recomputation from the source gives.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::ready;

use clap::Args;
use common::examine::{Examined, read_catalog};
use common::profiles::{Profiles, ProfilesError};
use common::quality::{Entity, judge_transaction};
use common::run::{Exit, Shutdown};
use common::schema::{CustomerId, CustomerProfile};
use common::settings::{OutputFormat, ProfilesArgs, SourceArgs};
use common::source::{Job, QuarantinedKey};
use common::verify::{Books, Column, Compared, Findings, QuarantineDifference, sample};
use futures::{Stream, StreamExt, TryStreamExt};
use serde::Serialize;

use crate::error::Error;
use crate::extract::{self, Extracted};
use crate::transform::{self, Profiled, Tallies};

/// Profiles of a sample that are read side by side.
const READS_IN_FLIGHT: usize = 32;

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
    pub sample: Option<usize>,
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
    let chosen = match args.sample {
        Some(count) => Some(sample(books.source.customer_ids().await?, count)),
        None => None,
    };
    let extracted = if let Some(chosen) = &chosen {
        read_sample(books, chosen).await?
    } else {
        let Books { source, keys, increment, settings, .. } = &mut *books;
        extract::read(source, *keys, increment, HashSet::new(), settings).await?
    };
    let mut later = HashSet::new();
    let note_later = |row: &_| {
        if judge_transaction(row, &extracted.catalog).is_empty() {
            later.extend(row.customer_id);
        }
    };
    books.later_rows(note_later).await?;

    let result = transform::profiles(extracted)?;
    let mut findings = Findings::default();
    compare_quarantine(books, &result, chosen.as_ref(), &mut findings).await?;
    let mut comparison = Comparison::new(result, later, findings);
    let profiles = Profiles::open(&args.profiles.profiles).await?;
    match chosen {
        Some(chosen) => {
            let profiles = &profiles;
            let reads = futures::stream::iter(chosen).map(|id| async move { profiles.get(id).await });
            let found = reads.buffer_unordered(READS_IN_FLIGHT);
            comparison.compare(found.filter_map(|found| ready(found.transpose()))).await?;
        }
        None => comparison.compare(profiles.all().await?).await?,
    }
    let Comparison { findings, checked, waiting, .. } = comparison;
    Ok(Compared { what: "customers", checked, waiting, to_txn_id: books.increment.highest, findings })
}

/// Reads what these customers bought up to the offset.
async fn read_sample(books: &Books, chosen: &HashSet<CustomerId>) -> Result<Extracted, Error> {
    let Books { source, increment, settings, .. } = books;
    let catalog = read_catalog(source, books.keys).await?;
    let (mut examined, mut tallies) = (Examined::default(), Tallies::default());
    let scope = (books.keys, increment.highest);
    let rows =
        extract::recompute(source, scope, chosen, &catalog, settings, &mut examined, &mut tallies).await?;
    Ok(Extracted {
        examined,
        tallies,
        affected: Some(chosen.clone()),
        customers: source.customers_by_id(&extract::sorted(chosen)).await?,
        catalog,
        still_bad: Vec::new(),
        customers_judged: HashSet::new(),
        without_key: None,
        rows,
    })
}

async fn compare_quarantine(
    books: &Books,
    result: &Profiled,
    chosen: Option<&HashSet<CustomerId>>,
    findings: &mut Findings<Difference>,
) -> Result<(), Error> {
    // A customer without a purchase may stand there for as long as the row is rejected.
    let in_scope = |key: &QuarantinedKey| {
        let id = extract::customer_id(key);
        key.0 == Entity::Customer && id.is_some_and(|id| chosen.is_none_or(|chosen| chosen.contains(&id)))
    };
    let mut needless = books.increment.quarantined.keys().copied().filter(in_scope).collect();
    extract::drop_still_bad(&books.source, &mut needless).await?;
    let is_needless = |key: &QuarantinedKey| match key {
        (Entity::Customer, Some(_)) => needless.contains(key),
        _ => chosen.is_none(),
    };
    books.compare_quarantine(&result.entries, is_needless, findings);
    Ok(())
}

struct Comparison {
    /// Profiles that should stand and were not met yet.
    expected: HashMap<CustomerId, CustomerProfile>,
    /// Customers whose own row is rejected: whatever profile stands keeps standing.
    withheld: HashSet<CustomerId>,
    later: HashSet<CustomerId>,
    findings: Findings<Difference>,
    checked: u64,
    waiting: u64,
}

impl Comparison {
    fn new(result: Profiled, later: HashSet<CustomerId>, findings: Findings<Difference>) -> Self {
        let expected = result.profiles.into_iter().map(|profile| (profile.customer_id, profile)).collect();
        Self { expected, withheld: result.withheld, later, findings, checked: 0, waiting: 0 }
    }

    async fn compare(
        &mut self,
        mut found: impl Stream<Item = Result<CustomerProfile, ProfilesError>> + Unpin,
    ) -> Result<(), ProfilesError> {
        while let Some(found) = found.try_next().await? {
            let id = found.customer_id;
            match self.expected.remove(&id) {
                Some(expected) => self.note("profile", id, columns(&found, &expected)),
                None if self.withheld.contains(&id) => {}
                None => self.note("profile_extra", id, Vec::new()),
            }
        }
        let mut missing: Vec<CustomerId> = self.expected.drain().map(|(id, _)| id).collect();
        missing.sort_unstable();
        for id in missing {
            self.note("profile_missing", id, Vec::new());
        }
        Ok(())
    }

    fn note(&mut self, difference: &'static str, customer_id: CustomerId, columns: Vec<Column>) {
        self.checked += 1;
        if difference == "profile" && columns.is_empty() {
            return;
        }
        if self.later.contains(&customer_id) {
            self.waiting += 1;
        } else {
            self.findings.add(Difference::Profile { difference, customer_id, columns });
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
