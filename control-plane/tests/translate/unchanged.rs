//! What a change re-encodes, and that versions say so.

use std::sync::Arc;

use control_plane::{
    gateway::ir::*,
    translate::{Cache, Settings, endpoint_resource, snapshot, view},
    xds::{ResourceType, Snapshot},
};

use crate::{building::*, cases};

fn kinds_that_differ(a: &Snapshot, b: &Snapshot) -> Vec<ResourceType> {
    let same = |kind: ResourceType| {
        a.of(kind).count() == b.of(kind).count() && a.of(kind).zip(b.of(kind)).all(|(x, y)| Arc::ptr_eq(x, y))
    };
    ResourceType::ALL.into_iter().filter(|&kind| !same(kind)).collect()
}

/// The same Gateway in new allocations.
fn anew(ir: &Gateway) -> Gateway {
    let mut ir = ir.clone();
    for listener in &mut ir.listeners {
        let mut copy = (**listener).clone();
        for host in copy.protocol.http_mut().flat_map(|http| &mut http.virtual_hosts) {
            let mut copy = (**host).clone();
            copy.routes.iter_mut().for_each(|r| *r = Arc::new((**r).clone()));
            *host = Arc::new(copy);
        }
        *listener = Arc::new(copy);
    }
    ir.clusters.values_mut().for_each(|c| *c = Arc::new((**c).clone()));
    ir
}

/// Changes a route of the first virtual host.
fn with_other_route(ir: &Gateway, change: impl FnOnce(&mut Route)) -> Gateway {
    let mut ir = ir.clone();
    let http = Arc::make_mut(&mut ir.listeners[0]).protocol.http_mut().next().unwrap();
    change(Arc::make_mut(&mut Arc::make_mut(&mut http.virtual_hosts[0]).routes[0]));
    ir
}

#[test]
fn what_is_equal_is_shared() {
    for (name, case, settings) in cases::all() {
        let mut cache = Cache::default();
        let first = snapshot(&case.ir, &case.endpoints, &settings, None, &mut cache);
        for (ir, how) in [(case.ir.clone(), "same objects"), (anew(&case.ir), "equal objects")] {
            let next = snapshot(&ir, &case.endpoints, &settings, Some(&first), &mut cache);
            assert_eq!(kinds_that_differ(&first, &next), [], "{name}, {how}");
        }
        let alone = snapshot(&anew(&case.ir), &case.endpoints, &settings, None, &mut Cache::default());
        for kind in ResourceType::ALL {
            let versions = |s: &Snapshot| s.of(kind).map(|r| r.version).collect::<Vec<_>>();
            assert_eq!(versions(&first), versions(&alone), "{name}: versions are the same on every replica");
        }
    }
}

#[test]
fn a_changed_route_changes_its_route_configuration_only_and_as_if_made_anew() {
    for (_, case, settings) in cases::all().into_iter().take(4) {
        let mut cache = Cache::default();
        let first = snapshot(&case.ir, &case.endpoints, &settings, None, &mut cache);
        let http = case.ir.listeners[0].protocol.http().next().unwrap();
        if http.virtual_hosts[0].routes.is_empty() {
            continue;
        }
        let ir = with_other_route(&case.ir, |route| {
            route.matches.path = PathCondition::Exact("/changed".to_owned());
        });
        let next = snapshot(&ir, &case.endpoints, &settings, Some(&first), &mut cache);
        assert_eq!(kinds_that_differ(&first, &next), [ResourceType::Route]);
        let alone = snapshot(&ir, &case.endpoints, &settings, None, &mut Cache::default());
        assert_eq!(view(&next), view(&alone));
        assert_ne!(view(&next), view(&first));
    }
}

#[test]
fn a_changed_cluster_reaches_the_routes_that_read_it() {
    let (_, case, settings) = cases::all().remove(0);
    let mut cache = Cache::default();
    let first = snapshot(&case.ir, &case.endpoints, &settings, None, &mut cache);
    let mut changed = case.clone();
    let cluster = changed.ir.clusters.get_mut(&pool("apps/llama")).unwrap();
    let Upstream::Pool(_, Some(picker)) = &mut Arc::make_mut(cluster).upstream else { panic!("a pool") };
    picker.mode = PickerMode::FullDuplex;
    let next = snapshot(&changed.ir, &changed.endpoints, &settings, Some(&first), &mut cache);
    assert_eq!(kinds_that_differ(&first, &next), [ResourceType::Cluster, ResourceType::Route]);
    let alone = snapshot(&changed.ir, &changed.endpoints, &settings, None, &mut Cache::default());
    assert_eq!(view(&next), view(&alone));
}

#[test]
fn settings_reach_listeners_and_routes() {
    let (_, case, settings) = cases::all().remove(1);
    let mut cache = Cache::default();
    let first = snapshot(&case.ir, &case.endpoints, &settings, None, &mut cache);
    let other = Settings { body_limit_bytes: 1 << 10, ..settings };
    let next = snapshot(&case.ir, &case.endpoints, &other, Some(&first), &mut cache);
    assert_eq!(kinds_that_differ(&first, &next), [ResourceType::Listener, ResourceType::Route]);
}

#[test]
fn endpoints_change_alone_and_labels_do_not_count() {
    let (_, case, settings) = cases::all().remove(0);
    let name = pool("apps/llama");
    let mut cache = Cache::default();
    let first = snapshot(&case.ir, &case.endpoints, &settings, None, &mut cache);
    let mut set = (*case.endpoints[&name]).clone();
    Arc::make_mut(&mut set.endpoints[0]).labels.insert("a".to_owned(), "b".to_owned());
    let in_first = first.get(ResourceType::Endpoint, name.as_str()).unwrap();
    assert_eq!(&endpoint_resource(&set), in_first);
    Arc::make_mut(&mut set.endpoints[0]).state = EndpointState::Draining;
    assert_ne!(endpoint_resource(&set).version, in_first.version);
    let mut endpoints = case.endpoints.clone();
    endpoints.insert(name, Arc::new(set));
    let next = snapshot(&case.ir, &endpoints, &settings, Some(&first), &mut cache);
    assert_eq!(kinds_that_differ(&first, &next), [ResourceType::Endpoint]);
}
