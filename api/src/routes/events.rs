//! `GET /events/:customerId?fromDate&toDate&limit&order`

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::envelope::{self, Failure, NoData, Success};
use crate::error::ApiError;
use crate::json::Timestamp;
use crate::lake_reader::{Event, EventQuery, MAX_EVENTS, Order};
use crate::openapi::StoreFailures;
use crate::params::{self, PathOf, Query};

/// Events in an answer unless `limit` says otherwise.
const DEFAULT_EVENTS: usize = 100;

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
struct EventsData<'a> {
    events: Vec<EventData<'a>>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
struct EventData<'a> {
    date: NaiveDate,
    event_id: &'a str,
    customer_id: i32,
    event_type: &'a str,
    #[schema(required)]
    product_id: Option<i32>,
    event_timestamp: Timestamp,
    ingestion_timestamp: Timestamp,
}

/// A customer's events in the order of their time; 404 when there are none in these dates.
#[utoipa::path(
    get,
    path = "/events/{customer_id}",
    params(
        ("customer_id" = i32, Path, description = "Customer id"),
        ("fromDate" = Option<NaiveDate>, Query, description = "First date, inclusive"),
        ("toDate" = Option<NaiveDate>, Query, description = "Last date, inclusive"),
        ("limit" = Option<u16>, Query, description = "Most events in the answer; 100 if absent", minimum = 1, maximum = 1000),
        ("order" = Option<String>, Query, description = "`desc` for the newest first"),
    ),
    responses(
        (status = 200, description = "By time, then id", body = Success<EventsData>),
        (status = 400, description = "`invalid_customer_id`, `invalid_fromDate_format`, `invalid_toDate_format` or `invalid_limit`", body = Failure<NoData>),
        (status = 404, description = "`not-found`: no events in these dates", body = Failure<NoData>),
        StoreFailures,
    ),
)]
pub async fn of_customer(
    State(app): State<App>,
    path: PathOf<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let Path(id) = path.map_err(|_| ApiError::InvalidCustomerId)?;
    let customer = params::customer_id(&id)?;
    let query = Query::new(query.as_deref());
    let from = query.get("fromDate", params::date, || ApiError::InvalidFromDate)?;
    let to = query.get("toDate", params::date, || ApiError::InvalidToDate)?;
    let limit = query.get("limit", |text| params::count(text, 1, MAX_EVENTS), || ApiError::InvalidLimit)?;
    let order = query.text("order").map_or(Order::Ascending, order);

    let wanted = EventQuery { customer, from, to, limit: limit.unwrap_or(DEFAULT_EVENTS), order };
    let events = app.lake.events(&wanted).await?;
    if events.is_empty() {
        return Err(ApiError::NotFound);
    }
    let events = events.iter().map(EventData::from).collect();
    envelope::success("Customer events retrieved successfully", &EventsData { events })
}

/// The contract knows one order by name; anything else leaves the default.
fn order(text: &str) -> Order {
    if text.eq_ignore_ascii_case("desc") { Order::Descending } else { Order::Ascending }
}

impl<'a> From<&'a Event> for EventData<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            date: event.date,
            event_id: &event.event_id,
            customer_id: event.customer.0,
            event_type: &event.event_type,
            product_id: event.product_id,
            event_timestamp: Timestamp(event.event_timestamp),
            ingestion_timestamp: Timestamp(event.ingestion_timestamp),
        }
    }
}
