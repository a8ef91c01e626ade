//! One real Envoy, the xDS server, and model upstreams that say their name, all on loopback.

use std::{
    env, fs,
    net::TcpListener as StdListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{Router, routing::any};
use bytes::Bytes;
use control_plane::{
    api::NamespacedName,
    tasks::TaskSet,
    xds::{Limits, Nodes, Publisher, serve},
};
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The binary: `$ENVOY_BIN`, on `$PATH`, or where `signalbox` caches it.
fn envoy_binary() -> PathBuf {
    let home = env::var_os("HOME").unwrap_or_default();
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(|| Path::new(&home).join(".cache"), PathBuf::from);
    let cached = cache.join("signalbox/envoy/1.40.0/envoy/_bin/envoy");
    let on_path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<_> = env::split_paths(&on_path).map(|dir| dir.join("envoy")).collect();
    env::var_os("ENVOY_BIN")
        .map(PathBuf::from)
        .into_iter()
        .chain(on_path)
        .chain([cached])
        .find(|path| path.is_file())
        .expect("Envoy 1.40 is needed: set ENVOY_BIN, or put envoy on the PATH")
}

pub(crate) fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that answers with `name`.
pub(crate) async fn upstream(tasks: &TaskSet, name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(any(move || async move { name }));
    tasks.spawn_brief("upstream", async move { axum::serve(listener, router).await.unwrap() });
    port
}

/// The xDS server. Stops when told to.
pub(crate) struct Server {
    pub(crate) publisher: Publisher,
    pub(crate) nodes: Nodes,
    pub(crate) port: u16,
    stop: CancellationToken,
    tasks: TaskSet,
}

impl Server {
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let publisher = Publisher::default();
        let nodes = Nodes::new(publisher.clone());
        let (stop, tasks) = (CancellationToken::new(), TaskSet::default());
        let server = serve(listener, publisher.clone(), nodes.clone(), Limits::default(), stop.clone());
        tasks.spawn("xds", server);
        Self { publisher, nodes, port, stop, tasks }
    }

    pub(crate) async fn stop(self) {
        self.tasks.shutdown();
        self.stop.cancel();
        self.tasks.wait(Duration::from_secs(10)).await.unwrap();
        assert!(self.nodes.gateways().is_empty());
    }
}

pub(crate) fn gateway() -> NamespacedName {
    NamespacedName::new("default", "gateway")
}

/// A running Envoy; killed when dropped.
pub(crate) struct Envoy {
    child: Child,
    directory: tempfile::TempDir,
}

impl Envoy {
    /// `api` is `DELTA_GRPC` or `GRPC`.
    pub(crate) fn start(api: &str, xds: u16) -> Self {
        Self::with(&bootstrap_of(api, xds))
    }

    pub(crate) fn with(config: &serde_json::Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bootstrap = directory.path().join("bootstrap.json");
        fs::write(&bootstrap, config.to_string()).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(envoy_binary())
            .args(["--disable-hot-restart", "--concurrency", "2", "-l", "info", "-c"])
            .arg(&bootstrap)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub(crate) fn bootstrap_of(api: &str, xds: u16) -> serde_json::Value {
    let address = |port| serde_json::json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let ads = serde_json::json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let http2 = serde_json::json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}
    });
    serde_json::json!({
        "node": {"id": "envoy-1", "cluster": gateway().to_string()},
        "admin": {"address": address(0)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api, "transport_api_version": "V3", "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]
            },
            "cds_config": ads, "lds_config": ads
        },
        "static_resources": {"clusters": [{
            "name": "xds", "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options":
                {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(xds)}}
            ]}]}
        }]}
    })
}

/// A client of the listener.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Empty<Bytes>>,
    port: u16,
}

impl Http {
    pub(crate) fn new(port: u16) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), port }
    }

    /// Status and body.
    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, String), String> {
        let uri = format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap();
        let response = self.client.get(uri).await.map_err(|e| format!("{e:?}"))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
