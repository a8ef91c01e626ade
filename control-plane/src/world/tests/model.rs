//! Properties, against brute force: the index equals one made from nothing but the objects, and whatever resolving
//! could see differently is dirty.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{super::selectors::selects, objects::*, *};
use crate::api::Object;

fn name() -> impl Strategy<Value = String> {
    (select(vec!["a", "b"]), select(vec!["x", "y", "z"]))
        .prop_map(|(namespace, name)| format!("{namespace}/{name}"))
}

fn plain() -> impl Strategy<Value = &'static str> {
    select(vec!["x", "y", "z"])
}

fn labels() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let label = (select(vec!["app", "tier"]), select(vec!["x", "y"]));
    vec(label, 0..3)
}

fn any_object() -> impl Strategy<Value = AnyObject> {
    let backend = (select(vec!["Service", "InferencePool"]), name());
    prop_oneof![
        1 => plain().prop_map(gateway_class),
        2 => (name(), plain(), proptest::option::of(plain()))
            .prop_map(|(n, class, secret)| gateway(&n, class, secret)),
        3 => (name(), vec(name(), 0..3), vec(backend, 0..3)).prop_map(|(n, parents, backends)| {
            let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
            let backends: Vec<(&str, &str)> =
                backends.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
            route(&n, &parents, &backends)
        }),
        3 => (name(), labels(), proptest::option::of(plain()))
            .prop_map(|(n, labels, picker)| pool(&n, &labels, picker)),
        1 => name().prop_map(|n| service(&n)),
        1 => (name(), plain(), select(vec!["10.0.0.1", "10.0.0.2"]))
            .prop_map(|(n, service, ip)| slice(&n, service, ip)),
        4 => (name(), labels(), select(vec!["", "x", "y"])).prop_map(|(n, labels, node)| pod(&n, &labels, node)),
        1 => (plain(), plain()).prop_map(|(n, product)| node(n, product)),
        1 => (name(), select(vec!["a", "b"])).prop_map(|(n, from)| grant(&n, from)),
        1 => (name(), plain(), plain()).prop_map(|(n, service, bundle)| tls_policy(&n, service, bundle)),
        1 => (name(), plain()).prop_map(|(n, value)| secret(&n, value)),
        1 => (name(), any::<bool>()).prop_map(|(n, managed)| {
            config_map(&n, managed.then_some("inference.networking.k8s.io/bbr-managed"))
        }),
        1 => (name(), plain(), 0..3).prop_map(|(n, pool, priority)| objective(&n, pool, priority)),
        1 => (name(), plain(), plain()).prop_map(|(n, pool, target)| rewrite(&n, pool, target)),
        1 => (name(), plain(), plain()).prop_map(|(n, pool, name)| model(&n, pool, name)),
        1 => (select(vec!["a", "b"]), select(vec!["t1", "t2"])).prop_map(|(n, team)| namespace(n, team)),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => any_object().prop_map(Change::Apply),
        4 => any_object().prop_map(|object| Change::Delete(object.object_ref())),
        1 => vec(any_object(), 0..6).prop_map(|objects| {
            let kind = objects.first().map_or(Kind::Pod, AnyObject::kind);
            Change::ReplaceKind(kind, objects)
        }),
        1 => vec(any_object(), 0..20).prop_map(Change::ReplaceAll),
    ]
}

/// All that resolving a Gateway may look at, found by walking everything; endpoints aside.
fn sight(world: &World, gateway: &NamespacedName) -> String {
    let Some(object) = world.gateways.get(gateway) else { return "absent".into() };
    let class = world.gateway_classes.get(&NamespacedName::new("", &object.spec.gateway_class_name));
    let routes: Vec<_> = world.http_routes.values().filter(|r| keys::parents(r).contains(gateway)).collect();
    let mut seen = format!("{object:?} {class:?} {routes:?}");
    for backend in routes.iter().flat_map(|route| keys::backends(route)) {
        // A grant matters only to references from other namespaces, of those that it names.
        let foreign: BTreeSet<&str> = routes
            .iter()
            .filter(|route| keys::backends(route).contains(&backend))
            .map(|route| route.metadata.namespace.as_str())
            .filter(|namespace| *namespace != backend.key.namespace)
            .collect();
        let matters = |g: &&Arc<ReferenceGrant>| {
            g.metadata.namespace == backend.key.namespace
                && g.spec.from.iter().any(|from| foreign.contains(from.namespace.as_str()))
        };
        seen += &format!(" {:?}", world.reference_grants.values().filter(matters).collect::<Vec<_>>());
        if backend == Backend::service(backend.key.clone()) {
            seen += &format!(" {:?} {}", world.services.get(&backend.key), policies(world, &backend.key));
            continue;
        }
        let pool = world.pools.get(&backend.key);
        let picker = pool.and_then(|pool| keys::picker(pool).into_iter().next());
        let in_pool = |key: BTreeSet<NamespacedName>| key.contains(&backend.key);
        let rewrites: Vec<_> =
            world.rewrites.values().filter(|o| in_pool(keys::pool(o.as_ref(), &o.spec.pool_ref))).collect();
        let models: Vec<_> =
            world.models.values().filter(|o| in_pool(keys::pool(o.as_ref(), &o.spec.pool_ref))).collect();
        let picker = picker.map(|p| (world.services.get(&p), policies(world, &p)));
        seen += &format!(" {pool:?} {picker:?} {rewrites:?} {models:?}");
    }
    for secret in
        world.secrets.values().filter(|s| keys::settings(object).contains(&keys::Setting::secret(s.key())))
    {
        seen += &format!(" {:?}", secret.string_data);
    }
    if object.spec.listeners.iter().any(|l| l.allowed_routes.namespaces.selector.is_some()) {
        let team = |n: &Arc<Namespace>| n.metadata.labels.get("team").map(|team| team == "t2");
        seen += &format!(" {:?}", world.namespaces.values().map(|n| (n.key(), team(n))).collect::<Vec<_>>());
    }
    let mappings = world.config_maps.values().filter(|map| !map.metadata.labels.is_empty());
    seen + &format!(" {:?}", mappings.collect::<Vec<_>>())
}

/// The policies for a Service, with what they name.
fn policies(world: &World, service: &NamespacedName) -> String {
    let policies = world.backend_tls_policies.values().filter(|policy| {
        policy.metadata.namespace == service.namespace
            && policy.spec.target_refs.iter().any(|target| target.name == service.name)
    });
    let with_bundles = policies.map(|policy| {
        let references = policy.spec.validation.ca_certificate_refs.iter();
        let keys = references.map(|r| NamespacedName::new(&policy.metadata.namespace, &r.name));
        (policy, keys.map(|key| world.config_maps.get(&key)).collect::<Vec<_>>())
    });
    format!("{:?}", with_bundles.collect::<Vec<_>>())
}

/// All that a pool's endpoints come from.
fn endpoints(world: &World, pool: &NamespacedName) -> String {
    let Some(pool) = world.pools.get(pool) else { return String::new() };
    let pods: Vec<_> = world.pods.values().filter(|pod| selects(pool, pod)).collect();
    let nodes: BTreeMap<_, _> = pods
        .iter()
        .map(|pod| (&pod.spec.node_name, world.nodes.get(&NamespacedName::new("", &pod.spec.node_name))))
        .collect();
    format!("{pods:?} {nodes:?}")
}

fn check(before: &World, after: &World, dirty: &Dirty) -> Result<(), TestCaseError> {
    prop_assert_eq!(&after.index, &after.clone().reindexed().index);
    for gateway in before.gateways.keys().chain(after.gateways.keys()) {
        if sight(before, gateway) != sight(after, gateway) {
            prop_assert!(dirty.gateways.contains(gateway), "gateway {gateway} is not dirty");
        }
    }
    for pool in before.pools.keys().chain(after.pools.keys()) {
        let found: Vec<_> = after.pods_of(pool).map(|pod| pod.key()).collect();
        let selected = |pod: &&Arc<Pod>| after.pools.get(pool).is_some_and(|pool| selects(pool, pod));
        prop_assert_eq!(found, after.pods.values().filter(selected).map(|pod| pod.key()).collect::<Vec<_>>());
        if endpoints(before, pool) != endpoints(after, pool) {
            let known =
                dirty.pools.contains(pool) || dirty.endpoints.contains(&EndpointOwner::Pool(pool.clone()));
            prop_assert!(known, "endpoints of {pool} are not dirty");
        }
    }
    for name in &dirty.gateways {
        prop_assert!(before.gateways.contains_key(name) || after.gateways.contains_key(name));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_index_is_right_and_what_differs_is_dirty(batches in vec(vec(change(), 1..6), 1..12)) {
        let mut world = World::default();
        for batch in batches {
            let batch: Batch = batch.into_iter().collect();
            let (next, dirty) = world.apply(&batch);
            check(&world, &next, &dirty)?;
            // The same batch again changes nothing.
            let (again, nothing) = next.apply(&batch);
            prop_assert!(nothing.is_empty(), "{:?}", nothing);
            prop_assert_eq!(&again.index, &next.index);
            world = next;
        }
    }
}
