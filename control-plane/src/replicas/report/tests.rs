//! What is sent, and how much of it at once.

use super::*;
use crate::xds::{Nack, ResourceType, Version};

fn name(name: &str) -> NamespacedName {
    NamespacedName::new("ns", name)
}

fn states(gateways: &[(&str, usize, usize)]) -> Vec<(NamespacedName, GatewayState)> {
    let state = |(gateway, connected, current): &(&str, usize, usize)| {
        let configuration = Some(Version(7));
        let state = GatewayState {
            configuration,
            connected: *connected,
            current: *current,
            ..GatewayState::default()
        };
        (name(gateway), state)
    };
    gateways.iter().map(state).collect()
}

/// Names of changed and removed Gateways of each response, and whether it says that it is all.
fn shape(responses: &VecDeque<FollowResponse>) -> Vec<(Vec<String>, Vec<String>, bool)> {
    let names = |names: Vec<&proto::tier::v1::GatewayName>| names.iter().map(|n| n.name.clone()).collect();
    let response = |r: &FollowResponse| {
        let changed = r.changed.iter().filter_map(|gateway| gateway.name.as_ref()).collect();
        (names(changed), names(r.removed.iter().collect()), r.synced)
    };
    responses.iter().map(response).collect()
}

#[test]
fn at_first_all_then_what_differs() {
    let mut report = Report::of("me");
    let none = Vec::<(Vec<String>, Vec<String>, bool)>::new();
    let row = |changed: &[&str], removed: &[&str]| {
        let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        vec![(texts(changed), texts(removed), true)]
    };
    for (gateways, expected) in [
        // Gateways without Envoys are not told of; that this is all, is.
        (&[("a", 0, 0)][..], row(&[], &[])),
        (&[("a", 0, 0)], none.clone()),
        (&[("a", 1, 0), ("b", 1, 1)], row(&["a", "b"], &[])),
        (&[("a", 1, 1), ("b", 1, 1)], row(&["a"], &[])),
        (&[("a", 1, 1), ("b", 1, 1)], none),
        (&[("a", 0, 0), ("b", 2, 1)], row(&["b"], &["a"])),
        (&[], row(&[], &["b"])),
    ] {
        assert_eq!(shape(&report.observe(states(gateways))), expected, "{gateways:?}");
    }
}

#[test]
fn what_was_sent_is_what_is_read() {
    let nacks = vec![Nack {
        kind: ResourceType::Listener,
        resources: vec!["http-80".into()],
        version: Version(3),
        message: "bad".into(),
        nodes: vec!["e1".into()],
    }];
    let state = GatewayState { nacks: nacks.clone(), ..states(&[("a", 2, 1)]).remove(0).1 };
    let message = Report::of("me").observe([(name("a"), state)]).remove(0).unwrap().changed.remove(0);
    let (read, reported) = wire::decode(message).unwrap();
    assert_eq!(read, name("a"));
    assert_eq!(reported.configuration, Some(Version(7)));
    assert_eq!((reported.connected, reported.current), (2, 1));
    assert_eq!(reported.nacks, nacks);
}

#[test]
fn much_is_cut_and_sent_in_parts() {
    let nacks: Vec<_> = (0..100)
        .map(|i| Nack {
            kind: ResourceType::Route,
            resources: (0..1000).map(|j| format!("{j:0200}")).collect(),
            version: Version(i),
            message: "x".repeat(100_000),
            nodes: (0..1000).map(|j| format!("{j:060}")).collect(),
        })
        .collect();
    let names: Vec<_> = (0..40).map(|i| format!("g{i:02}")).collect();
    let states = names.iter().map(|gateway| {
        let nacks = nacks.clone();
        (name(gateway), GatewayState { connected: 1, nacks, ..GatewayState::default() })
    });
    let responses = Report::of("me").observe(states);
    // gRPC clients take 4 MiB unless told otherwise.
    assert!(responses.iter().all(|response| response.encoded_len() < 2 << 20));
    let shapes = shape(&responses);
    let told: Vec<_> = shapes.iter().flat_map(|(changed, ..)| changed.clone()).collect();
    assert_eq!(told, names);
    assert!(shapes.len() > 1 && shapes.len() < 40, "{}", shapes.len());
    let (last, before) = shapes.split_last().unwrap();
    assert!(last.2 && before.iter().all(|(.., synced)| !synced));
}
