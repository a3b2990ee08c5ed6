//! A lake and a profile store as the pipelines write them, and an API over them.
#![allow(clippy::unwrap_used, dead_code)] // each test program uses a part of it

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::{ApiArgs, Server};
use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Utc};
use common::lake::{Expect, Lake};
use common::profiles::Profiles;
use common::run::{Shutdown, WriteFence};
use common::schema::{CustomerId, CustomerProfile};
use common::settings::{LakeArgs, ProfilesArgs};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// An API over an empty lake and an empty profile store of its own.
pub struct TestApi {
    pub lake: Lake,
    pub folder: TempDir,
    address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }

    pub fn list(&self, name: &str) -> Vec<serde_json::Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["data"][name].as_array().unwrap().clone()
    }
}

impl TestApi {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profiles = format!("sqlite://{}", folder.path().join("profiles.db").display());
        Self::with_profiles(folder, &profiles).await
    }

    pub async fn with_profiles(folder: TempDir, profiles: &str) -> Self {
        let lake_url = format!("file://{}", folder.path().join("lake").display());
        let args = ApiArgs {
            listen: "127.0.0.1:0".to_owned(),
            api_keys_file: None,
            insecure: false,
            request_timeout: Duration::from_secs(10),
            max_in_flight: 64,
            profiles: ProfilesArgs { profiles: profiles.parse().unwrap() },
            lake: LakeArgs { lake: lake_url.parse().unwrap() },
        };
        let lake = Lake::open(&args.lake.lake).await.unwrap();
        let server = Server::bind(&args).await.unwrap();
        let (address, shutdown) = (server.address(), Shutdown::manual());
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move { server.run(&stop).await });
        Self { lake, folder, address, shutdown, serving }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path).await
    }

    pub async fn send(&self, method: &'static str, path: &str) -> Answer {
        let (address, path) = (self.address, path.to_owned());
        tokio::task::spawn_blocking(move || request(address, method, &path)).await.unwrap()
    }

    /// Sends a request and leaves its answer to be read.
    pub fn begin(&self, path: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).unwrap();
        write!(connection, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
        connection
    }

    pub async fn write(&self, path: &str, content: Vec<u8>) {
        self.lake.put(path, content.into(), &Expect::Any).await.unwrap();
    }

    /// Ends the server as a signal would, and waits for it.
    pub async fn stop(self) {
        self.shutdown.request();
        self.serving.await.unwrap();
    }
}

/// HTTP/1.0, so that every answer ends with its connection.
pub fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "{method} {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (headers, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers: headers.to_lowercase(), body: body.to_owned() }
}

#[derive(Clone)]
pub struct EventRow {
    pub id: String,
    pub customer: i32,
    pub kind: &'static str,
    pub product: Option<i32>,
    pub at: DateTime<Utc>,
    pub ingested: DateTime<Utc>,
}

pub fn event(id: &str, customer: i32, at: &str) -> EventRow {
    let at: DateTime<Utc> = at.parse().unwrap();
    EventRow { id: id.to_owned(), customer, kind: "PAGE_VIEW", product: Some(7), at, ingested: at }
}

/// As pipeline C writes: sorted by customer, small row groups.
pub fn events_file(mut rows: Vec<EventRow>, group_rows: usize) -> Vec<u8> {
    rows.sort_by_key(|row| row.customer);
    let times = |time: fn(&EventRow) -> DateTime<Utc>| -> ArrayRef {
        let micros = rows.iter().map(|row| time(row).timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("event_id", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.id))), false),
        ("customer_id", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.customer))), false),
        ("event_type", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.kind))), false),
        ("product_id", Arc::new(rows.iter().map(|row| row.product).collect::<Int32Array>()), true),
        ("event_timestamp", times(|row| row.at), false),
        ("ingestion_timestamp", times(|row| row.ingested), false),
    ];
    parquet_file(columns, group_rows)
}

pub struct SummaryRow(pub i32, pub f64, pub i32, pub i32, pub &'static str);

/// As pipeline B writes: sorted by customer.
pub fn summary_file(rows: &[SummaryRow], group_rows: usize) -> Vec<u8> {
    let ints = |of: fn(&SummaryRow) -> i32| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<Int32Array>())
    };
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("customer_id", ints(|row| row.0), false),
        ("total_amount", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1))), false),
        ("total_items", ints(|row| row.2), false),
        ("distinct_products", ints(|row| row.3), false),
        ("top_category", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.4))), false),
    ];
    parquet_file(columns, group_rows)
}

fn parquet_file(columns: Vec<(&str, ArrayRef, bool)>, group_rows: usize) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

pub fn profile(id: i32) -> CustomerProfile {
    CustomerProfile {
        customer_id: CustomerId(id),
        name: format!("Customer_{id}"),
        email: format!("customer_{id}@example.com"),
        gender: "M".to_owned(),
        total_spend: "143949.50".parse().unwrap(),
        total_transactions: 6,
        avg_order_value: "23991.58".parse().unwrap(),
        first_purchase: "2022-03-07T06:30:00Z".parse().unwrap(),
        last_purchase: "2024-05-18T18:17:40Z".parse().unwrap(),
        favorite_category: "Grocery".to_owned(),
    }
}

pub async fn write_profiles(database: &Path, profiles: &[CustomerProfile]) {
    let store = Profiles::open(&format!("sqlite://{}", database.display()).parse().unwrap()).await.unwrap();
    store.create_table().await.unwrap();
    store.put(profiles, &WriteFence::new(1, Duration::MAX), 8).await.unwrap();
}

/// Asks until the answer is as awaited; panics after `patience`.
pub async fn until(
    api: &TestApi,
    path: &str,
    patience: Duration,
    awaited: impl Fn(&Answer) -> bool,
) -> Answer {
    let asking = async {
        loop {
            let answer = api.get(path).await;
            if awaited(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, asking)
        .await
        .unwrap_or_else(|_| panic!("{path} did not change in {patience:?}"))
}
