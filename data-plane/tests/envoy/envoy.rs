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
    directory: tempfile::TempDir,
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
        let listener = free();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("envoy.yaml");
        std::fs::write(&config, yaml(listener, picker, secure, upstreams)).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(binary())
            .args(["--disable-hot-restart", "--concurrency", "1", "-l", "warning", "-c"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut envoy = Self { child, listener, directory };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(listener).await.is_ok() {
                return envoy;
            }
            let ended = envoy.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(envoy.directory.path().join("log")).unwrap();
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

const TLS: &str = r#"transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {alpn_protocols: [h2]}}}"#;

const ROUTE: &str = r#"{match: {prefix: PREFIX}, route: {cluster: pool, timeout: 0s}, typed_per_filter_config: {epp: {
  "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute,
  overrides: {
    failure_mode_allow: OPEN,
    grpc_service: {envoy_grpc: {cluster_name: picker}, initial_metadata: [{key: x-signalbox-pool, value: ns/pool}]},
    processing_mode: {MODE},
    metadata_options: {forwarding_namespaces: {untyped: [envoy.lb, envoy.lb.subset_hint]}, receiving_namespaces: {untyped: [envoy.lb]}}}}}}"#;

/// `/buffered` and `/duplex` fail open, `/closed` is buffered and fails closed.
fn yaml(listener: SocketAddr, picker: SocketAddr, secure: bool, upstreams: &[SocketAddr]) -> String {
    let routes =
        [("/buffered", "true", BUFFERED), ("/closed", "false", BUFFERED), ("/duplex", "true", DUPLEX)];
    let route =
        |(prefix, open, mode)| ROUTE.replace("PREFIX", prefix).replace("OPEN", open).replace("MODE", mode);
    let endpoint = |a: &SocketAddr| {
        let (address, port) = (a.ip(), a.port());
        format!("{{endpoint: {{address: {{socket_address: {{address: {address}, port_value: {port}}}}}}}}}")
    };
    include_str!("envoy.yaml")
        .replace("LISTENER_PORT", &listener.port().to_string())
        .replace("ROUTES", &routes.map(route).join(", "))
        .replace("UPSTREAMS", &upstreams.iter().map(endpoint).collect::<Vec<_>>().join(", "))
        .replace("PICKER", &endpoint(&picker))
        .replace("TLS", if secure { TLS } else { "" })
}
