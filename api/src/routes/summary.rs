//! `GET /summary/:date` and `GET /summary/:date/:customerId`

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::envelope::{self, Failure, NoData, Success};
use crate::error::ApiError;
use crate::lake_reader::{Page, Summary, SummaryPages};
use crate::openapi::StoreFailures;
use crate::params::{self, PathOf, Query};

/// Written piece by piece in this form.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code)]
struct SummariesData<'a> {
    summaries: Vec<SummaryRow<'a>>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
struct SummaryData<'a> {
    summary: SummaryRow<'a>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
struct SummaryRow<'a> {
    date: NaiveDate,
    customer_id: i32,
    total_amount: f64,
    total_items: i32,
    distinct_products: i32,
    #[schema(required)]
    top_category: Option<&'a str>,
}

/// One customer's summary of one day.
#[utoipa::path(
    get,
    path = "/summary/{date}/{customer_id}",
    params(
        ("date" = NaiveDate, Path, description = "Day, UTC"),
        ("customer_id" = i32, Path, description = "Customer id"),
    ),
    responses(
        (status = 200, description = "The summary", body = Success<SummaryData>),
        (status = 400, description = "`invalid_date_format` or `invalid_customer_id`", body = Failure<NoData>),
        (status = 404, description = "`not-found`: the customer bought nothing on this day", body = Failure<NoData>),
        StoreFailures,
    ),
)]
pub async fn of_customer(
    State(app): State<App>,
    path: PathOf<(String, String)>,
) -> Result<Response, ApiError> {
    let Path((date, id)) = path.map_err(|_| ApiError::InvalidDate)?;
    let date = params::date(&date).ok_or(ApiError::InvalidDate)?;
    let customer = params::customer_id(&id)?;
    let found = app.lake.summary(date, customer).await?.ok_or(ApiError::NotFound)?;
    let summary = SummaryRow::of(date, &found);
    envelope::success("Daily transaction summary retrieved successfully", &SummaryData { summary })
}

/// Everybody's summaries of one day, by customer; `limit` and `offset` take a part. Written as it is read, so that
/// a day of any size takes little memory.
#[utoipa::path(
    get,
    path = "/summary/{date}",
    params(
        ("date" = NaiveDate, Path, description = "Day, UTC"),
        ("limit" = Option<u64>, Query, description = "Most summaries in the answer; all if absent", minimum = 1),
        ("offset" = Option<u64>, Query, description = "Summaries to leave out before the first", minimum = 0),
    ),
    responses(
        (status = 200, description = "By customer", body = Success<SummariesData>),
        (status = 400, description = "`invalid_date_format` or `invalid_limit`", body = Failure<NoData>),
        (status = 404, description = "`not-found`: nothing was bought on this day", body = Failure<NoData>),
        StoreFailures,
    ),
)]
pub async fn of_date(
    State(app): State<App>,
    path: PathOf<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let Path(date) = path.map_err(|_| ApiError::InvalidDate)?;
    let date = params::date(&date).ok_or(ApiError::InvalidDate)?;
    let query = Query::new(query.as_deref());
    let limit = query.get("limit", |text| params::count(text, 1, usize::MAX), || ApiError::InvalidLimit)?;
    let offset = query.get("offset", |text| params::count(text, 0, usize::MAX), || ApiError::InvalidLimit)?;
    let page = Page { offset: offset.unwrap_or(0), limit };

    let pages = app.lake.summaries(date, page).await?.ok_or(ApiError::NotFound)?;
    Ok(envelope::json(StatusCode::OK, body(date, pages).await?))
}

/// The first rows are read before the status is sent, so that what goes wrong mostly shows in it; an error after
/// that breaks the connection off, which no client takes for a whole answer.
async fn body(date: NaiveDate, mut pages: SummaryPages) -> Result<Body, ApiError> {
    let (head, tail) =
        envelope::around_list("Daily transaction summaries retrieved successfully", "summaries");
    let mut start = head.into_bytes();
    if let Some(first) = pages.try_next().await? {
        write_rows(&mut start, date, first.rows(), false)?;
    }
    let Some(second) = pages.try_next().await? else {
        start.extend_from_slice(tail.as_bytes());
        return Ok(start.into());
    };
    let rest = stream::once(async { Ok(second) }).chain(pages).map(move |page| {
        let mut chunk = Vec::new();
        let written =
            page.map_err(ApiError::from).and_then(|page| write_rows(&mut chunk, date, page.rows(), true));
        written
            .map(|()| Bytes::from(chunk))
            .inspect_err(|error| tracing::error!(%date, "answer broken off: {error}"))
    });
    let start = stream::once(async { Ok(Bytes::from(start)) });
    let end = stream::once(async { Ok(Bytes::from_static(tail.as_bytes())) });
    Ok(Body::from_stream(start.chain(rest).chain(end)))
}

fn write_rows(
    json: &mut Vec<u8>,
    date: NaiveDate,
    rows: &[Summary],
    continued: bool,
) -> Result<(), ApiError> {
    for (at, row) in rows.iter().enumerate() {
        if continued || at > 0 {
            json.push(b',');
        }
        serde_json::to_writer(&mut *json, &SummaryRow::of(date, row))
            .map_err(|error| ApiError::Internal(format!("cannot write the answer as JSON: {error}")))?;
    }
    Ok(())
}

impl<'a> SummaryRow<'a> {
    fn of(date: NaiveDate, summary: &'a Summary) -> Self {
        Self {
            date,
            customer_id: summary.customer.0,
            total_amount: summary.total_amount,
            total_items: summary.total_items,
            distinct_products: summary.distinct_products,
            top_category: summary.top_category.as_deref(),
        }
    }
}
