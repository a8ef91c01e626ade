//! Where a client stands: what the registry of nodes, status and `signalbox status` show.

use std::sync::Arc;

use super::Session;
use crate::xds::{Release, ResourceType, Version};

/// Where a client stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The release that it was last given.
    pub release: Option<Arc<Release>>,
    /// Whether it asked for all types of that release and accepted everything that it asked for. Removals that wait
    /// for requests in flight do not count.
    pub current: bool,
    /// The version of each type that it holds; `None` until it accepted one.
    pub versions: [Option<Version>; ResourceType::ALL.len()],
    /// What it rejects.
    pub rejected: Vec<Rejection>,
}

/// A resource whose version a client rejected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejection {
    /// Type.
    pub kind: ResourceType,
    /// Name.
    pub name: Arc<str>,
    /// The version that was rejected.
    pub version: Version,
    /// Envoy's words.
    pub message: Arc<str>,
}

impl Session {
    /// Where the client stands.
    pub fn standing(&self) -> Standing {
        let mut versions = self.acked;
        let mut rejected = Vec::new();
        for kind in ResourceType::ALL {
            let ledger = &self.ledgers[kind as usize];
            for (name, parked) in ledger.parked() {
                let (name, message) = (name.clone(), parked.message.clone());
                rejected.push(Rejection { kind, name, version: parked.version, message });
            }
            if let Some(release) = &self.release
                && ledger.subscription.started()
                && ledger.is_settled()
                && ledger.parked().is_empty()
            {
                versions[kind as usize] = Some(release.version(kind));
            }
        }
        Standing { release: self.release.clone(), current: self.is_current(), versions, rejected }
    }

    fn is_current(&self) -> bool {
        let Some(release) = &self.release else { return false };
        ResourceType::ALL.into_iter().all(|kind| {
            let ledger = &self.ledgers[kind as usize];
            // Secrets may be in a snapshot without anyone who uses them.
            let asked = ledger.subscription.started()
                || kind == ResourceType::Secret
                || release.snapshot().of(kind).next().is_none();
            asked && ledger.is_settled() && ledger.parked().is_empty()
        })
    }
}

impl Standing {
    /// Whether nothing differs that a reader would see.
    pub(in crate::xds) fn same(&self, other: &Self) -> bool {
        let release = match (&self.release, &other.release) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        release
            && self.current == other.current
            && self.versions == other.versions
            && self.rejected == other.rejected
    }
}
