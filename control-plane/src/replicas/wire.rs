//! Reports as messages, within bounds.

use proto::tier::v1::{GatewayName, GatewayNodes, Rejection};

use super::Reported;
use crate::{
    api::NamespacedName,
    xds::{GatewayState, Nack, ResourceType, Version},
};

/// Bytes of Envoy's words; longer ones are cut.
const MESSAGE: usize = 4096;
/// Rejections of a Gateway, names of a rejection, and Envoys of a rejection; of more, the first are told.
const REJECTIONS: usize = 16;
const NAMES: usize = 100;
const NODES: usize = 20;

/// Envoy's words as far as they are told.
pub(super) fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE)]
}

pub(super) fn gateway_name(name: &NamespacedName) -> GatewayName {
    GatewayName { namespace: name.namespace.clone(), name: name.name.clone() }
}

pub(super) fn key(name: GatewayName) -> NamespacedName {
    NamespacedName::new(name.namespace, name.name)
}

/// The message for a Gateway's state; at most about half a megabyte.
pub(super) fn encode(name: &NamespacedName, state: &GatewayState) -> GatewayNodes {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let first = |names: &[String], most| names.iter().take(most).cloned().collect();
    let rejection = |nack: &Nack| Rejection {
        type_url: nack.kind.type_url().to_owned(),
        resources: first(&nack.resources, NAMES),
        version: nack.version.0,
        message: cut(&nack.message).to_owned(),
        nodes: first(&nack.nodes, NODES),
    };
    GatewayNodes {
        name: Some(gateway_name(name)),
        configuration: state.configuration.map(|version| version.0),
        connected: count(state.connected),
        current: count(state.current),
        rejections: state.nacks.iter().take(REJECTIONS).map(rejection).collect(),
    }
}

/// What a message says. Rejections of types that are not known here are left out: nothing of theirs is held here either.
pub(super) fn decode(message: GatewayNodes) -> Option<(NamespacedName, Reported)> {
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let nack = |rejection: Rejection| {
        Some(Nack {
            kind: ResourceType::from_type_url(&rejection.type_url)?,
            resources: rejection.resources,
            version: Version(rejection.version),
            message: rejection.message,
            nodes: rejection.nodes,
        })
    };
    let reported = Reported {
        configuration: message.configuration.map(Version),
        connected: count(message.connected),
        current: count(message.current),
        nacks: message.rejections.into_iter().filter_map(nack).collect(),
    };
    Some((key(message.name?), reported))
}
