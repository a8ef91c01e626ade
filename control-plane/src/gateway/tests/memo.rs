//! A memo changes no result, and unchanged routes stay the same objects.

use super::*;
use crate::gateway::{Memo, resolve_again};

const ROUTES: &str = "
kind: HTTPRoute
metadata: {name: r1}
spec: {parentRefs: [{name: gw}], rules: [{matches: [{path: {value: /1}}], backendRefs: [{name: late, port: 80}]}]}
---
kind: HTTPRoute
metadata: {name: r2}
spec: {parentRefs: [{name: gw}], rules: [{matches: [{path: {value: /2}}], backendRefs: [{name: p, kind: InferencePool, namespace: far}]}]}";

/// Changes after which a World is resolved again, and the answers for `/1`, `/2` and `/3`.
const STEPS: [(&str, [&str; 3]); 12] = [
    ("kind: Namespace\nmetadata: {name: x}", ["500:backend_not_found", "500:reference_not_permitted", "404"]),
    (
        "kind: Service\nmetadata: {name: late}\nspec: {ports: [{port: 80}]}",
        ["service/default/late/80", "500:reference_not_permitted", "404"],
    ),
    (
        "kind: ReferenceGrant\nmetadata: {name: g, namespace: far}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, \
         namespace: default}], to: [{group: inference.networking.k8s.io, kind: InferencePool}]}",
        ["service/default/late/80", "500:backend_not_found", "404"],
    ),
    (
        "kind: InferencePool\nmetadata: {name: p, namespace: far}\nspec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}]}",
        ["service/default/late/80", "pool/far/p", "404"],
    ),
    (
        "kind: HTTPRoute\nmetadata: {name: r3}\nspec: {parentRefs: [{name: gw}], rules: [{matches: [{path: {value: /3}}]}]}",
        ["service/default/late/80", "pool/far/p", "500:no_backends"],
    ),
    (
        "kind: HTTPRoute\nmetadata: {name: r1}\nspec: {parentRefs: [{name: gw}], rules: [{matches: [{path: {value: /1}}]}]}",
        ["500:no_backends", "pool/far/p", "500:no_backends"],
    ),
    (
        "kind: Service\nmetadata: {name: late}\nspec: {ports: [{port: 81}]}",
        ["500:no_backends", "pool/far/p", "500:no_backends"],
    ),
    (
        "kind: HTTPRoute\nmetadata: {name: r4}\nspec: {parentRefs: [{name: gw}], hostnames: [m.example.com], rules: [{matches: \
         [{headers: [{name: x-gateway-model-name, type: RegularExpression, value: '.*'}]}], backendRefs: [{name: p, kind: InferencePool, namespace: far}]}]}",
        ["500:no_backends", "pool/far/p", "500:no_backends"],
    ),
    (
        "kind: InferenceModel\nmetadata: {name: m, namespace: far}\nspec: {modelName: chatbot, poolRef: {name: p}}",
        ["500:no_backends", "pool/far/p", "500:no_backends"],
    ),
    (
        "kind: Namespace\nmetadata: {name: default, labels: {team: a}}",
        ["500:no_backends", "pool/far/p", "500:no_backends"],
    ),
    (
        "kind: Gateway\nmetadata: {name: gw, generation: 2}\nspec: {gatewayClassName: c, listeners: [{name: http, port: 80, \
         protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: b}}}}}]}",
        ["404", "404", "404"],
    ),
    (
        "kind: Namespace\nmetadata: {name: default, labels: {team: b}}",
        ["500:no_backends", "pool/far/p", "500:no_backends"],
    ),
];

#[test]
fn every_step_resolves_as_from_scratch() {
    let mut world = world(&format!("{BASE}---{ROUTES}"));
    let mut memo = Memo::default();
    for (change, answers) in STEPS {
        add(&mut world, change);
        let kept = resolve_again(&world, &key("gw"), &options(), &mut memo).expect("ours");
        assert_eq!(kept, resolve(&world, &key("gw"), &options()).expect("ours"), "{change}");
        assert_eq!(["/1", "/2", "/3"].map(|path| kept.get("x", path)), answers, "{change}");
    }
}

#[test]
fn hosts_hear_of_models() {
    let mut world = world(&format!("{BASE}---{ROUTES}"));
    let mut memo = Memo::default();
    let mut listed = Vec::new();
    for (change, _) in STEPS {
        add(&mut world, change);
        let resolved = resolve_again(&world, &key("gw"), &options(), &mut memo).expect("ours");
        let hosts = resolved.port(80).virtual_hosts.iter();
        listed.push(hosts.flat_map(|host| &host.models).map(|model| model.id.clone()).collect::<Vec<_>>());
    }
    assert_eq!(
        listed[7..],
        [vec![], vec!["chatbot".to_owned()], vec!["chatbot".into()], vec![], vec!["chatbot".into()]]
    );
}

/// Parts that come out equal are the same objects, whatever was made anew.
#[test]
fn what_comes_out_equal_is_the_same_object() {
    let mut world = world(&format!("{BASE}---{ROUTES}"));
    let mut memo = Memo::default();
    let mut again = |world: &World| resolve_again(world, &key("gw"), &options(), &mut memo).expect("ours");
    let first = again(&world);
    for change in [
        "kind: Service\nmetadata: {name: other}\nspec: {ports: [{port: 1}]}",
        "kind: Namespace\nmetadata: {name: other}",
        "kind: InferenceModel\nmetadata: {name: other}\nspec: {modelName: other, poolRef: {name: other}}",
        "kind: HTTPRoute\nmetadata: {name: r1, resourceVersion: '2'}\nspec: {parentRefs: [{name: gw}], rules: [{matches: [{path: \
         {value: /1}}], backendRefs: [{name: late, port: 80}]}]}",
    ] {
        add(&mut world, change);
        let next = again(&world);
        assert_eq!(next, first, "{change}");
        let same_host = Arc::ptr_eq(&next.port(80).virtual_hosts[0], &first.port(80).virtual_hosts[0]);
        let same_reports =
            next.reports.routes.values().zip(first.reports.routes.values()).all(|(a, b)| Arc::ptr_eq(a, b));
        assert!(same_host && same_reports, "{change}");
    }
}

#[test]
fn unchanged_routes_are_the_same_objects() {
    let mut world = world(&format!("{BASE}---{ROUTES}"));
    let mut memo = Memo::default();
    let mut again = |world: &World| {
        let resolved = resolve_again(world, &key("gw"), &options(), &mut memo).expect("ours");
        let routes = resolved.port(80).virtual_hosts[0].routes.iter();
        routes.map(|route| (route.origin.key.name.clone(), Arc::clone(route))).collect::<Vec<_>>()
    };
    let first = again(&world);
    add(&mut world, STEPS[5].0);
    let second = again(&world);
    let same: Vec<bool> = first.iter().zip(&second).map(|((_, a), (_, b))| Arc::ptr_eq(a, b)).collect();
    assert_eq!((first[0].0.as_str(), same), ("r1", vec![false, true]));
}
