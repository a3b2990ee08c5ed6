//! Customers that are recomputed because somebody asked for it, not because of a new transaction.

use std::collections::{HashMap, HashSet};

use common::increment::Increment;
use common::profiles::Profiles;
use common::schema::{Customer, CustomerId, CustomerProfile};
use common::source::Source;
use futures::TryStreamExt;

use crate::config::Config;
use crate::error::Error;

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
        asked.extend(changed(source, &profiles).await?);
    }
    Ok(asked)
}

/// Customers whose row has changed, or gone, since their profile was written.
async fn changed(source: &Source, profiles: &Profiles) -> Result<Vec<CustomerId>, Error> {
    let rows = source.all_customers().await?;
    let rows: HashMap<CustomerId, Customer> = rows.into_iter().map(|row| (row.customer_id, row)).collect();
    let mut changed = Vec::new();
    let mut standing = profiles.all().await?;
    while let Some(profile) = standing.try_next().await? {
        if !rows.get(&profile.customer_id).is_some_and(|row| agree(row, &profile)) {
            changed.push(profile.customer_id);
        }
    }
    Ok(changed)
}

fn agree(row: &Customer, profile: &CustomerProfile) -> bool {
    let same = |column: &Option<String>, written: &str| column.as_deref().unwrap_or_default() == written;
    same(&row.name, &profile.name) && same(&row.email, &profile.email) && same(&row.gender, &profile.gender)
}
