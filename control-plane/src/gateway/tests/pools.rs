//! InferencePools: pickers, conditions, annotations, and the objects that apply to a pool.

use super::*;
use crate::gateway::{
    Objective, Rewrite,
    ir::{Cluster, PickerMode, PickerSecurity, Protocol, Upstream},
    pool_objects,
};

const SERVICES: &str = "
kind: Service
metadata: {name: epp}
spec: {ports: [{port: 9002}]}
---
kind: Service
metadata: {name: outside}
spec: {type: ExternalName, ports: [{port: 9002}]}
---
kind: HTTPRoute
metadata: {name: r}
spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: p, kind: InferencePool}]}]}
---
kind: InferencePool
metadata: {name: p, generation: 5, annotations: {ANNOTATIONS}}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 8000}], SPEC}";

fn manifests(annotations: &str, spec: &str) -> String {
    format!("{BASE}---{}", SERVICES.replace("ANNOTATIONS", annotations).replace("SPEC", spec))
}

#[test]
fn picker_references() {
    for (spec, refs, told, answer) in [
        ("", "True/ResolvedRefs", "plain load balancing", "pool/default/p"),
        (
            "endpointPickerRef: {name: epp, port: {number: 9002}}",
            "True/ResolvedRefs",
            "Service default/epp, port 9002",
            "pool/default/p",
        ),
        (
            "endpointPickerRef: {name: nope, port: {number: 9002}}",
            "False/InvalidExtensionRef",
            "Service default/nope does not exist; create it, or annotate the InferencePool with signalbox.dev/picker: managed",
            "500:invalid_endpoint_picker",
        ),
        (
            "endpointPickerRef: {name: nope, port: {number: 9002}, failureMode: FailOpen}",
            "False/InvalidExtensionRef",
            "plain load balancing (FailOpen)",
            "pool/default/p",
        ),
        (
            "endpointPickerRef: {name: epp, port: {number: 9003}}",
            "False/InvalidExtensionRef",
            "it has 9002",
            "500:invalid_endpoint_picker",
        ),
        (
            "endpointPickerRef: {name: epp}",
            "False/InvalidExtensionRef",
            "port: is required",
            "500:invalid_endpoint_picker",
        ),
        (
            "endpointPickerRef: {name: outside, port: {number: 9002}}",
            "False/InvalidExtensionRef",
            "ExternalName",
            "500:invalid_endpoint_picker",
        ),
        (
            "endpointPickerRef: {name: epp, kind: Deployment, group: apps, port: {number: 9002}}",
            "False/InvalidExtensionRef",
            "name a Service",
            "500:invalid_endpoint_picker",
        ),
    ] {
        let resolved = resolved(&manifests("", spec), "gw");
        let pool = resolved.pool("p");
        assert_eq!(resolved.reports.pools[&key("p")].generation, 5);
        assert_eq!(
            (shown(pool, "Accepted"), shown(pool, "ResolvedRefs")),
            ("True/Accepted".into(), refs.into()),
            "{spec}"
        );
        assert!(message(pool, "ResolvedRefs").contains(told), "{spec}: {}", message(pool, "ResolvedRefs"));
        assert_eq!(resolved.get("x", "/"), answer, "{spec}");
        assert_eq!(shown(resolved.route("r"), "ResolvedRefs"), "True/ResolvedRefs", "{spec}");
    }
}

fn picker_of(resolved: &Resolved) -> Option<(PickerMode, PickerSecurity)> {
    let upstreams = resolved.ir.clusters.values().map(|cluster| &cluster.upstream);
    let security = upstreams.clone().find_map(|u| match u {
        Upstream::Picker(_, _, security) => Some(*security),
        _ => None,
    });
    let mode = upstreams.clone().find_map(|u| match u {
        Upstream::Pool(_, picker) => picker.as_ref().map(|picker| picker.mode),
        _ => None,
    });
    mode.zip(security)
}

#[test]
fn annotations_say_how_to_ask() {
    use PickerMode::{Buffered, FullDuplex};
    use PickerSecurity::{Cleartext, TlsSelfSigned, TlsUnverified};
    for (annotations, expected) in [
        ("", (FullDuplex, TlsUnverified)),
        ("signalbox.dev/picker: managed", (Buffered, TlsSelfSigned)),
        ("signalbox.dev/picker-mode: buffered", (Buffered, TlsUnverified)),
        ("signalbox.dev/picker-tls: 'false'", (FullDuplex, Cleartext)),
        ("signalbox.dev/picker-tls: 'true'", (FullDuplex, TlsUnverified)),
    ] {
        let resolved =
            resolved(&manifests(annotations, "endpointPickerRef: {name: epp, port: {number: 9002}}"), "gw");
        assert_eq!(picker_of(&resolved), Some(expected), "{annotations}");
    }
}

#[test]
fn protocols() {
    let cluster = |resolved: &Resolved| -> Vec<Protocol> {
        resolved.ir.clusters.values().map(|cluster: &Arc<Cluster>| cluster.protocol).collect()
    };
    assert_eq!(cluster(&resolved(&manifests("", ""), "gw")), [Protocol::Http1]);
    assert_eq!(cluster(&resolved(&manifests("", "appProtocol: kubernetes.io/h2c"), "gw")), [Protocol::Http2]);
}

#[test]
fn a_pool_is_accepted_when_any_of_its_routes_is() {
    let refused = "
---
kind: HTTPRoute
metadata: {name: a-refused}
spec: {parentRefs: [{name: gw, sectionName: nope}], rules: [{backendRefs: [{name: p, kind: InferencePool}]}]}";
    let both = resolved(&format!("{}{refused}", manifests("", "")), "gw");
    assert_eq!(shown(both.pool("p"), "Accepted"), "True/Accepted");
    let only =
        manifests("", "").replace("name: r}", "name: other}").replace("[{name: gw}]", "[{name: elsewhere}]");
    let only = resolved(&format!("{only}{refused}"), "gw");
    assert_eq!(shown(only.pool("p"), "Accepted"), "False/HTTPRouteNotAccepted");
    assert!(message(only.pool("p"), "Accepted").contains("HTTPRoute default/a-refused"));
    assert!(only.ir.clusters.is_empty());
}

#[test]
fn pools_are_reported_only_where_a_permitted_route_names_them() {
    let far = "
---
kind: HTTPRoute
metadata: {name: far}
spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: q, namespace: other, kind: InferencePool}, {name: nope, kind: InferencePool}]}]}
---
kind: InferencePool
metadata: {name: q, namespace: other}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 8000}]}";
    let resolved = resolved(&format!("{}{far}", manifests("", "")), "gw");
    assert_eq!(resolved.reports.pools.keys().collect::<Vec<_>>(), [&key("p")]);
}

#[test]
fn objectives_and_rewrites() {
    let world = world(
        "
kind: InferenceObjective
metadata: {name: batch, annotations: {signalbox.dev/optimize: cost, other: x}}
spec: {priority: -5, poolRef: {name: p}}
---
kind: InferenceObjective
metadata: {name: plain}
spec: {poolRef: {name: p}}
---
kind: InferenceObjective
metadata: {name: elsewhere}
spec: {priority: 9, poolRef: {name: q}}
---
kind: InferenceModelRewrite
metadata: {name: young, creationTimestamp: '2026-02-01T00:00:00Z'}
spec:
  poolRef: {name: p}
  rules:
  - {targets: [{modelRewrite: generic-young}]}
  - {matches: [{model: {value: x}}, {model: {type: Exact, value: y}}], targets: [{modelRewrite: v1, weight: 9}, {modelRewrite: v2}]}
---
kind: InferenceModelRewrite
metadata: {name: z-old, creationTimestamp: '2026-01-01T00:00:00Z'}
spec:
  poolRef: {name: p}
  rules:
  - {targets: [{modelRewrite: generic-old}]}
  - {matches: [{model: {type: Later, value: x}}], targets: [{modelRewrite: never}]}
  - {matches: [{model: {value: w}}], targets: [{modelRewrite: t1}, {modelRewrite: t2}]}
---
kind: InferenceModel
metadata: {name: m-old, creationTimestamp: '2025-01-01T00:00:00Z'}
spec: {modelName: chat, criticality: Critical, poolRef: {name: p}, targetModels: [{name: chat-v2, weight: 3}]}
---
kind: InferenceModel
metadata: {name: a-young, creationTimestamp: '2025-02-01T00:00:00Z'}
spec: {modelName: chat, criticality: Sheddable, poolRef: {name: p}}
---
kind: InferenceModel
metadata: {name: batch}
spec: {modelName: bulk, criticality: Sheddable, poolRef: {name: p}}
---
kind: InferenceModel
metadata: {name: shed}
spec: {modelName: shed, criticality: Sheddable, poolRef: {name: p}}",
    );
    let (objectives, rewrites) = pool_objects(&world, &key("p"));
    let show = |o: &Objective| format!("{} {} {:?} {:?}", o.name, o.priority, o.models, o.annotations);
    assert_eq!(
        objectives.iter().map(show).collect::<Vec<_>>(),
        [
            r#"batch -5 ["bulk"] {"signalbox.dev/optimize": "cost"}"#,
            r#"m-old 100 ["chat"] {}"#,
            "plain 0 [] {}",
            r#"shed -100 ["shed"] {}"#,
        ]
    );
    let show = |r: &Rewrite| format!("{} {:?} {:?}", r.source, r.models, r.targets).replace('"', "");
    assert_eq!(
        rewrites.iter().map(show).collect::<Vec<_>>(),
        [
            "m-old [chat] [(chat-v2, 3)]",
            "z-old [w] [(t1, 1), (t2, 1)]",
            "young [x, y] [(v1, 9)]",
            "z-old [] [(generic-old, 1)]",
            "young [] [(generic-young, 1)]",
        ]
    );
}
