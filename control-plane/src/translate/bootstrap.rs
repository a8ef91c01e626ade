//! The bootstrap of a proxy: who it is, where its configuration comes from, and how it protects itself.

mod status_listener;
mod tls;

use std::net::SocketAddr;

use serde_json::{Value, json};

pub use status_listener::DRAIN_HEADER;
pub use tls::{BootstrapTls, sds_files};

const TYPE: &str = "type.googleapis.com/";

/// What differs between proxies.
#[derive(Clone, Debug)]
pub struct BootstrapParams {
    /// Unique among the Gateway's proxies, for example the Pod's name; empty when `--service-node` says it.
    pub node_id: String,
    /// The Gateway, as `namespace/name`.
    pub cluster: String,
    /// Host of the control plane: a DNS name or an address.
    pub ads_host: String,
    /// Its port.
    pub ads_port: u16,
    /// Mutual TLS of the ADS stream; cleartext when absent.
    pub tls: Option<BootstrapTls>,
    /// How configuration is asked for.
    pub ads_mode: AdsMode,
    /// Where Envoy's admin interface listens; it can change the process, so keep it on loopback.
    pub admin: SocketAddr,
    /// Where `/ready` and `/stats/prometheus`, and nothing else of the admin interface, are served.
    pub status: Option<SocketAddr>,
    /// The hook `/drain` at the status address.
    pub drain: Option<Drain>,
    /// Overload protection.
    pub overload: OverloadLimits,
}

/// A hook that drains the proxy, for `preStop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Whoever asks has to send it in [`DRAIN_HEADER`]: the address is open to the cluster.
    pub token: String,
    /// Shortest time until the hook is answered, for endpoints to disappear from load balancers.
    pub least_seconds: u32,
    /// Longest time.
    pub most_seconds: u32,
}

/// How configuration is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdsMode {
    /// Changes only.
    Delta,
    /// The state of the world.
    Sotw,
}

/// When a proxy begins to refuse work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverloadLimits {
    /// Bytes of heap; 80 to 90 % of the container's memory. `None`: unprotected.
    pub max_heap_bytes: Option<u64>,
    /// Connections from clients.
    pub max_connections: u64,
}

impl Default for OverloadLimits {
    fn default() -> Self {
        Self { max_heap_bytes: None, max_connections: 50_000 }
    }
}

/// The bootstrap, as JSON (which Envoy reads from a file that ends in `.json`). The number of workers is not part of
/// it: pass `--concurrency`.
pub fn bootstrap(params: &BootstrapParams) -> String {
    let mut clusters = vec![ads_cluster(params)];
    let mut listeners = Vec::new();
    if let Some(status) = params.status {
        clusters.push(admin_cluster(params.admin));
        if params.drain.is_some() {
            clusters.push(status_listener::cluster(status));
        }
        listeners.push(status_listener::listener(status, params.drain.as_ref()));
    }
    let source = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let bootstrap = json!({
        "node": {"id": params.node_id, "cluster": params.cluster},
        "admin": {"address": address(params.admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": match params.ads_mode { AdsMode::Delta => "DELTA_GRPC", AdsMode::Sotw => "GRPC" },
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            // Never ready with an empty configuration: wait for the first answer.
            "cds_config": &source,
            "lds_config": &source,
        },
        "static_resources": {"clusters": clusters, "listeners": listeners},
        "stats_config": {"use_all_default_tags": true},
        "deferred_stat_options": {"enable_deferred_creation_stats": true},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {
            // Expressions are checked before they get here; Envoy's own limit refuses whole RouteConfigurations.
            "re2.max_program_size.error_level": 4_294_967_295_u32,
            "re2.max_program_size.warn_level": 1000,
        }}]},
        "overload_manager": overload(params.overload),
    });
    serde_json::to_string_pretty(&bootstrap).expect("maps with string keys")
}

fn address(of: SocketAddr) -> Value {
    socket(&of.ip().to_string(), of.port())
}

fn socket(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

fn assignment(name: &str, address: &Value) -> Value {
    let endpoint = json!({"endpoint": {"address": address}});
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]})
}

fn ads_cluster(params: &BootstrapParams) -> Value {
    let by_address = params.ads_host.parse::<std::net::IpAddr>().is_ok();
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let mut cluster = json!({
        "name": "xds",
        "type": if by_address { "STATIC" } else { "STRICT_DNS" },
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {options: {
            "@type": format!("{TYPE}{options}"),
            "explicit_http_config": {"http2_protocol_options": {
                "connection_keepalive": {"interval": "30s", "timeout": "5s"},
            }},
        }},
        "upstream_connection_options": {"tcp_keepalive": {
            "keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 5,
        }},
        "circuit_breakers": {"thresholds": [
            {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000},
        ]},
        "load_assignment": assignment("xds", &socket(&params.ads_host, params.ads_port)),
    });
    if !by_address {
        cluster["dns_lookup_family"] = json!("ALL");
    }
    if let Some(tls) = &params.tls {
        cluster["transport_socket"] = tls::transport_socket(tls);
    }
    cluster
}

fn admin_cluster(admin: SocketAddr) -> Value {
    json!({
        "name": "admin",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": assignment("admin", &address(admin)),
    })
}

fn overload(limits: OverloadLimits) -> Value {
    let connections = json!({
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": format!(
                "{TYPE}envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
            ),
            "max_active_downstream_connections": limits.max_connections,
        },
    });
    let Some(heap) = limits.max_heap_bytes else {
        return json!({"refresh_interval": "0.25s", "resource_monitors": [connections]});
    };
    let monitor = "envoy.resource_monitors.fixed_heap";
    let at = |value: f64| json!([{"name": monitor, "threshold": {"value": value}}]);
    let between = |from: f64, to: f64| json!([{"name": monitor, "scaled": {"scaling_threshold": from, "saturation_threshold": to}}]);
    let action = |name: &str, triggers: Value| json!({"name": format!("envoy.overload_actions.{name}"), "triggers": triggers});
    let mut reduce = action("reduce_timeouts", between(0.85, 0.95));
    reduce["typed_config"] = json!({
        "@type": format!("{TYPE}envoy.config.overload.v3.ScaleTimersOverloadActionConfig"),
        "timer_scale_factors": [{"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"}],
    });
    let fixed_heap = json!({
        "name": monitor,
        "typed_config": {
            "@type": format!("{TYPE}envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"),
            "max_heap_size_bytes": heap,
        },
    });
    json!({
        "refresh_interval": "0.25s",
        "resource_monitors": [fixed_heap, connections],
        "actions": [
            action("shrink_heap", at(0.90)),
            reduce,
            action("reset_high_memory_stream", between(0.92, 0.98)),
            action("disable_http_keepalive", at(0.95)),
            action("stop_accepting_requests", at(0.98)),
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
    })
}
