//! `GET /openapi.json`, and `GET /docs`, a page to try it that needs nothing from elsewhere.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::routing::get;
use utoipa::openapi::OpenApi;

use crate::app::App;
use crate::openapi;

/// The page loads what this server serves and nothing else.
const POLICY: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The document, the page and its parts.
pub fn router(document: &OpenApi) -> Router<App> {
    let document = openapi::json(document);
    let file = |kind: &'static str, content: &'static str| {
        get(async move || ([(header::CONTENT_TYPE, kind), POLICY], content))
    };
    Router::new()
        .route(
            "/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], document.clone())),
        )
        .route("/docs", file("text/html; charset=utf-8", include_str!("docs_page/page.html")))
        .route("/docs/page.js", file("text/javascript; charset=utf-8", include_str!("docs_page/page.js")))
        .route("/docs/page.css", file("text/css; charset=utf-8", include_str!("docs_page/page.css")))
}
