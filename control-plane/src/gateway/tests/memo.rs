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
const STEPS: [(&str, [&str; 3]); 7] = [
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
