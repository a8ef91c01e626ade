//! `/v1/models`: which names are listed.

use super::*;

const POOLS: &str = "
kind: InferencePool
metadata: {name: p}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 8000}]}
---
kind: InferencePool
metadata: {name: q}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 8000}]}
---
kind: InferenceModelRewrite
metadata: {name: rw}
spec: {poolRef: {name: q}, rules: [{matches: [{model: {value: alias}}], targets: [{modelRewrite: x}]}]}
---
kind: InferenceModel
metadata: {name: im}
spec: {modelName: retired, poolRef: {name: q}}
---
kind: ConfigMap
metadata: {name: bases, creationTimestamp: '2026-01-01T00:00:00Z', labels: {inference.networking.k8s.io/bbr-managed: 'true'}}
data: {baseModel: llama, adapters: \"- food\\n- alias\\n\"}
---
kind: ConfigMap
metadata: {name: later, labels: {inference.llm-d.ai/ipp-managed: 'true'}}
data: {baseModel: qwen, adapters: \"- food\\n- math\\n\"}
---
kind: ConfigMap
metadata: {name: broken, labels: {inference.llm-d.ai/ipp-managed: 'true'}}
data: {baseModel: phi, adapters: \"{not: [a list\"}
---
kind: ConfigMap
metadata: {name: unlabelled, labels: {inference.llm-d.ai/ipp-managed: 'yes'}}
data: {baseModel: other}
---";

/// `id=owner` of the models that a Gateway with these rules lists.
fn listed(rules: &str) -> (Vec<String>, Resolved) {
    let resolved = on_base(&format!(
        "{POOLS}\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  parentRefs: [{{name: gw}}]\n  rules:{rules}"
    ));
    let models = resolved.port(80).virtual_hosts[0].models.iter();
    (models.map(|m| format!("{}={}", m.id, m.owned_by)).collect(), resolved)
}

fn rule(header: &str, kind: &str, value: &str, pool: &str) -> String {
    let matches = if header.is_empty() {
        String::new()
    } else {
        format!("matches: [{{headers: [{{name: {header}, type: {kind}, value: '{value}'}}]}}], ")
    };
    format!("\n  - {{{matches}backendRefs: [{{name: {pool}, kind: InferencePool}}]}}")
}

#[test]
fn names_that_reach_something() {
    let model = "X-Gateway-Model-Name";
    let base = "X-Gateway-Base-Model-Name";
    for (rules, expected) in [
        (vec![rule("", "", "", "q")], &[][..]),
        (vec![rule(model, "Exact", "chat", "p")], &["chat=default/p"]),
        (vec![rule(model, "Exact", "chat", "missing")], &[]),
        // The alias that q knows does not pass the rule for chat …
        (vec![rule(model, "Exact", "chat", "q")], &["chat=default/q"]),
        // … but passes a rule without a model, and an expression that it matches.
        (
            vec![rule(model, "Exact", "chat", "p"), rule("", "", "", "q")],
            &["alias=default/q", "chat=default/p", "retired=default/q"],
        ),
        (vec![rule(model, "RegularExpression", "al.*", "q")], &["alias=default/q"]),
        (vec![rule(base, "Exact", "llama", "p")], &["alias=default/p", "food=default/p", "llama=default/p"]),
        (vec![rule(base, "Exact", "qwen", "p")], &["math=default/p", "qwen=default/p"]),
        (vec![rule(base, "Exact", "unheard-of", "p")], &["unheard-of=default/p"]),
    ] {
        assert_eq!(listed(&rules.concat()).0, expected, "{}", rules.concat());
    }
}

#[test]
fn base_models_only_where_they_are_asked_for() {
    let (_, without) = listed(&rule("X-Gateway-Model-Name", "Exact", "chat", "p"));
    assert_eq!(without.port(80).model_headers, ["x-gateway-model-name"]);
    assert!(without.port(80).base_models.is_empty());
    let (_, with) = listed(&rule("x-gateway-base-model-name", "Exact", "llama", "p"));
    assert_eq!(with.port(80).model_headers, ["x-gateway-base-model-name"]);
    let bases: Vec<String> =
        with.port(80).base_models.iter().map(|(name, base)| format!("{name}={base}")).collect();
    assert_eq!(bases, ["alias=llama", "food=llama", "llama=llama", "math=qwen", "phi=phi", "qwen=qwen"]);
}

#[test]
fn who_claims_the_models_path() {
    for (m, claims) in [
        ("path: {value: /}", false),
        ("path: {value: /v1}", true),
        ("path: {value: /v1/models}", true),
        ("path: {value: /v1/model}", false),
        ("path: {type: Exact, value: /v1/models}", true),
        ("path: {type: Exact, value: /v1/models}, method: POST", false),
        ("path: {value: /v1}, headers: [{name: x-gateway-model-name, value: a}]", false),
        ("path: {type: RegularExpression, value: '/v1/.*'}", true),
        ("path: {type: RegularExpression, value: '/.*'}", false),
    ] {
        let (_, resolved) = listed(&format!("\n  - {{matches: [{{{m}}}]}}"));
        assert_eq!(resolved.port(80).virtual_hosts[0].models_path_is_routed, claims, "{m}");
    }
}
