use bytes::Bytes;

use super::*;
use crate::xds::{Release, Resource, Snapshot};

fn snapshot(version: u64) -> Arc<Snapshot> {
    let mut snapshot = Snapshot::default();
    let resource = Resource { name: "c".into(), version: Version(version), any: Bytes::new() };
    snapshot.insert(ResourceType::Cluster, Arc::new(resource));
    Arc::new(snapshot)
}

fn node(id: &str) -> Identity {
    Identity { id: id.into(), envoy: "1.40.0".into() }
}

fn at(release: &Arc<Release>) -> Standing {
    Standing { release: Some(release.clone()), current: true, ..Standing::default() }
}

#[test]
fn a_gateway_is_current_when_each_of_its_envoys_is() {
    let (publisher, gateway) = (Publisher::default(), NamespacedName::new("ns", "gw"));
    let nodes = Nodes::new(publisher.clone());
    publisher.publish(&gateway, snapshot(1));
    let release = publisher.release(&gateway).unwrap();
    assert!(!nodes.is_current(&gateway), "nobody is connected");

    let one = nodes.connect(&gateway, node("one"), Protocol::Delta, Timestamp::UNIX_EPOCH);
    let two = nodes.connect(&gateway, node("two"), Protocol::Sotw, Timestamp::UNIX_EPOCH);
    one.update(at(&release), Timestamp::UNIX_EPOCH);
    assert!(!nodes.is_current(&gateway));
    two.update(at(&release), Timestamp::UNIX_EPOCH);
    assert!(nodes.is_current(&gateway));

    publisher.publish(&gateway, snapshot(2));
    assert!(!nodes.is_current(&gateway), "both are at an older snapshot");
    one.update(at(&publisher.release(&gateway).unwrap()), Timestamp::UNIX_EPOCH);
    assert_eq!(nodes.gateway_state(&gateway).current, 1);
    drop(two);
    assert!(nodes.is_current(&gateway));
    drop(one);
    assert!(nodes.gateways().is_empty());
    assert_eq!(nodes.metrics().streams.get(), 0);
}

#[test]
fn rejections_are_merged_over_envoys() {
    let (publisher, gateway) = (Publisher::default(), NamespacedName::new("ns", "gw"));
    let nodes = Nodes::new(publisher);
    let rejection = |name: &str, version| Rejection {
        kind: ResourceType::Route,
        name: name.into(),
        version: Version(version),
        message: "missing ]".into(),
    };
    let connections = ["one", "two"].map(|id| {
        let connection = nodes.connect(&gateway, node(id), Protocol::Delta, Timestamp::UNIX_EPOCH);
        let rejected = vec![rejection("r", 1), rejection(id, 2)];
        connection.update(Standing { rejected, ..Standing::default() }, Timestamp::UNIX_EPOCH);
        connection
    });
    let nacks = nodes.gateway_state(&gateway).nacks;
    let seen: Vec<_> = nacks.iter().map(|n| (n.resources.join(","), n.nodes.join(","))).collect();
    assert_eq!(seen, [("r".into(), "one,two".into()), ("one,two".into(), "one,two".into())]);
    drop(connections);
}

#[test]
fn only_what_a_reader_sees_wakes_readers() {
    let (publisher, gateway) = (Publisher::default(), NamespacedName::new("ns", "gw"));
    let nodes = Nodes::new(publisher);
    let mut changes = nodes.subscribe_changes();
    let connection = nodes.connect(&gateway, node("one"), Protocol::Delta, Timestamp::UNIX_EPOCH);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    connection.update(Standing::default(), Timestamp::MAX);
    assert!(!changes.has_changed().unwrap());
    assert_eq!(nodes.gateway_state(&gateway).nodes[0].seen, Timestamp::MAX);
    connection.update(Standing { current: true, ..Standing::default() }, Timestamp::MAX);
    assert!(changes.has_changed().unwrap());
}
