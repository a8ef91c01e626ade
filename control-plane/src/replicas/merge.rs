//! Decides what is true of a Gateway, from what this replica's own Envoys say and what others report of theirs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::wire;
use crate::xds::{GatewayState, Nack, ResourceType, Snapshot, Version};

/// What a replica says of the Envoys of a Gateway that are connected to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// The configuration that it has for them.
    pub configuration: Option<Version>,
    /// Connected Envoys.
    pub connected: usize,
    /// Those of them that accepted all of the configuration.
    pub current: usize,
    /// Rejected versions.
    pub nacks: Vec<Nack>,
}

/// What is true of all Envoys of a Gateway, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Connected Envoys.
    pub connected: usize,
    /// Whether there is one, and each accepted the configuration that this replica has.
    pub acknowledged: bool,
    /// Rejected versions, each once.
    pub nacks: Vec<Nack>,
}

/// Merges what is known of a Gateway. `snapshot` is what this replica has for it.
///
/// Another replica's word counts only for what this one has, too: an acknowledgement of another configuration is none,
/// and a rejected version that is not in `snapshot` is left out. So one that is behind, or ahead, keeps the Gateway from
/// being acknowledged until both have the same.
pub fn merge<'a>(
    own: &GatewayState,
    snapshot: Option<&Snapshot>,
    others: impl IntoIterator<Item = &'a Reported>,
) -> Merged {
    let mut connected = own.connected;
    let mut all_current = own.configuration.is_some() && own.current == own.connected;
    let mut nacks = Nacks::default();
    own.nacks.iter().for_each(|nack| nacks.add(nack, |_| true));
    for other in others.into_iter().filter(|other| other.connected > 0) {
        connected += other.connected;
        all_current &= other.configuration == own.configuration && other.current == other.connected;
        for nack in &other.nacks {
            let held = |name: &str| snapshot?.get(nack.kind, name).map(|resource| resource.version);
            nacks.add(nack, |name| held(name) == Some(nack.version));
        }
    }
    Merged { connected, acknowledged: connected > 0 && all_current, nacks: nacks.finish() }
}

/// Rejections by type, version and words: those that Envoys of several replicas agree about become one.
#[derive(Debug, Default)]
struct Nacks<'a>(BTreeMap<(ResourceType, Version, &'a str), Found<'a>>);

#[derive(Debug, Default)]
struct Found<'a> {
    message: &'a str,
    resources: BTreeSet<&'a str>,
    nodes: BTreeSet<&'a str>,
}

impl<'a> Nacks<'a> {
    fn add(&mut self, nack: &'a Nack, counts: impl Fn(&str) -> bool) {
        let resources: Vec<_> =
            nack.resources.iter().map(String::as_str).filter(|name| counts(name)).collect();
        if resources.is_empty() {
            return;
        }
        // Others' words come cut.
        let found = self.0.entry((nack.kind, nack.version, wire::cut(&nack.message))).or_default();
        if nack.message.len() > found.message.len() {
            found.message = &nack.message;
        }
        found.resources.extend(resources);
        found.nodes.extend(nack.nodes.iter().map(String::as_str));
    }

    fn finish(self) -> Vec<Nack> {
        let texts = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
        let nack = |((kind, version, _), found): (_, Found<'_>)| Nack {
            kind,
            version,
            resources: texts(found.resources),
            message: found.message.to_owned(),
            nodes: texts(found.nodes),
        };
        self.0.into_iter().map(nack).collect()
    }
}

#[cfg(test)]
mod tests;
