//! A directory of generated manifests, changed one whole file at a time.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The Gateway's name and namespace in all of them.
pub const GATEWAY: (&str, &str) = ("default", "inference-gateway");

/// Port of every model server.
pub const MODEL_PORT: u16 = 8000;

/// A directory of manifests.
pub struct Manifests(PathBuf);

impl Manifests {
    /// An empty directory.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Replaces a file, in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &str, objects: &[Value]) -> Result<()> {
        let documents: Vec<_> = objects.iter().map(Value::to_string).collect();
        self.write_text(file, &documents.join("\n---\n"))
    }

    /// As [`Manifests::write`], for text that is YAML already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_text(&self, file: &str, text: &str) -> Result<()> {
        // A name that is no manifest's, so that only the rename is seen.
        let written = self.0.join(format!("{file}.new"));
        fs::write(&written, text)?;
        fs::rename(&written, self.0.join(file)).with_context(|| format!("{file} cannot be replaced"))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&self, file: &str) -> Result<()> {
        fs::remove_file(self.0.join(file)).with_context(|| format!("{file} cannot be removed"))
    }
}

/// The class, and a Gateway with one HTTP listener.
pub fn gateway(address: IpAddr, port: u16) -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": "signalbox"},
            "spec": {"controllerName": "signalbox.dev/gateway-controller"},
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": GATEWAY.1, "namespace": GATEWAY.0},
            "spec": {
                "gatewayClassName": "signalbox",
                "addresses": [{"type": "IPAddress", "value": address.to_string()}],
                "listeners": [{"name": "http", "protocol": "HTTP", "port": port}],
            },
        }),
    ]
}

/// An InferencePool that fails open and whose picker is ours, with one Pod on each of these addresses.
pub fn pool(name: &str, pods: &[IpAddr]) -> Vec<Value> {
    let pool = json!({
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {
            "name": name,
            "namespace": GATEWAY.0,
            "annotations": {"signalbox.dev/picker": "managed", "signalbox.dev/picker-tls": "false"},
        },
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "targetPorts": [{"number": MODEL_PORT}],
            "endpointPickerRef": {
                "name": format!("{name}-epp"),
                "port": {"number": 9002},
                "failureMode": "FailOpen",
            },
        },
    });
    let pods = pods.iter().map(|address| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": format!("{name}-{}", address.to_string().replace('.', "-")),
                "namespace": GATEWAY.0,
                "labels": {"app": name},
            },
            "spec": {"containers": [{"name": "server"}]},
            "status": {
                "phase": "Running",
                "podIP": address.to_string(),
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    });
    [pool].into_iter().chain(pods).collect()
}

/// An HTTPRoute of a model to pools, by weight.
pub fn route(name: &str, model: &str, pools: &[(&str, u32)]) -> Value {
    let backends: Vec<_> = pools
        .iter()
        .map(|(pool, weight)| {
            json!({
                "group": "inference.networking.k8s.io",
                "kind": "InferencePool",
                "name": pool,
                "weight": weight,
            })
        })
        .collect();
    let matches = json!([{
        "path": {"type": "PathPrefix", "value": "/"},
        "headers": [{"type": "Exact", "name": "X-Gateway-Model-Name", "value": model}],
    }]);
    http_route(name, &json!([{"matches": matches, "backendRefs": backends}]))
}

/// An HTTPRoute with these rules.
pub fn http_route(name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": GATEWAY.0},
        "spec": {"parentRefs": [{"name": GATEWAY.1}], "rules": rules},
    })
}

/// The guide's route, as users copy it.
pub const GUIDE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: routes-to-llms
spec:
  parentRefs:
  - name: inference-gateway
  rules:
  - matches:
    - headers:
      - type: Exact
        name: X-Gateway-Model-Name
        value: chatbot
      path:
        type: PathPrefix
        value: /
    backendRefs:
    - name: gemma3
      kind: InferencePool
  - matches:
    - headers:
      - type: Exact
        name: X-Gateway-Model-Name
        value: recommender
      path:
        type: PathPrefix
        value: /
    backendRefs:
    - name: deepseek-r1
      kind: InferencePool
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_yaml_documents() {
        let dir = tempfile::tempdir().unwrap();
        let manifests = Manifests::new(dir.path().join("m")).unwrap();
        let address = "127.1.2.3".parse().unwrap();
        let mut objects = gateway(address, 8080);
        objects.extend(pool("gemma3", &[address]));
        objects.push(route("r", "chatbot", &[("gemma3", 1)]));
        manifests.write("all.yaml", &objects).unwrap();
        manifests.write("all.yaml", &objects).unwrap();
        let text = fs::read_to_string(manifests.path().join("all.yaml")).unwrap();
        let read: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(read, objects);
        assert_eq!(fs::read_dir(manifests.path()).unwrap().count(), 1);
        let guide: Value = serde_saphyr::from_str(GUIDE).unwrap();
        assert_eq!(guide["spec"]["rules"][1]["backendRefs"][0]["name"], "deepseek-r1");
        manifests.remove("all.yaml").unwrap();
        assert!(manifests.remove("all.yaml").is_err());
    }
}
