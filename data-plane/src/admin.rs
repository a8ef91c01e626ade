//! The HTTP port for people and monitors.
//!
//! | path | |
//! |---|---|
//! | `/metrics` | OpenMetrics text |
//! | `/healthz`, `/readyz` | for probes |
//! | `/explain?pool=NAMESPACE/NAME&limit=50` | the newest recorded decisions of a pool, or of all, one object each |
//! | `/explain/REQUEST_ID` | the decisions of a request with every endpoint's verdict and seconds; 404 says how to have one recorded |
//! | `/debug/pools` | pools and endpoints as they are |

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::decisions::{self, Kept};
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
        .route("/explain", get(newest))
        .route("/explain/{request}", get(explain))
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
                "inFlightOfPeers": e.slot.in_flight_of_peers(),
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

/// What of the newest decisions is shown.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Newest {
    pool: Option<String>,
    limit: usize,
}

impl Default for Newest {
    fn default() -> Self {
        Self { pool: None, limit: 50 }
    }
}

async fn newest(State(admin): State<Admin>, Query(newest): Query<Newest>) -> Json<Value> {
    let now = now();
    let Kept { records, bytes, oldest } = admin.lanes.decisions.kept(now);
    let found = admin.lanes.decisions.newest(newest.pool.as_deref(), newest.limit);
    Json(json!({
        "kept": records,
        "keptBytes": bytes,
        "oldestAge": oldest.map(|age| age.as_secs_f64()),
        "decisions": found.iter().map(|record| decisions::row(record, now)).collect::<Vec<_>>(),
    }))
}

async fn explain(State(admin): State<Admin>, Path(request): Path<String>) -> Response {
    let now = now();
    let found = admin.lanes.decisions.of(&request);
    if found.is_empty() {
        let message = admin.lanes.decisions.missing(&request, now);
        return (StatusCode::NOT_FOUND, Json(json!({ "message": message }))).into_response();
    }
    let found: Vec<Value> = found.iter().map(|record| decisions::decision(record, now)).collect();
    Json(json!({ "decisions": found })).into_response()
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
