//! What follows from what replicas say.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::xds::Resource;

fn state(configuration: u64, connected: usize, current: usize, nacks: &[Nack]) -> GatewayState {
    GatewayState {
        configuration: Some(Version(configuration)),
        connected,
        current,
        nacks: nacks.to_vec(),
        ..GatewayState::default()
    }
}

fn reported(configuration: u64, connected: usize, current: usize, nacks: &[Nack]) -> Reported {
    Reported { configuration: Some(Version(configuration)), connected, current, nacks: nacks.to_vec() }
}

fn nack(resources: &[&str], version: u64, message: &str, nodes: &[&str]) -> Nack {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Nack {
        kind: ResourceType::Route,
        resources: texts(resources),
        version: Version(version),
        message: message.to_owned(),
        nodes: texts(nodes),
    }
}

fn snapshot(resources: &[(&str, u64)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, version) in resources {
        let resource = Resource { name: (*name).into(), version: Version(*version), any: Bytes::new() };
        snapshot.insert(ResourceType::Route, Arc::new(resource));
    }
    snapshot
}

#[test]
fn acknowledged_is_connected_anywhere_and_current_everywhere() {
    let nobody = || state(1, 0, 0, &[]);
    for (own, others, connected, acknowledged) in [
        // Nobody is connected, as far as is known.
        (nobody(), vec![], 0, false),
        (nobody(), vec![reported(1, 0, 0, &[])], 0, false),
        // Alone.
        (state(1, 2, 2, &[]), vec![], 2, true),
        (state(1, 2, 1, &[]), vec![], 2, false),
        // All are with others.
        (nobody(), vec![reported(1, 2, 2, &[])], 2, true),
        (nobody(), vec![reported(1, 2, 2, &[]), reported(1, 1, 1, &[])], 3, true),
        (nobody(), vec![reported(1, 2, 2, &[]), reported(1, 1, 0, &[])], 3, false),
        // Some here, some there.
        (state(1, 1, 1, &[]), vec![reported(1, 1, 1, &[])], 2, true),
        (state(1, 1, 0, &[]), vec![reported(1, 1, 1, &[])], 2, false),
        (state(1, 1, 1, &[]), vec![reported(1, 2, 1, &[])], 3, false),
        // The other one is behind, or ahead.
        (nobody(), vec![reported(2, 1, 1, &[])], 1, false),
        (state(1, 1, 1, &[]), vec![reported(2, 1, 1, &[])], 2, false),
        // It is behind, but has no Envoys.
        (state(1, 1, 1, &[]), vec![reported(2, 0, 0, &[])], 1, true),
        // Neither has a configuration: the Envoys wait for one.
        (
            GatewayState { configuration: None, ..state(0, 1, 1, &[]) },
            vec![Reported { configuration: None, ..reported(0, 1, 1, &[]) }],
            2,
            false,
        ),
        (state(1, 1, 1, &[]), vec![Reported { configuration: None, ..reported(0, 1, 0, &[]) }], 2, false),
    ] {
        let merged = merge(&own, None, &others);
        assert_eq!((merged.connected, merged.acknowledged), (connected, acknowledged), "{own:?} {others:?}");
    }
}

#[test]
fn rejections_are_merged_and_each_is_told_once() {
    let held = snapshot(&[("a", 1), ("b", 1), ("c", 2)]);
    for (own, other, expected) in [
        (vec![], vec![], vec![]),
        // Only the other one's Envoys reject.
        (vec![], vec![nack(&["a"], 1, "bad", &["e1"])], vec![nack(&["a"], 1, "bad", &["e1"])]),
        // Both for the same reason: resources and Envoys of both.
        (
            vec![nack(&["a"], 1, "bad", &["e1"])],
            vec![nack(&["a", "b"], 1, "bad", &["e2"])],
            vec![nack(&["a", "b"], 1, "bad", &["e1", "e2"])],
        ),
        // For another reason.
        (
            vec![nack(&["a"], 1, "bad", &["e1"])],
            vec![nack(&["a"], 1, "worse", &["e2"])],
            vec![nack(&["a"], 1, "bad", &["e1"]), nack(&["a"], 1, "worse", &["e2"])],
        ),
        // Of versions that are not, or no longer, held here; or only some of them.
        (vec![], vec![nack(&["a"], 9, "bad", &["e1"]), nack(&["gone"], 1, "bad", &["e1"])], vec![]),
        (vec![], vec![nack(&["a", "c"], 1, "bad", &["e1"])], vec![nack(&["a"], 1, "bad", &["e1"])]),
        // Our own Envoys' words count in any case.
        (vec![nack(&["x"], 9, "bad", &["e1"])], vec![], vec![nack(&["x"], 9, "bad", &["e1"])]),
    ] {
        let own = state(1, 1, 0, &own);
        let others = [reported(1, 1, 0, &other), reported(1, 1, 0, &other)];
        let merged = merge(&own, Some(&held), &others);
        assert_eq!(merged.nacks, expected);
        assert!(!merged.acknowledged);
    }
    // What one that has lost its Envoys said before they went.
    let stale = reported(1, 0, 0, &[nack(&["a"], 1, "bad", &["e1"])]);
    assert_eq!(merge(&state(1, 0, 0, &[]), Some(&held), [&stale]).nacks, []);
}

#[test]
fn words_that_were_cut_on_the_way_are_the_same_words() {
    let held = snapshot(&[("a", 1)]);
    let long = "ä".repeat(5000);
    let whole = nack(&["a"], 1, &long, &["e1"]);
    let short = nack(&["a"], 1, wire::cut(&long), &["e2"]);
    let merged = merge(&state(1, 1, 0, &[whole]), Some(&held), &[reported(1, 1, 0, &[short])]);
    assert_eq!(merged.nacks, [nack(&["a"], 1, &long, &["e1", "e2"])]);
}
