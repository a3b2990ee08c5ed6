//! What handlers share, and which path goes to which.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::error::ApiError;
use crate::lake_reader::LakeReader;
use crate::observe::observe;
use crate::profile_store::ProfileStore;
use crate::routes::{customer, events, health, home, metrics, summary};

/// The stores behind the endpoints.
#[derive(Clone)]
pub struct App {
    pub profiles: Arc<ProfileStore>,
    pub lake: Arc<LakeReader>,
    pub metrics: PrometheusHandle,
}

/// Every path of the contract.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(home::page))
        .route("/customer/{id}", get(customer::profile))
        .route("/summary/{date}", get(summary::of_date))
        .route("/summary/{date}/{customer_id}", get(summary::of_customer))
        .route("/events/{customer_id}", get(events::of_customer))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::text))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(from_fn(observe))
        .with_state(app)
}
