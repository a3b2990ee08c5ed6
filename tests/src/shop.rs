//! A source database of its own for a test.

use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Row};

use crate::program::Program;
use crate::{clean_up, services, unique_name};

/// A database on the `MySQL` or `MariaDB` server; it is dropped at the end.
#[derive(Debug)]
pub struct Shop {
    /// Its address, for programs.
    pub url: String,
    /// Connections of the test. Their time zone is UTC and they take what a strict server refuses.
    pub db: MySqlPool,
    name: String,
}

impl Shop {
    /// A database without tables.
    pub async fn empty() -> Self {
        let name = unique_name();
        let server = pool(&services::mysql()).await;
        run(&server, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
        let url = format!("{}/{name}", services::mysql());
        let db = pool(&url).await;
        Self { url, db, name }
    }

    /// A database that `producer seed` has filled.
    pub async fn seeded(sizes: &Sizes) -> Self {
        let shop = Self::empty().await;
        sizes.seed(&shop.url).await;
        shop
    }

    /// A database that breaks every promise of the contract's schema: see `messy.sql`.
    pub async fn messy() -> Self {
        let shop = Self::empty().await;
        shop.run(include_str!("messy.sql")).await;
        shop
    }

    /// Runs one or several statements on one connection.
    pub async fn run(&self, sql: &str) {
        run(&self.db, sql).await;
    }

    /// One number.
    pub async fn number(&self, sql: &str) -> i64 {
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.db).await;
        row.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0)
    }

    /// The offset of a pipeline, `A` or `B`; `None` before its first commit.
    pub async fn offset(&self, pipeline: char) -> Option<i64> {
        let sql = match pipeline {
            'A' => "SELECT last_txn_id FROM profile_offsets WHERE source = 'transactions'",
            _ => "SELECT last_txnid FROM txn_summary_offsets WHERE source = 'transactions'",
        };
        sqlx::query_scalar(sql).fetch_optional(&self.db).await.unwrap()
    }

    /// Waits until a statement of another connection to this database waits for a lock on `table`.
    pub async fn until_blocked_on(&self, table: &str) {
        let waiting = format!(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND id <> CONNECTION_ID() \
             AND state LIKE 'Waiting for table%' AND info LIKE '%{table}%'",
            self.name
        );
        until(async || self.number(&waiting).await > 0, &format!("nobody waits for a lock on {table}")).await;
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let name = self.name.clone();
        clean_up(|| async move {
            let server = pool(&services::mysql()).await;
            // A transaction that a failed test has left open would keep its tables locked.
            let left =
                format!("SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE db = '{name}'");
            let left: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(left)).fetch_all(&server).await.unwrap();
            for connection in left {
                // It may have ended meanwhile.
                let _ = sqlx::raw_sql(AssertSqlSafe(format!("KILL {connection}"))).execute(&server).await;
            }
            run(&server, &format!("DROP DATABASE IF EXISTS {name}")).await;
        });
    }
}

/// What `producer seed` makes. Few dates, so that there are few files.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Customers.
    pub customers: u32,
    /// Products.
    pub products: u32,
    /// Transactions.
    pub transactions: u32,
}

impl Sizes {
    /// Enough for several read partitions.
    pub const MIDDLE: Self = Self { customers: 500, products: 60, transactions: 20_000 };
    /// For tests about something else than the numbers.
    pub const SMALL: Self = Self { customers: 40, products: 10, transactions: 600 };

    /// Fills the source at `url`, `MySQL` or `SQLite`.
    pub async fn seed(&self, url: &str) {
        let [customers, products, transactions] =
            [self.customers, self.products, self.transactions].map(|size| size.to_string());
        let seed = Program::new("producer").args(["seed", "--source", url]).args([
            "--customers",
            &customers,
            "--products",
            &products,
            "--transactions",
            &transactions,
            "--from",
            "2024-02-20",
            "--to",
            "2024-03-11",
        ]);
        let seeded = seed.run().await;
        assert_eq!(seeded.code, 0, "{seeded:#?}");
    }
}

/// Waits until `condition` holds; `otherwise` says what it means if that never happens.
pub async fn until(mut condition: impl AsyncFnMut() -> bool, otherwise: &str) {
    // Longer than the 100 ms for which InnoDB answers from its last view of the running transactions.
    let pause = std::time::Duration::from_millis(250);
    let poll = async {
        while !condition().await {
            tokio::time::sleep(pause).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), poll).await.expect(otherwise);
}

async fn pool(url: &str) -> MySqlPool {
    let options: MySqlConnectOptions = url.parse().unwrap();
    let pool = MySqlPoolOptions::new().max_connections(4).after_connect(|connection, _| {
        Box::pin(
            async move { sqlx::raw_sql("SET SESSION sql_mode = ''").execute(connection).await.map(drop) },
        )
    });
    pool.connect_with(options.timezone(Some("+00:00".to_owned())).charset("utf8mb4"))
        .await
        .unwrap_or_else(|error| panic!("MySQL does not answer: {error}"))
}

async fn run(db: &MySqlPool, sql: &str) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await {
        panic!("{error} in:\n{sql}");
    }
}
