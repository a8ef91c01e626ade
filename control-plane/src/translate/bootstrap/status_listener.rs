//! The listener that answers probes, scrapes and the hook that runs before a Pod ends; it is served even when the
//! proxy is overloaded or drains.
//!
//! ```text
//! /ready, /stats/prometheus ─▶ admin
//! /drain with the token ─▶ Lua: drain Gateway listeners ─▶ every second: are requests active? ─▶ 200
//! ```
//!
//! Envoy ends at once on SIGTERM, the admin interface takes only POST and is on loopback, and the image has neither
//! a shell nor curl: the hook is a GET that is answered when the proxy may end. Lua cannot sleep; it asks this
//! listener for `/sleep`, which a fault delays. Only listeners of Gateways are inbound, so this one stays open.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Drain, TYPE, address, assignment};

const SCRIPT: &str = include_str!("drain.lua");
const FAULT: &str = "envoy.filters.http.fault";
const LUA: &str = "envoy.filters.http.lua";

/// The header that carries [`Drain::token`].
pub const DRAIN_HEADER: &str = "x-signalbox-drain";

/// The cluster by which the proxy reaches this listener itself.
pub(super) fn cluster(at: SocketAddr) -> Value {
    let ip: std::net::IpAddr = match at.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    json!({
        "name": "status",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": assignment("status", &address(SocketAddr::new(ip, at.port()))),
    })
}

pub(super) fn listener(at: SocketAddr, drain: Option<&Drain>) -> Value {
    let route = |path: &str| json!({"match": {"path": path}, "route": {"cluster": "admin"}});
    let mut routes = vec![route("/ready"), route("/stats/prometheus")];
    let mut filters = Vec::new();
    if let Some(drain) = drain {
        routes.extend(drain_routes(drain));
        let filter = |name: &str, kind: &str| json!({"name": name, "typed_config": {"@type": format!("{TYPE}envoy.extensions.filters.http.{kind}")}});
        filters.extend([filter(LUA, "lua.v3.Lua"), filter(FAULT, "fault.v3.HTTPFault")]);
    }
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": format!("{TYPE}envoy.extensions.filters.http.router.v3.Router")},
    }));
    let hcm = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "name": "status",
        "address": address(at),
        "bypass_overload_manager": true,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": format!("{TYPE}{hcm}"),
                "stat_prefix": "status",
                // The hook's request is idle while the proxy drains.
                "stream_idle_timeout": "0s",
                "route_config": {"name": "status", "virtual_hosts": [{
                    "name": "status",
                    "domains": ["*"],
                    "routes": routes,
                }]},
                "http_filters": filters,
            },
        }]}],
    })
}

fn drain_routes(drain: &Drain) -> [Value; 2] {
    let answer = json!({"status": 200});
    let script = SCRIPT
        .replace("LEAST_SECONDS", &drain.least_seconds.to_string())
        .replace("MOST_SECONDS", &drain.most_seconds.to_string());
    let lua = json!({
        "@type": format!("{TYPE}envoy.extensions.filters.http.lua.v3.LuaPerRoute"),
        "source_code": {"inline_string": script},
    });
    let fault = json!({
        "@type": format!("{TYPE}envoy.extensions.filters.http.fault.v3.HTTPFault"),
        "delay": {"fixed_delay": "1s", "percentage": {"numerator": 100}},
    });
    [
        json!({
            "match": {
                "path": "/drain",
                "headers": [{"name": DRAIN_HEADER, "string_match": {"exact": drain.token}}],
            },
            "direct_response": &answer,
            "typed_per_filter_config": {LUA: lua},
        }),
        json!({
            "match": {"path": "/sleep"},
            "direct_response": &answer,
            "typed_per_filter_config": {FAULT: fault},
        }),
    ]
}
