//! Which address gives what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};

use super::assets::{ASSETS, INDEX};
use super::guard::{Guard, guard};
use super::serve::Shared;
use super::{api, export, feed, import};

/// Everything, behind the guard. The first part of every address is the token, which the guard has
/// looked at: routes take any.
pub(super) fn router(shared: Arc<Shared>, guarded: Guard) -> Router {
    let mut routes = Router::new()
        .route("/{token}", get(whole))
        .route("/{token}/", file("text/html; charset=utf-8", INDEX))
        .route("/{token}/api/state", get(api::state))
        .route("/{token}/api/events", get(feed::events))
        .route("/{token}/api/match", get(api::matching))
        .route("/{token}/api/exchange/{id}", get(api::exchange))
        .route("/{token}/api/har", get(export::har))
        .route("/{token}/api/import", post(import::import));
    for asset in ASSETS {
        let path = format!("/{{token}}/{}", asset.name);
        routes = routes.route(&path, file(asset.kind, asset.content));
    }
    routes
        .fallback(missing)
        .with_state(shared)
        // Bodies are read by `import` alone, which has a bound of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::new(guarded), guard))
}

fn file<S: Clone + Send + Sync + 'static>(
    kind: &'static str,
    content: &'static str,
) -> MethodRouter<S> {
    get(move || async move { ([(header::CONTENT_TYPE, kind)], content) })
}

/// The page's address without its last slash.
async fn whole(Path(token): Path<String>) -> Response {
    let to = [(header::LOCATION, format!("/{token}/"))];
    (StatusCode::PERMANENT_REDIRECT, to).into_response()
}

async fn missing() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "no such page\n")
}
