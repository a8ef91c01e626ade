//! Lets the next representation share what did not change with the one before, so that later stages can tell by identity.
//! Routes and virtual hosts are shared by who makes them.

use std::{collections::BTreeMap, sync::Arc};

use super::{Gateway, Listener};

impl Gateway {
    /// Replaces every part that equals its counterpart in `previous` by that counterpart. The content stays the same.
    pub fn share_with(&mut self, previous: &Self) {
        for (name, cluster) in &mut self.clusters {
            share(cluster, previous.clusters.get(name));
        }
        for (name, certificate) in &mut self.certificates {
            share(certificate, previous.certificates.get(name));
        }
        let held: BTreeMap<u16, &Arc<Listener>> = previous.listeners.iter().map(|l| (l.port, l)).collect();
        for listener in &mut self.listeners {
            share(listener, held.get(&listener.port).copied());
        }
    }
}

/// Takes the held part when it is equal. (Equality of `Arc`s looks at identity first, so shared parts cost nothing.)
fn share<T: Eq>(part: &mut Arc<T>, held: Option<&Arc<T>>) {
    if let Some(held) = held
        && part == held
    {
        *part = Arc::clone(held);
    }
}
