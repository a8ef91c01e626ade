//! An Envoy without us: a listener, one route, the same model servers in turn.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::Result;
use serde_json::{Value, json};

use crate::figures::{child::Child, context::Context};

const TYPE: &str = "type.googleapis.com/envoy.extensions.filters";

/// Starts it; it listens when this returns.
///
/// # Errors
/// When it does not start.
pub(super) async fn start(
    context: &Context,
    listen: SocketAddr,
    pods: &[SocketAddr],
    dir: &Path,
) -> Result<Child> {
    let file = dir.join("alone.json");
    fs::write(&file, serde_json::to_vec_pretty(&bootstrap(listen, pods))?)?;
    let mut child = context.envoy("envoy-alone", &file, dir)?;
    child.until_listening(listen).await?;
    Ok(child)
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn bootstrap(listen: SocketAddr, pods: &[SocketAddr]) -> Value {
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "pods", "timeout": "0s"}});
    let manager = json!({
        "@type": format!("{TYPE}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "alone",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{TYPE}.http.router.v3.Router")},
        }],
    });
    let chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    }]});
    let endpoints: Vec<_> = pods.iter().map(|pod| json!({"endpoint": {"address": socket(*pod)}})).collect();
    json!({
        "admin": {"address": socket(SocketAddr::new(listen.ip(), 0))},
        "static_resources": {
            "listeners": [{"name": "alone", "address": socket(listen), "filter_chains": [chain]}],
            "clusters": [{
                "name": "pods",
                "type": "STATIC",
                "connect_timeout": "2s",
                "load_assignment": {"cluster_name": "pods", "endpoints": [{"lb_endpoints": endpoints}]},
            }],
        },
    })
}
