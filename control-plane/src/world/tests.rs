//! Table tests of what is dirty. `model.rs` holds the property tests against brute force.

mod model;
mod objects;

use super::*;
use crate::{
    api::{Kind, ObjectRef},
    source::{Change, Diagnostic},
};
use objects::*;

fn key(text: &str) -> NamespacedName {
    let (namespace, name) = text.split_once('/').unwrap_or(("", text));
    NamespacedName::new(namespace, name)
}

/// Two Gateways, three routes, two pools, and all that hangs on them.
fn world() -> World {
    World::from_objects([
        gateway_class("c"),
        gateway("a/gw", "c", Some("cert")),
        gateway("b/gw", "c", Some("a/shared")),
        route("a/r1", &["a/gw"], &[("InferencePool", "a/llm")]),
        route("a/r2", &["a/gw", "b/gw"], &[("Service", "b/web")]),
        route("b/r3", &["b/gw"], &[("InferencePool", "b/chat")]),
        pool("a/llm", &[("app", "llm")], Some("epp")),
        pool("b/chat", &[("app", "chat")], None),
        service("a/epp"),
        service("b/web"),
        slice("b/web-1", "web", "10.1.0.1"),
        pod("a/p1", &[("app", "llm"), ("x", "y")], "n1"),
        pod("b/p2", &[("app", "chat")], "n1"),
        pod("b/p3", &[("app", "other")], "n2"),
        node("n1", "a100"),
        node("n2", "h100"),
        grant("b/g", "a"),
        secret("a/cert", "1"),
        objective("a/o", "llm", 1),
        rewrite("a/rw", "llm", "x"),
        model("b/m", "chat", "y"),
        namespace("a", "t1"),
    ])
}

/// What a batch makes dirty, in words.
fn dirt(world: &World, changes: impl IntoIterator<Item = Change>) -> String {
    let (next, dirty) = world.apply(&changes.into_iter().collect());
    assert_eq!(next.index, next.clone().reindexed().index);
    let mut words: Vec<String> = dirty.gateways.iter().map(|k| format!("gateway {k}")).collect();
    words.extend(dirty.classes.iter().map(|k| format!("class {k}")));
    words.extend(dirty.pools.iter().map(|k| format!("pool {k}")));
    words.extend(dirty.endpoints.iter().map(|owner| match owner {
        EndpointOwner::Pool(k) => format!("endpoints of pool {k}"),
        EndpointOwner::Service(k) => format!("endpoints of service {k}"),
    }));
    words.extend(dirty.observed.iter().map(|o| format!("observed {o}")));
    assert_eq!(words.is_empty(), dirty.is_empty());
    words.join(", ")
}

#[test]
fn queries() {
    let world = world();
    let names = |objects: Vec<NamespacedName>| objects.iter().map(ToString::to_string).collect::<Vec<_>>();
    let routes = |gateway| names(world.routes_of(&key(gateway)).map(|o| o.metadata.key()).collect());
    assert_eq!(routes("a/gw"), ["a/r1", "a/r2"]);
    assert_eq!(routes("b/gw"), ["a/r2", "b/r3"]);
    assert_eq!(names(world.pods_of(&key("a/llm")).map(|o| o.metadata.key()).collect()), ["a/p1"]);
    assert_eq!(names(world.slices_of(&key("b/web")).map(|o| o.metadata.key()).collect()), ["b/web-1"]);
    assert_eq!(names(world.grants_in("b").map(|o| o.metadata.key()).collect()), ["b/g"]);
    assert_eq!(names(world.objectives_of(&key("a/llm")).map(|o| o.metadata.key()).collect()), ["a/o"]);
    assert_eq!(names(world.rewrites_of(&key("a/llm")).map(|o| o.metadata.key()).collect()), ["a/rw"]);
    assert_eq!(names(world.models_of(&key("b/chat")).map(|o| o.metadata.key()).collect()), ["b/m"]);
    let referring =
        |pool| names(world.gateways_referring_to_pool(&key(pool)).map(|o| o.metadata.key()).collect());
    assert_eq!(referring("a/llm"), ["a/gw"]);
    assert_eq!(referring("b/chat"), ["b/gw"]);
    let serving = |s| names(world.gateways_referring_to_service(&key(s)).map(|o| o.metadata.key()).collect());
    assert_eq!(serving("b/web"), ["a/gw", "b/gw"]);
    assert_eq!(serving("a/epp"), ["a/gw"]);
    assert_eq!(names(world.pools_with_picker(&key("a/epp")).map(|o| o.metadata.key()).collect()), ["a/llm"]);
    assert_eq!(world.grants_in("").count() + world.grants_in("a").count() + world.grants_in("bb").count(), 0);
}

#[test]
fn what_each_change_makes_dirty() {
    let apply = |object: AnyObject| vec![Change::Apply(object)];
    let delete = |kind, name| vec![Change::Delete(ObjectRef::new(kind, key(name)))];
    let world = world();
    let cases = [
        // Endpoints alone.
        (apply(pod("a/p1", &[("app", "llm")], "n2")), "endpoints of pool a/llm"),
        (apply(pod("a/p9", &[("app", "llm")], "")), "endpoints of pool a/llm"),
        (apply(pod("b/p2", &[("app", "gone")], "n1")), "endpoints of pool b/chat"),
        (apply(pod("b/p3", &[("app", "other")], "n1")), ""),
        (delete(Kind::Pod, "a/p1"), "endpoints of pool a/llm"),
        (apply(slice("b/web-1", "web", "10.1.0.2")), "endpoints of service b/web"),
        (
            apply(slice("b/web-1", "api", "10.1.0.1")),
            "endpoints of service b/api, endpoints of service b/web",
        ),
        (apply(node("n1", "h100")), "endpoints of pool a/llm, endpoints of pool b/chat"),
        (apply(node("n2", "a100")), ""),
        // Routes and Gateways.
        (apply(route("a/r1", &["b/gw"], &[("InferencePool", "a/llm")])), "gateway a/gw, gateway b/gw"),
        (apply(route("a/r9", &["a/none"], &[])), ""),
        (delete(Kind::HTTPRoute, "b/r3"), "gateway b/gw"),
        (delete(Kind::Gateway, "a/gw"), "gateway a/gw"),
        (apply(gateway("c/gw", "c", None)), "gateway c/gw"),
        (delete(Kind::GatewayClass, "c"), "gateway a/gw, gateway b/gw, class c"),
        // What they refer to.
        (apply(grant("b/g", "c")), "gateway a/gw, gateway b/gw"),
        (apply(grant("a/g", "b")), "gateway b/gw"),
        (apply(grant("c/g", "b")), ""),
        (delete(Kind::Service, "b/web"), "gateway a/gw, gateway b/gw"),
        (delete(Kind::Service, "a/epp"), "gateway a/gw"),
        (apply(service("a/unused")), ""),
        (apply(secret("a/cert", "2")), "gateway a/gw"),
        (apply(secret("a/shared", "2")), "gateway b/gw"),
        (apply(secret("b/cert", "2")), ""),
        (apply(config_map("z/m", None)), ""),
        (
            apply(config_map("z/m", Some("inference.networking.k8s.io/bbr-managed"))),
            "gateway a/gw, gateway b/gw",
        ),
        (apply(config_map("z/m", Some("inference.llm-d.ai/ipp-managed"))), "gateway a/gw, gateway b/gw"),
        // The listener of Gateways in namespace `b` selects namespaces with `team: t2`.
        (apply(namespace("a", "t2")), "gateway b/gw"),
        (apply(namespace("a", "t3")), ""),
        // Pools and models.
        (apply(pool("a/llm", &[("app", "llm")], None)), "gateway a/gw, pool a/llm"),
        (apply(pool("c/new", &[("app", "llm")], None)), "pool c/new"),
        (delete(Kind::InferencePool, "b/chat"), "gateway b/gw, pool b/chat"),
        (apply(objective("a/o", "llm", 2)), "pool a/llm"),
        (apply(objective("a/o", "none", 2)), "pool a/llm"),
        (apply(rewrite("a/rw", "llm", "z")), "gateway a/gw, pool a/llm"),
        (delete(Kind::InferenceModel, "b/m"), "gateway b/gw, pool b/chat"),
    ];
    for (changes, expected) in cases {
        let shown = format!("{changes:?}");
        assert_eq!(dirt(&world, changes), expected, "{shown}");
    }
}

#[test]
fn equal_objects_keep_their_place_and_make_nothing_dirty() {
    let before = world();
    let again = Batch::replace_all(all(&world()));
    let (after, dirty) = before.apply(&again);
    assert!(dirty.is_empty(), "{dirty:?}");
    assert!(before.pods.ptr_eq(&after.pods) && before.http_routes.ptr_eq(&after.http_routes));
    for ((_, old), (_, new)) in before.gateways.iter().zip(&after.gateways) {
        assert!(Arc::ptr_eq(old, new));
    }
}

#[test]
fn status_and_resource_version_are_observed_only() {
    let world = world();
    let mut changed = InferencePool::clone(&world.pools[&key("a/llm")]);
    changed.metadata.resource_version = "7".into();
    changed.status = pool_status("a/gw");
    let changes = [Change::Apply(changed.clone().into())];
    assert_eq!(dirt(&world, changes.clone()), "observed InferencePool a/llm");
    let (next, _) = world.apply(&changes.into_iter().collect());
    assert_eq!(*next.pools[&key("a/llm")], changed);
}

#[test]
fn a_relist_removes_what_is_gone_but_not_what_could_not_be_read() {
    let world = world();
    let relist = |invalid: Option<&str>| {
        let diagnostic = |name: &str| Diagnostic {
            object: Some(ObjectRef::new(Kind::HTTPRoute, key(name))),
            ..Diagnostic::default()
        };
        let objects = vec![route("b/r3", &["b/gw"], &[("InferencePool", "b/chat")])];
        let relist = Change::ReplaceKind(Kind::HTTPRoute, objects);
        let batch: Batch =
            [relist].into_iter().chain(invalid.map(|n| Change::Invalid(diagnostic(n)))).collect();
        world.apply(&batch)
    };
    let (next, dirty) = relist(None);
    assert_eq!(next.http_routes.len(), 1);
    assert_eq!(dirty.gateways.len(), 2);
    assert_eq!(next.pods.len(), world.pods.len());
    let (next, dirty) = relist(Some("a/r2"));
    assert!(next.http_routes.contains_key(&key("a/r2")) && !next.http_routes.contains_key(&key("a/r1")));
    assert_eq!(dirty.gateways.into_iter().collect::<Vec<_>>(), [key("a/gw")]);
}

#[test]
fn later_changes_of_a_batch_win() {
    let world = world();
    let changes = [
        Change::ReplaceAll(Vec::new()),
        Change::Apply(service("a/epp")),
        Change::Delete(ObjectRef::new(Kind::Service, key("a/epp"))),
        Change::Apply(node("n1", "a100")),
    ];
    let (next, _) = world.apply(&changes.into_iter().collect());
    assert_eq!((next.services.len(), next.nodes.len(), next.pods.len()), (0, 1, 0));
}

#[test]
fn many_pools_that_arrive_after_their_pods_find_them() {
    let pods = (0..50).map(|i| pod(&format!("a/p{i}"), &[("app", &format!("m{}", i % 10)), ("x", "y")], ""));
    let world = World::from_objects(pods);
    let pools = (0..10).map(|i| pool(&format!("a/m{i}"), &[("app", &format!("m{i}"))], None)).collect();
    let (next, _) = world.apply(&[Change::ReplaceKind(Kind::InferencePool, pools)].into_iter().collect());
    assert!((0..10).all(|i| next.pods_of(&key(&format!("a/m{i}"))).count() == 5));
    assert_eq!(next.index, next.clone().reindexed().index);
}
