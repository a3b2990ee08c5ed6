//! Many rows at once.

use super::database::Database;
use super::rows::SqlRow;
use crate::error::ProducerError;

/// Size of a statement: below SQLite's limit of 1,000,000 bytes and MySQL's smallest `max_allowed_packet`, 1 MiB.
const STATEMENT_BYTES: usize = 512 * 1024;

/// Inserts `rows` by statements of thousands; `into` is the table with its columns. Tells `inserted` how many
/// each statement wrote.
pub(super) async fn insert<R: SqlRow>(
    db: &mut Database,
    into: &str,
    rows: impl Iterator<Item = R> + Send,
    mut inserted: impl FnMut(u64) + Send,
) -> Result<u64, ProducerError> {
    let doing = format!("inserting into {into}");
    let (mut sql, mut waiting, mut total) = (String::with_capacity(STATEMENT_BYTES + 256), 0, 0);
    let mut rows = rows.peekable();
    while let Some(row) = rows.next() {
        sql.push_str(if waiting == 0 { "INSERT INTO " } else { "," });
        if waiting == 0 {
            sql.push_str(into);
            sql.push_str(" VALUES ");
        }
        row.write(&mut sql);
        waiting += 1;
        if sql.len() >= STATEMENT_BYTES || rows.peek().is_none() {
            let full = std::mem::replace(&mut sql, String::with_capacity(STATEMENT_BYTES + 256));
            db.execute(&doing, full).await?;
            inserted(waiting);
            total += waiting;
            waiting = 0;
        }
    }
    Ok(total)
}
