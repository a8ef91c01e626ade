//! The admin interface of a local Envoy: drain, load and health, over HTTP on loopback.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::admin_interface;

/// Where an Envoy's admin interface listens: Envoy writes it to the file of `--admin-address-path`.
///
/// # Errors
/// When Envoy has not written it yet.
pub fn address(path: &Path) -> Result<SocketAddr> {
    admin_interface::address(path, " yet")
}

/// Asks the Envoy to close its listeners once their requests are done.
///
/// # Errors
/// When it does not answer.
pub async fn drain(admin: SocketAddr) -> Result<()> {
    call(admin, Method::POST, "/drain_listeners?graceful&skip_exit").await.map(drop)
}

/// Requests that are being answered.
///
/// # Errors
/// When the Envoy does not answer.
pub async fn active_requests(admin: SocketAddr) -> Result<u64> {
    let body = call(admin, Method::GET, "/stats?filter=http.http-.*downstream_rq_active&format=json").await?;
    let stats: Value = serde_json::from_slice(&body)?;
    let stats = stats["stats"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(stats.iter().filter_map(|stat| stat["value"].as_u64()).sum())
}

/// Names of clusters that have hosts, none of which is healthy, among those whose name starts with `prefix`.
///
/// # Errors
/// When the Envoy does not answer.
pub async fn unhealthy_clusters(admin: SocketAddr, prefix: &str) -> Result<Vec<String>> {
    let body = call(admin, Method::GET, "/clusters?format=json").await?;
    let clusters: Value = serde_json::from_slice(&body)?;
    let clusters = clusters["cluster_statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let unhealthy = clusters.iter().filter(|cluster| {
        let hosts = cluster["host_statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
        !hosts.iter().any(|host| {
            let health = host["health_status"].as_object();
            health.is_some_and(|h| {
                !h.keys().any(|k| k.starts_with("failed_"))
                    && h.get("eds_health_status").is_none_or(|s| s == "HEALTHY")
            })
        })
    });
    let names = unhealthy.filter_map(|cluster| cluster["name"].as_str());
    Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
}

async fn call(admin: SocketAddr, method: Method, path: &str) -> Result<Bytes> {
    let exchange = admin_interface::ask(admin, method, path);
    let (status, body) = tokio::time::timeout(Duration::from_secs(2), exchange)
        .await
        .context("Envoy's admin interface does not answer")??;
    if !status.is_success() {
        bail!("Envoy's admin interface answered {status} to {path}");
    }
    Ok(body)
}
