//! A real Envoy in front of a picker: its configuration, its process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The binary: `ENVOY_BIN`, or where the project's launcher keeps it.
fn binary() -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cached = || home().join(".cache/signalbox/envoy/1.40.0/envoy/_bin/envoy");
    let path = std::env::var_os("ENVOY_BIN").map_or_else(cached, PathBuf::from);
    assert!(path.exists(), "no Envoy at {}: set ENVOY_BIN to a binary of 1.38 or later", path.display());
    path
}

/// An Envoy process; killed when dropped.
pub(crate) struct Envoy {
    child: Child,
    pub(crate) listener: SocketAddr,
    pub(crate) admin: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().expect("Envoy was started here");
        self.child.wait().expect("Envoy was started here");
    }
}

/// A port that was free a moment ago.
pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap()
}

impl Envoy {
    /// Starts Envoy; `secure` speaks TLS to the picker.
    pub(crate) async fn start(picker: SocketAddr, secure: bool, upstreams: &[SocketAddr]) -> Self {
        let (listener, admin) = (free(), free());
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("envoy.yaml");
        std::fs::write(&config, yaml(listener, admin, picker, secure, upstreams)).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(binary())
            .args(["--disable-hot-restart", "--concurrency", "1", "-l", "warning", "-c"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut envoy = Self { child, listener, admin, _directory: directory };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(listener).await.is_ok() {
                return envoy;
            }
            let ended = envoy.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(envoy._directory.path().join("log")).unwrap();
            assert!(ended.is_none(), "Envoy ended: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Envoy does not listen");
    }
}

/// With response trailers SEND and no response body, Envoy keeps the stream open until the response ends, and sends
/// nothing more unless there are trailers. With SKIP it closes the stream after the response's headers.
const BUFFERED: &str = "request_header_mode: SEND, request_body_mode: BUFFERED, request_trailer_mode: SKIP, \
                        response_header_mode: SEND, response_body_mode: NONE, response_trailer_mode: SEND";
const DUPLEX: &str = "request_header_mode: SEND, request_body_mode: FULL_DUPLEX_STREAMED, request_trailer_mode: SEND, \
                      response_header_mode: SEND, response_body_mode: FULL_DUPLEX_STREAMED, \
                      response_trailer_mode: SEND";

/// `/buffered` and `/duplex` fail open, `/closed` is buffered and fails closed.
fn yaml(
    listener: SocketAddr,
    admin: SocketAddr,
    picker: SocketAddr,
    secure: bool,
    upstreams: &[SocketAddr],
) -> String {
    let route = |prefix: &str, open: bool, mode: &str| {
        format!(
            r#"
              - match: {{prefix: {prefix}}}
                route: {{cluster: pool, timeout: 0s}}
                typed_per_filter_config:
                  epp:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute
                    overrides:
                      failure_mode_allow: {open}
                      grpc_service:
                        envoy_grpc: {{cluster_name: picker}}
                        initial_metadata: [{{key: x-signalbox-pool, value: ns/pool}}]
                      processing_mode: {{{mode}}}
                      metadata_options: {{forwarding_namespaces: {{untyped: [envoy.lb, envoy.lb.subset_hint]}}, receiving_namespaces: {{untyped: [envoy.lb]}}}}"#
        )
    };
    let routes = [
        route("/buffered", true, BUFFERED),
        route("/closed", false, BUFFERED),
        route("/duplex", true, DUPLEX),
    ]
    .concat();
    let endpoint = |a: &SocketAddr| {
        format!(
            "{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}",
            a.ip(),
            a.port()
        )
    };
    let upstreams = upstreams.iter().map(endpoint).collect::<Vec<_>>().join(", ");
    let tls = if secure {
        r#"
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context: {alpn_protocols: [h2]}"#
    } else {
        ""
    };
    format!(
        r#"
admin: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: {}, port_value: {}}}}}
    per_connection_buffer_limit_bytes: 33554432
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: AUTO
          route_config:
            name: r
            virtual_hosts:
            - name: v
              domains: ["*"]
              request_body_buffer_limit: 33554432
              routes:{routes}
          http_filters:
          - name: epp
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
              grpc_service: {{envoy_grpc: {{cluster_name: none}}}}
              message_timeout: 3s
              route_cache_action: RETAIN
              status_on_error: {{code: ServiceUnavailable}}
              processing_mode: {{request_header_mode: SKIP, response_header_mode: SKIP}}
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: pool
    type: STATIC
    connect_timeout: 1s
    lb_policy: LOAD_BALANCING_POLICY_CONFIG
    load_balancing_policy:
      policies:
      - typed_extension_config:
          name: envoy.load_balancing_policies.override_host
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost
            override_host_sources: [{{metadata: {{key: envoy.lb, path: [{{key: x-gateway-destination-endpoint}}]}}}}]
            selected_host_key: {{key: envoy.lb, path: [{{key: x-gateway-destination-endpoint-served}}]}}
            fallback_policy:
              policies:
              - typed_extension_config:
                  name: envoy.load_balancing_policies.round_robin
                  typed_config: {{"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin}}
    load_assignment: {{cluster_name: pool, endpoints: [{{lb_endpoints: [{upstreams}]}}]}}
  - name: picker
    type: STATIC
    connect_timeout: 0.5s{tls}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment: {{cluster_name: picker, endpoints: [{{lb_endpoints: [{}]}}]}}
"#,
        admin.ip(),
        admin.port(),
        listener.ip(),
        listener.port(),
        endpoint(&picker),
    )
}
