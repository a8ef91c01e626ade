//! Clusters: CDS.

use std::time::Duration;

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                CircuitBreakers, Cluster as PbCluster, UpstreamConnectionOptions,
                circuit_breakers::{Thresholds, thresholds::RetryBudget},
                cluster::{ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy},
            },
            core::v3::{
                HealthCheck, Http2ProtocolOptions, HttpProtocolOptions as CommonOptions, KeepaliveSettings,
                TcpKeepalive,
                health_check::{GrpcHealthCheck, HealthChecker, TcpHealthCheck},
            },
        },
        extensions::upstreams::http::v3::{
            HttpProtocolOptions,
            http_protocol_options::{
                ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
            },
        },
        r#type::v3::Percent,
    },
    google::protobuf::Any,
};

use super::{
    lb_policy, names, tls,
    value::{ads, any, duration, millis, seconds, uint32},
};
use crate::gateway::ir::{Cluster, PickerSecurity, Protocol, Upstream};

/// Streams last minutes: Envoy's default of 1,024 requests would be an outage, not a protection.
const NO_LIMIT: u32 = 1_000_000;

/// Below the 5 s after which uvicorn and Node.js close idle connections: a request sent into that close fails.
const HTTP1_IDLE: Duration = Duration::from_secs(4);

/// The resource.
pub(super) fn cluster(cluster: &Cluster) -> PbCluster {
    let name = cluster.name.as_str();
    let mut resource = PbCluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        // Unique per cluster: Envoy asks only once for a name that two clusters share.
        eds_cluster_config: Some(EdsClusterConfig { eds_config: ads(), service_name: name.to_owned() }),
        connect_timeout: seconds(2),
        per_connection_buffer_limit_bytes: uint32(32 << 10),
        lb_policy: LbPolicy::LoadBalancingPolicyConfig.into(),
        load_balancing_policy: Some(lb_policy::least_request()),
        ignore_health_on_host_removal: true,
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            update_merge_window: seconds(0),
            ..Default::default()
        }),
        circuit_breakers: Some(limits()),
        upstream_connection_options: Some(UpstreamConnectionOptions {
            tcp_keepalive: Some(TcpKeepalive {
                keepalive_probes: uint32(3),
                keepalive_time: uint32(30),
                keepalive_interval: uint32(5),
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut protocol = cluster.protocol;
    match &cluster.upstream {
        Upstream::Pool(_, Some(_)) => resource.load_balancing_policy = Some(lb_policy::picked()),
        Upstream::Pool(_, None) | Upstream::Service(..) => {}
        Upstream::Picker(service, port, security) => {
            protocol = Protocol::Http2;
            let authority = names::authority(service, *port);
            resource.health_checks.push(picker_health(security.is_ours().then_some(authority)));
            resource.transport_socket = match security {
                PickerSecurity::TlsVerified => Some(tls::verified(&service.service_host())),
                PickerSecurity::TlsUnverified | PickerSecurity::TlsSelfSigned => Some(tls::unverified()),
                PickerSecurity::Cleartext | PickerSecurity::TlsByPolicy => None,
            };
        }
    }
    if let Some(policy) = &cluster.tls {
        let alpn = if protocol == Protocol::Http2 { "h2" } else { "http/1.1" };
        resource.transport_socket = Some(tls::by_policy(policy, alpn));
    }
    resource.typed_extension_protocol_options = [(OPTIONS.to_owned(), options(protocol))].into();
    resource
}

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn limits() -> CircuitBreakers {
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: uint32(NO_LIMIT),
            max_pending_requests: uint32(NO_LIMIT),
            max_requests: uint32(NO_LIMIT),
            retry_budget: Some(RetryBudget {
                budget_percent: Some(Percent { value: 20.0 }),
                min_retry_concurrency: uint32(10),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn options(protocol: Protocol) -> Any {
    let (config, idle) = match protocol {
        Protocol::Http1 | Protocol::WebSocket => {
            (ProtocolConfig::HttpProtocolOptions(Default::default()), HTTP1_IDLE)
        }
        Protocol::Http2 => {
            let keepalive =
                KeepaliveSettings { interval: seconds(30), timeout: seconds(5), ..Default::default() };
            let http2 = Http2ProtocolOptions { connection_keepalive: Some(keepalive), ..Default::default() };
            (ProtocolConfig::Http2ProtocolOptions(http2), Duration::from_secs(3600))
        }
    };
    any(&HttpProtocolOptions {
        common_http_protocol_options: Some(CommonOptions {
            idle_timeout: Some(duration(idle)),
            ..Default::default()
        }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })),
        ..Default::default()
    })
}

/// Envoy has to know beforehand that a picker is down: once a stream has begun it cannot fail open any more. Ours are
/// asked, by this authority; what others say of their health, and on which port, no standard tells, so these only have
/// to accept a connection.
fn picker_health(ours: Option<String>) -> HealthCheck {
    let checker = match ours {
        Some(authority) => HealthChecker::GrpcHealthCheck(GrpcHealthCheck {
            service_name: "envoy.service.ext_proc.v3.ExternalProcessor".to_owned(),
            authority,
            ..Default::default()
        }),
        None => HealthChecker::TcpHealthCheck(TcpHealthCheck::default()),
    };
    HealthCheck {
        timeout: millis(500),
        interval: seconds(1),
        no_traffic_interval: seconds(1),
        interval_jitter_percent: 10,
        unhealthy_threshold: uint32(1),
        healthy_threshold: uint32(1),
        health_checker: Some(checker),
        ..Default::default()
    }
}
