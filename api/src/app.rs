//! What handlers share, and which path goes to which.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api_keys::{self, ApiKeys};
use crate::config::ApiArgs;
use crate::error::ApiError;
use crate::lake_reader::LakeReader;
use crate::limits::{in_flight, path_length};
use crate::observe::observe;
use crate::openapi;
use crate::profile_store::ProfileStore;
use crate::routes::{customer, docs, events, health, home, metrics, summary};

/// The stores behind the endpoints.
#[derive(Clone)]
pub struct App {
    pub profiles: Arc<ProfileStore>,
    pub lake: Arc<LakeReader>,
    pub metrics: PrometheusHandle,
}

/// Every path of the contract; those with data in them ask for a key where there are keys.
pub fn router(app: App, keys: Option<Arc<ApiKeys>>, args: &ApiArgs) -> Router {
    let (data, of_data) = data(keys, args).split_for_parts();
    let (open, mut document) = open().split_for_parts();
    document.merge(of_data);
    open.merge(data)
        .merge(docs::router(&document))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(from_fn(path_length))
        .layer(from_fn_with_state(args.request_timeout, observe))
        .with_state(app)
}

/// Says nothing about customers; load balancers and browsers come without a key.
fn open() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::document())
        .route("/", get(home::page))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
}

fn data(keys: Option<Arc<ApiKeys>>, args: &ApiArgs) -> OpenApiRouter<App> {
    let slots = Arc::new(Semaphore::new(args.max_in_flight.into()));
    let data = OpenApiRouter::default()
        .routes(routes!(customer::profile))
        .routes(routes!(summary::of_date))
        .routes(routes!(summary::of_customer))
        .routes(routes!(events::of_customer))
        .route_layer(from_fn_with_state(slots, in_flight))
        .routes(routes!(metrics::text));
    let Some(keys) = keys else { return data };
    let mut data = data.route_layer(from_fn_with_state(keys, api_keys::authorize));
    openapi::ask_for_keys(data.get_openapi_mut());
    data
}
