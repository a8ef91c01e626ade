//! What the translation of one Gateway keeps from one call to the next.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::virtual_host::EncodedHost;
use crate::{
    gateway::ir::{Cluster, EndpointSet},
    xds::{Resource, Version},
};

/// Encoded parts of one Gateway's last snapshot. It holds nothing that the last snapshot does not use, and it never
/// changes what a snapshot contains.
#[derive(Debug, Default)]
pub struct Cache {
    pub(super) clusters: ByIdentity<Cluster>,
    pub(super) endpoints: ByIdentity<EndpointSet>,
    /// By the name of a socket's routes; in the order of hostnames.
    pub(super) hosts: BTreeMap<String, Vec<EncodedHost>>,
}

/// Resources by the address of what they were made from, which is held so that the address stays its own.
#[derive(Debug)]
pub(super) struct ByIdentity<T> {
    last: HashMap<usize, (Arc<T>, Arc<Resource>)>,
    next: HashMap<usize, (Arc<T>, Arc<Resource>)>,
}

impl<T> Default for ByIdentity<T> {
    fn default() -> Self {
        Self { last: HashMap::new(), next: HashMap::new() }
    }
}

impl<T> ByIdentity<T> {
    /// The resource of `source`: the one of the last snapshot if `source` is the same object, `previous` if its
    /// version is equal, a new one otherwise.
    pub(super) fn resource(
        &mut self,
        source: &Arc<T>,
        previous: Option<&Arc<Resource>>,
        version: impl FnOnce(&T) -> Version,
        make: impl FnOnce(&T, Version) -> Resource,
    ) -> Arc<Resource> {
        let address = Arc::as_ptr(source).addr();
        let resource = if let Some((_, resource)) = self.last.get(&address) {
            resource.clone()
        } else {
            let version = version(source);
            match previous {
                Some(previous) if previous.version == version => previous.clone(),
                _ => Arc::new(make(source, version)),
            }
        };
        self.next.insert(address, (source.clone(), resource.clone()));
        resource
    }

    /// Forgets what the snapshot that was just made does not use.
    pub(super) fn sweep(&mut self) {
        self.last = std::mem::take(&mut self.next);
    }
}
