//! Manifests as text, for tests that need more than the example has.

use std::net::IpAddr;

/// A Ready Pod of the namespace `default` with the label `app` and a GPU on a node.
pub fn pod(name: &str, app: &str, node: &str, address: IpAddr) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels:
    app: {app}
spec:
  nodeName: {node}
  containers:
  - name: vllm
    resources:
      limits:
        nvidia.com/gpu: \"1\"
status:
  phase: Running
  podIP: {address}
  conditions:
  - type: Ready
    status: \"True\"
"
    )
}

/// An HTTPRoute of the Gateway `inference-gateway` that sends a model to backends: `(pool, weight)`.
pub fn model_route(name: &str, model: &str, backends: &[(&str, u32)]) -> String {
    let backends: String = backends
        .iter()
        .map(|(pool, weight)| {
            format!(
                "    - group: inference.networking.k8s.io
      kind: InferencePool
      name: {pool}
      weight: {weight}
"
            )
        })
        .collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {name}
spec:
  parentRefs:
  - name: inference-gateway
  rules:
  - matches:
    - headers:
      - type: Exact
        name: X-Gateway-Model-Name
        value: {model}
      path:
        type: PathPrefix
        value: /
    backendRefs:
{backends}"
    )
}

/// An HTTPRoute of the Gateway `inference-gateway` that sends a path to a Service.
pub fn service_route(name: &str, path: &str, service: &str, port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {name}
spec:
  parentRefs:
  - name: inference-gateway
  rules:
  - matches:
    - path:
        type: PathPrefix
        value: {path}
    backendRefs:
    - name: {service}
      port: {port}
"
    )
}

/// A Service with one EndpointSlice of these addresses.
pub fn service(name: &str, port: u16, addresses: &[IpAddr]) -> String {
    let endpoints: String = addresses
        .iter()
        .map(|address| format!("- addresses: [\"{address}\"]\n  conditions: {{ready: true}}\n"))
        .collect();
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  ports:
  - name: http
    port: {port}
    targetPort: {port}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  labels:
    kubernetes.io/service-name: {name}
addressType: IPv4
ports:
- name: http
  port: {port}
endpoints:
{endpoints}"
    )
}
