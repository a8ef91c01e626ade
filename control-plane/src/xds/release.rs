//! A snapshot as it is handed to streams: with the version of each type and what changed since the one before.
//!
//! ```text
//! snapshot n ─▶ Release n ─┐
//! snapshot n+1 ────────────┴▶ Release n+1 { versions, changed names } ─▶ every stream
//! ```
//!
//! The comparison is made once per change and shared: a stream that holds snapshot n looks only at the changed names.

use std::{cmp::Ordering, sync::Arc};

use super::{Resource, ResourceType, Snapshot, Version};

/// A published snapshot.
#[derive(Debug)]
pub struct Release {
    snapshot: Arc<Snapshot>,
    versions: [Version; ResourceType::ALL.len()],
    since: Option<(Arc<Snapshot>, Names)>,
}

/// Resources by type and name.
pub(super) type Names = Vec<(ResourceType, Arc<str>)>;

impl Release {
    /// The first release of a Gateway.
    pub fn first(snapshot: Arc<Snapshot>) -> Self {
        let versions = ResourceType::ALL.map(|kind| set_version(snapshot.of(kind)));
        Self { snapshot, versions, since: None }
    }

    /// The release that follows this one; `None` if no version differs.
    pub fn next(&self, snapshot: Arc<Snapshot>) -> Option<Self> {
        let changed = differences(&self.snapshot, &snapshot);
        if changed.is_empty() {
            return None;
        }
        Some(Self { since: Some((self.snapshot.clone(), changed)), ..Self::first(snapshot) })
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The version of all resources of a type together.
    pub fn version(&self, kind: ResourceType) -> Version {
        self.versions[kind as usize]
    }

    /// The version of all resources but endpoints: what Envoy needs to serve the Gateway. Equal on every replica.
    pub fn configuration(&self) -> Version {
        let kinds = ResourceType::ALL.into_iter().filter(|kind| *kind != ResourceType::Endpoint);
        Version::of(0, &kinds.map(|kind| self.version(kind)).collect::<Vec<_>>())
    }

    /// The names that differ (added, removed or of another version) from what a stream was given before.
    pub fn changed_since(&self, base: &Arc<Snapshot>) -> std::borrow::Cow<'_, [(ResourceType, Arc<str>)]> {
        match &self.since {
            Some((from, names)) if Arc::ptr_eq(from, base) => names.into(),
            _ => differences(base, &self.snapshot).into(),
        }
    }
}

/// The version of a set of resources of one type, in name order.
pub(super) fn set_version<'a>(resources: impl Iterator<Item = &'a Arc<Resource>>) -> Version {
    let parts: Vec<(&str, Version)> = resources.map(|r| (&*r.name, r.version)).collect();
    Version::of(0, &parts)
}

fn differences(from: &Snapshot, to: &Snapshot) -> Names {
    let mut names = Names::new();
    for kind in ResourceType::ALL {
        merge(from.of(kind), to.of(kind), |name| names.push((kind, name.clone())));
    }
    names
}

/// Walks two lists sorted by name and names what differs.
fn merge<'a>(
    from: impl Iterator<Item = &'a Arc<Resource>>,
    to: impl Iterator<Item = &'a Arc<Resource>>,
    mut differs: impl FnMut(&Arc<str>),
) {
    let (mut from, mut to) = (from.peekable(), to.peekable());
    loop {
        let order = match (from.peek(), to.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => Ordering::Equal,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        let a = if order.is_le() { from.next() } else { None };
        let b = if order.is_ge() { to.next() } else { None };
        match (a, b) {
            (Some(a), Some(b)) if a.version == b.version => {}
            (Some(one), _) | (None, Some(one)) => differs(&one.name),
            (None, None) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn snapshot(resources: &[(ResourceType, &str, u64)]) -> Arc<Snapshot> {
        let mut snapshot = Snapshot::default();
        for (kind, name, version) in resources {
            let resource = Resource { name: (*name).into(), version: Version(*version), any: Bytes::new() };
            snapshot.insert(*kind, Arc::new(resource));
        }
        Arc::new(snapshot)
    }

    #[test]
    fn differences_are_additions_removals_and_versions() {
        use ResourceType::{Cluster, Route};
        let first = Release::first(snapshot(&[(Cluster, "a", 1), (Cluster, "b", 1), (Route, "r", 1)]));
        let to = snapshot(&[(Cluster, "b", 2), (Cluster, "c", 1), (Route, "r", 1)]);
        let next = first.next(to.clone()).unwrap();
        let names: Vec<_> =
            next.changed_since(first.snapshot()).iter().map(|(k, n)| (*k, n.to_string())).collect();
        assert_eq!(names, [(Cluster, "a".into()), (Cluster, "b".into()), (Cluster, "c".into())]);
        assert_eq!(next.version(Route), first.version(Route));
        assert_ne!(next.version(Cluster), first.version(Cluster));
        assert_ne!(next.configuration(), first.configuration());
        assert!(next.next(snapshot(&[(Cluster, "b", 2), (Cluster, "c", 1), (Route, "r", 1)])).is_none());
        // A stream that skipped a release gets the same answer from its own base.
        assert_eq!(next.changed_since(&snapshot(&[])).len(), 3);
        assert_eq!(next.changed_since(&to).len(), 0);
    }

    #[test]
    fn endpoints_are_no_part_of_the_configuration() {
        use ResourceType::{Cluster, Endpoint};
        let first = Release::first(snapshot(&[(Cluster, "a", 1), (Endpoint, "a", 1)]));
        let next = first.next(snapshot(&[(Cluster, "a", 1), (Endpoint, "a", 2)])).unwrap();
        assert_eq!(next.configuration(), first.configuration());
    }
}
