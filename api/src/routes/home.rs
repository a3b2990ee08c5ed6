//! `GET /`

use axum::response::Html;

/// What this is, with paths to try.
pub async fn page() -> Html<&'static str> {
    Html(include_str!("home.html"))
}
