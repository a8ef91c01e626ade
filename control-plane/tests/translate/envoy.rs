//! The real Envoy: where it is, its validation, and a process of it.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Envoy's binary: `ENVOY_BIN`, the path, or the user's cache.
pub(crate) fn binary() -> PathBuf {
    let named = env::var_os("ENVOY_BIN").map(PathBuf::from);
    let on_path = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|d| d.join("envoy"))
        .find(|p| p.is_file());
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let cached = cache.map(|c| c.join("signalbox/envoy/1.40.0/envoy/_bin/envoy"));
    named
        .or(on_path)
        .or(cached)
        .filter(|p| p.is_file())
        .expect("no Envoy: set ENVOY_BIN, put envoy on the path, or unpack 1.40.0 into the cache directory")
}

/// A configuration in a file of its own.
pub(crate) fn file(config: &Value) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("envoy.json");
    std::fs::write(&path, config.to_string()).unwrap();
    (directory, path)
}

/// Envoy's opinion of a configuration.
pub(crate) fn validate(config: &Value) -> Result<(), String> {
    let (_directory, path) = file(config);
    let output = Command::new(binary())
        .args(["--mode", "validate", "-l", "error", "-c"])
        .arg(path)
        .output()
        .expect("Envoy starts");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// How endpoints get into a static configuration.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Endpoints {
    /// By ADS, as in production; nothing can be served.
    Ads,
    /// As a part of the clusters.
    Inline,
}

/// The view of a snapshot as one static configuration.
pub(crate) fn wrap(view: &Value, endpoints: Endpoints) -> Value {
    let strip = |mut resource: Value| {
        resource.as_object_mut().unwrap().remove("@type");
        resource
    };
    let resources = |kind: &str| -> Vec<Value> {
        let all = view[kind].as_object().into_iter().flat_map(|o| o.values());
        all.map(|v| strip(v["resource"].clone())).collect()
    };
    let mut listeners = resources("listeners");
    for listener in &mut listeners {
        let listener = listener.as_object_mut().unwrap();
        let mut chains: Vec<&mut Value> = Vec::new();
        for (key, value) in listener {
            match key.as_str() {
                "defaultFilterChain" => chains.push(value),
                "filterChains" => chains.extend(value.as_array_mut().unwrap()),
                _ => {}
            }
        }
        for chain in chains {
            let manager = &mut chain["filters"][0]["typedConfig"];
            let routes = |name: &Value| strip(view["routes"][name.as_str().unwrap()]["resource"].clone());
            match manager.as_object_mut().unwrap().remove("rds") {
                Some(rds) => manager["routeConfig"] = routes(&rds["routeConfigName"]),
                None => {
                    let mut scopes = resources("scopes");
                    for scope in &mut scopes {
                        let name = scope.as_object_mut().unwrap().remove("routeConfigurationName").unwrap();
                        scope["routeConfiguration"] = routes(&name);
                    }
                    let scoped = manager["scopedRoutes"].as_object_mut().unwrap();
                    scoped.remove("scopedRds").unwrap();
                    let list = json!({"scopedRouteConfigurations": scopes});
                    scoped.insert("scopedRouteConfigurationsList".to_owned(), list);
                }
            }
            if endpoints == Endpoints::Inline {
                // Secrets come over ADS, which is not there.
                chain.as_object_mut().unwrap().remove("transportSocket");
            }
        }
    }
    let mut clusters = resources("clusters");
    if endpoints == Endpoints::Inline {
        for cluster in &mut clusters {
            let name = cluster["name"].as_str().unwrap();
            let assignment = strip(view["endpoints"][name]["resource"].clone());
            let cluster = cluster.as_object_mut().unwrap();
            cluster.remove("edsClusterConfig");
            cluster.insert("type".to_owned(), json!("STATIC"));
            cluster.insert("loadAssignment".to_owned(), assignment);
        }
    }
    clusters.push(json!({
        "name": "xds", "type": "STATIC", "load_assignment": {"cluster_name": "xds"},
        "http2_protocol_options": {},
    }));
    let mut config = json!({
        "node": {"id": "n", "cluster": "infra/edge"},
        "static_resources": {"clusters": clusters, "listeners": listeners},
    });
    if endpoints == Endpoints::Ads {
        config["dynamic_resources"] = json!({"ads_config": {
            "api_type": "DELTA_GRPC", "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
        }});
    }
    config
}

/// A running Envoy; killed when dropped.
pub(crate) struct Envoy {
    process: Child,
    directory: TempDir,
}

impl Envoy {
    pub(crate) fn start(config: &Value) -> Self {
        let (directory, path) = file(config);
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let process = Command::new(binary())
            .args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "warn", "-c"])
            .arg(path)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Envoy starts");
        Self { process, directory }
    }

    /// What it logged: warnings and errors, scripts' among them.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Already gone is fine: nothing is left to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
