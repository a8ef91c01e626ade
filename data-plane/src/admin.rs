//! The HTTP port for people and monitors: /metrics, /healthz, /readyz, /debug/pools.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::extproc::health::Health;
use crate::extproc::lane::Lanes;

/// What the port shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Pools and metrics.
    pub lanes: Arc<Lanes>,
    /// Health.
    pub health: Health,
}

/// The routes of the port.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/debug/pools", get(pools))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    admin.lanes.observe();
    ([(CONTENT_TYPE, text)], admin.lanes.metrics.encode()).into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.health.is_ready() {
        return "ready\n".into_response();
    }
    let why = if admin.lanes.pools().is_synced() { "draining\n" } else { "waiting for the pools\n" };
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

async fn pools(State(admin): State<Admin>) -> Json<Value> {
    let (in_flight, waiting) = (admin.lanes.in_flight(), admin.lanes.waiting());
    let pool = |pool: Arc<crate::pool::Pool>| {
        let key = pool.key().to_string();
        let snapshot = pool.snapshot();
        let endpoint = |e: &crate::pool::Endpoint| {
            json!({
                "address": e.address(), "pod": e.pod, "ready": e.ready, "engine": e.engine,
                "accelerator": e.accelerator, "inFlight": e.slot.in_flight(),
            })
        };
        json!({
            "inFlight": in_flight.get(&key).copied().unwrap_or(0),
            "waiting": waiting.get(&key).copied().unwrap_or(0),
            "name": key,
            "revision": format!("{:016x}", snapshot.revision),
            "endpoints": snapshot.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        })
    };
    let pools: Vec<Value> = admin.lanes.pools().all().into_iter().map(pool).collect();
    Json(json!({ "synced": admin.lanes.pools().is_synced(), "pools": pools }))
}
