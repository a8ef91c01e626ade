//! The HTTP port for people, kubelets and monitors: /healthz, /readyz, /metrics, /status.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// What the port shows. Clones share state.
#[derive(Clone)]
pub struct Admin {
    registry: Arc<Registry>,
    waits_for: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    overview: watch::Receiver<String>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// A port that shows the metrics of `registry`, what the process `waits_for` until it is ready (one line each;
    /// none: ready), and the latest `overview` (JSON).
    pub fn new(
        registry: Registry,
        waits_for: impl Fn() -> Vec<String> + Send + Sync + 'static,
        overview: watch::Receiver<String>,
    ) -> Self {
        Self { registry: Arc::new(registry), waits_for: Arc::new(waits_for), overview }
    }
}

/// Serves the port until `cancel`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, admin: Admin, cancel: CancellationToken) -> anyhow::Result<()> {
    axum::serve(listener, router(admin)).with_graceful_shutdown(cancel.cancelled_owned()).await?;
    Ok(())
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    let waits_for = (admin.waits_for)();
    if waits_for.is_empty() {
        return "ready\n".into_response();
    }
    let lines: String = waits_for.iter().map(|line| format!("waiting for {line}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn status(State(admin): State<Admin>) -> Response {
    let text = admin.overview.borrow().clone();
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::body::to_bytes;
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    async fn text(response: Response) -> (StatusCode, String) {
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_says_what_is_waited_for_and_what_was_counted() {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        counter.inc();
        registry.register("things", "Things", counter);
        let synced = Arc::new(AtomicBool::new(false));
        let seen = synced.clone();
        let waits_for = move || match seen.load(Ordering::Relaxed) {
            true => Vec::new(),
            false => vec!["HTTPRoutes".to_owned()],
        };
        let (overview, heard) = watch::channel(String::new());
        let admin = Admin::new(registry, waits_for, heard);

        let (code, body) = text(ready(State(admin.clone())).await).await;
        assert_eq!((code, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "waiting for HTTPRoutes\n"));
        synced.store(true, Ordering::Relaxed);
        assert_eq!(text(ready(State(admin.clone())).await).await.0, StatusCode::OK);
        assert!(text(metrics(State(admin.clone())).await).await.1.contains("things_total 1"));
        overview.send_replace("{}".into());
        assert_eq!(text(status(State(admin)).await).await.1, "{}");
    }
}
