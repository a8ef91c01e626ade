//! The guide "serve multiple generative AI models", as users copy it.

use super::*;
use crate::gateway::ir::{PickerMode, PickerSecurity, Upstream};

/// Verbatim.
const ROUTE: &str = "
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

const AROUND: &str = "
kind: Gateway
metadata: {name: inference-gateway}
spec:
  gatewayClassName: c
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
kind: InferencePool
metadata: {name: gemma3}
spec:
  selector: {matchLabels: {app: gemma3}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: gemma3-epp, port: {number: 9002}}
---
kind: Service
metadata: {name: gemma3-epp}
spec: {ports: [{port: 9002}]}
---
kind: InferencePool
metadata: {name: deepseek-r1}
spec:
  selector: {matchLabels: {app: deepseek-r1}}
  targetPorts: [{number: 8000}]
---";

#[test]
fn models_reach_their_pools() {
    let resolved = resolved(&format!("{AROUND}{ROUTE}"), "inference-gateway");
    for (model, answer) in
        [("chatbot", "pool/default/gemma3"), ("recommender", "pool/default/deepseek-r1"), ("unknown", "404")]
    {
        let headers = [("X-Gateway-Model-Name", model)];
        assert_eq!(resolved.ask(80, "10.0.0.1", "POST", "/v1/completions", &headers), answer);
    }
    let port = resolved.port(80);
    assert_eq!(port.model_headers, ["x-gateway-model-name"]);
    assert!(port.uses_pickers);
    let models: Vec<_> = port.virtual_hosts[0].models.iter().map(|m| (&*m.id, &*m.owned_by)).collect();
    assert_eq!(models, [("chatbot", "default/gemma3"), ("recommender", "default/deepseek-r1")]);
    assert!(!port.virtual_hosts[0].models_path_is_routed);
}

#[test]
fn pools_have_their_clusters() {
    let resolved = resolved(&format!("{AROUND}{ROUTE}"), "inference-gateway");
    let names: Vec<&str> = resolved.ir.clusters.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["picker/default/gemma3-epp/9002", "pool/default/deepseek-r1", "pool/default/gemma3"]);
    let upstreams: Vec<&Upstream> = resolved.ir.clusters.values().map(|cluster| &cluster.upstream).collect();
    assert!(matches!(upstreams[0], Upstream::Picker(_, 9002, PickerSecurity::TlsUnverified)));
    assert!(matches!(upstreams[1], Upstream::Pool(_, None)));
    assert!(matches!(upstreams[2], Upstream::Pool(_, Some(p)) if p.mode == PickerMode::FullDuplex));
}

#[test]
fn the_missing_group_is_told() {
    let resolved = resolved(&format!("{AROUND}{ROUTE}"), "inference-gateway");
    let route = resolved.route("routes-to-llms");
    assert_eq!(shown(route, "Accepted"), "True/Accepted");
    assert_eq!(shown(route, "ResolvedRefs"), "True/ResolvedRefs");
    let expected = "spec.rules[0].backendRefs[0]: kind InferencePool without group was read as \
                    inference.networking.k8s.io; add `group: inference.networking.k8s.io`";
    assert!(message(route, "ResolvedRefs").starts_with(expected), "{}", message(route, "ResolvedRefs"));
    assert_eq!(shown(resolved.pool("gemma3"), "Accepted"), "True/Accepted");
}

#[test]
fn the_api_servers_empty_group_is_the_same() {
    let defaulted = ROUTE.replace("kind: InferencePool", "kind: InferencePool\n      group: ''");
    let resolved = resolved(&format!("{AROUND}{defaulted}"), "inference-gateway");
    assert_eq!(
        resolved.ask(80, "x", "POST", "/", &[("x-gateway-model-name", "chatbot")]),
        "pool/default/gemma3"
    );
}
