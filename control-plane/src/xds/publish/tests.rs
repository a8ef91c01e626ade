use futures_util::FutureExt as _;

use super::*;
use crate::xds::{Resource, ResourceType, Version};

fn snapshot(version: u64) -> Arc<Snapshot> {
    let mut snapshot = Snapshot::default();
    let resource = Resource { name: "c".into(), version: Version(version), any: bytes::Bytes::new() };
    snapshot.insert(ResourceType::Cluster, Arc::new(resource));
    Arc::new(snapshot)
}

fn version(release: &Release) -> u64 {
    release.snapshot().get(ResourceType::Cluster, "c").unwrap().version.0
}

#[test]
fn a_stream_sees_the_latest_and_skips_the_rest() {
    let (publisher, gateway) = (Publisher::default(), NamespacedName::new("ns", "gw"));
    let mut following = publisher.follow(&gateway);
    assert!(following.next().now_or_never().is_none(), "unknown Gateways wait");
    publisher.publish(&gateway, snapshot(1));
    publisher.publish(&gateway, snapshot(2));
    assert_eq!(version(&following.next().now_or_never().unwrap()), 2);
    publisher.publish(&gateway, snapshot(2));
    assert!(following.next().now_or_never().is_none(), "equal versions are not news");
    publisher.remove(&gateway);
    assert!(following.next().now_or_never().is_none(), "a removal is not told to streams");
    assert!(publisher.current(&gateway).is_none() && publisher.snapshots().is_empty());
    publisher.publish(&gateway, snapshot(2));
    assert_eq!(version(&following.next().now_or_never().unwrap()), 2);
}

#[test]
fn a_late_stream_gets_the_latest_at_once() {
    let (publisher, gateway) = (Publisher::default(), NamespacedName::new("ns", "gw"));
    publisher.publish(&gateway, snapshot(1));
    assert_eq!(version(&publisher.follow(&gateway).next().now_or_never().unwrap()), 1);
    assert_eq!(publisher.current(&gateway).unwrap(), snapshot(1));
}

#[test]
fn gateways_that_nobody_knows_are_not_kept() {
    let (publisher, gateway) = (Publisher::default(), NamespacedName::new("ns", "gw"));
    drop((publisher.follow(&gateway), publisher.follow(&gateway)));
    assert!(publisher.gateways.lock().is_empty());
    publisher.publish(&gateway, snapshot(1));
    drop(publisher.follow(&gateway));
    assert!(publisher.current(&gateway).is_some());
    publisher.remove(&gateway);
    assert!(publisher.gateways.lock().is_empty());
}
