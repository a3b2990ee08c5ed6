//! `GET /customer/:id`

use axum::extract::{Path, State};
use axum::response::Response;
use common::schema::CustomerProfile;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::envelope::{self, Failure, NoData, Success};
use crate::error::ApiError;
use crate::json::{Money, Timestamp};
use crate::openapi::StoreFailures;
use crate::params::{self, PathOf};

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
struct ProfileData {
    customer_id: i32,
    name: String,
    email: String,
    gender: String,
    total_spend: Money,
    total_transactions: i32,
    avg_order_value: Money,
    first_purchase: Timestamp,
    last_purchase: Timestamp,
    favorite_category: String,
}

/// One customer's profile.
#[utoipa::path(
    get,
    path = "/customer/{id}",
    params(("id" = i32, Path, description = "Customer id")),
    responses(
        (status = 200, description = "The profile", body = Success<ProfileData>),
        (status = 400, description = "`invalid_customer_id`", body = Failure<NoData>),
        (status = 404, description = "`not-found`: no such customer, or nothing accepted from them yet", body = Failure<NoData>),
        StoreFailures,
    ),
)]
pub async fn profile(State(app): State<App>, path: PathOf<String>) -> Result<Response, ApiError> {
    let Path(id) = path.map_err(|_| ApiError::InvalidCustomerId)?;
    let profile = app.profiles.get(params::customer_id(&id)?).await?.ok_or(ApiError::NotFound)?;
    envelope::success("Customer profile retrieved successfully", &ProfileData::from(profile))
}

impl From<CustomerProfile> for ProfileData {
    fn from(profile: CustomerProfile) -> Self {
        Self {
            customer_id: profile.customer_id.0,
            name: profile.name,
            email: profile.email,
            gender: profile.gender,
            total_spend: Money(profile.total_spend),
            total_transactions: profile.total_transactions,
            avg_order_value: Money(profile.avg_order_value),
            first_purchase: Timestamp(profile.first_purchase),
            last_purchase: Timestamp(profile.last_purchase),
            favorite_category: profile.favorite_category,
        }
    }
}
