//! Manifests as text, beside those that the tests use.

use std::net::{IpAddr, SocketAddr};

use crate::stack::manifests::pod;

/// Port of every model server.
pub(super) const MODEL_PORT: u16 = 8000;

/// The class, and the Gateway `inference-gateway` with one HTTP listener.
pub(super) fn gateway(listen: SocketAddr) -> String {
    let (address, port) = (listen.ip(), listen.port());
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: signalbox
spec:
  controllerName: signalbox.dev/gateway-controller
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: inference-gateway
spec:
  gatewayClassName: signalbox
  addresses:
  - type: IPAddress
    value: {address}
  listeners:
  - name: http
    protocol: HTTP
    port: {port}
"
    )
}

/// An InferencePool that fails open and whose picker is ours, with one Pod on each of these addresses.
pub(super) fn pool(name: &str, pods: &[IpAddr]) -> String {
    let mut text = format!(
        "apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata:
  name: {name}
  annotations:
    signalbox.dev/picker: managed
spec:
  selector:
    matchLabels:
      app: {name}
  targetPorts:
  - number: {MODEL_PORT}
  endpointPickerRef:
    name: {name}-epp
    port:
      number: 9002
    failureMode: FailOpen
"
    );
    for address in pods {
        text.push_str("---\n");
        text.push_str(&pod(&pod_name(name, *address), name, "node", *address));
    }
    text
}

/// The name of a pool's Pod.
pub(super) fn pod_name(pool: &str, address: IpAddr) -> String {
    format!("{pool}-{address}").replace(['.', ':'], "-")
}

/// An HTTPRoute of the Gateway that redirects one path to another host.
pub(super) fn redirect(name: &str, path: &str) -> String {
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
        type: Exact
        value: {path}
    filters:
    - type: RequestRedirect
      requestRedirect:
        statusCode: 302
        hostname: example.com
"
    )
}
