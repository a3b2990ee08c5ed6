//! Customers that are recomputed because somebody asked for it, not because of a new transaction.

use std::collections::{HashMap, HashSet};

use common::increment::Increment;
use common::profiles::Profiles;
use common::quality::QuarantineEntry;
use common::schema::{Customer, CustomerId, CustomerProfile};
use common::source::{CustomerRange, Source};
use futures::TryStreamExt;

use crate::config::Config;
use crate::error::Error;
use crate::extract::judge_rows;
use crate::slice::{customers_that_fit, ranges};

/// The customers of `--customers`, and with `--refresh-customers` those whose row and profile do not agree.
/// Where everything is recomputed, nothing needs to be compared.
pub async fn customers(
    config: &Config,
    source: &Source,
    increment: &Increment,
) -> Result<HashSet<CustomerId>, Error> {
    let mut asked: HashSet<CustomerId> = config.customers.customers.iter().copied().map(CustomerId).collect();
    if config.customers.refresh_customers && !increment.everything {
        let profiles = Profiles::open(&config.profiles.profiles).await?;
        let ids = source.customer_ids().await?.into_iter();
        for range in ranges(ids, customers_that_fit(config.memory.max_memory)) {
            asked.extend(changed(source, &profiles, range, increment).await?);
        }
    }
    Ok(asked)
}

/// Customers whose row has changed, or gone, since their profile was written; those whose row is not accepted only
/// where the quarantine does not say so yet.
async fn changed(
    source: &Source,
    profiles: &Profiles,
    range: CustomerRange,
    increment: &Increment,
) -> Result<Vec<CustomerId>, Error> {
    let mut rows: HashMap<CustomerId, Vec<Customer>> = HashMap::new();
    for row in source.customers_between(range).await? {
        rows.entry(row.customer_id).or_default().push(row);
    }
    let mut changed = Vec::new();
    let mut standing = profiles.all().await?;
    while let Some(profile) = standing.try_next().await? {
        if range.contains(profile.customer_id) {
            let rows = rows.get(&profile.customer_id).map(Vec::as_slice).unwrap_or_default();
            if has_changed(rows, &profile, increment) {
                changed.push(profile.customer_id);
            }
        }
    }
    Ok(changed)
}

fn has_changed(rows: &[Customer], profile: &CustomerProfile, increment: &Increment) -> bool {
    let Some(row) = rows.first() else { return true };
    let reasons = judge_rows(rows);
    if reasons.is_empty() {
        !agree(row, profile)
    } else {
        increment.is_news(&QuarantineEntry::customer(row, reasons))
    }
}

fn agree(row: &Customer, profile: &CustomerProfile) -> bool {
    let same = |column: &Option<String>, written: &str| column.as_deref().unwrap_or_default() == written;
    same(&row.name, &profile.name) && same(&row.email, &profile.email) && same(&row.gender, &profile.gender)
}
