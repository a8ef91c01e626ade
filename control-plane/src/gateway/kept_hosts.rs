//! Virtual hosts kept from one resolution of a Gateway to the next.
//!
//! What a host lists as models depends on its routes, and on the rewrites, models and base models of the World. While
//! those have the same content, a host with the same routes is the same object; a host that is made anew and comes out
//! equal is so too.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    hostname::Hostname,
    ir::{Route, VirtualHost},
};
use crate::{
    api::{InferenceModel, InferenceModelRewrite},
    kept::Kept,
    world::{Objects, World, same_objects},
};

/// A chain of a port: the port and the listener's index.
pub(super) type ChainId = (u16, usize);

/// The hosts of a Gateway's chains.
#[derive(Debug, Default)]
pub(super) struct KeptHosts {
    rewrites: Objects<InferenceModelRewrite>,
    models: Objects<InferenceModel>,
    /// Whether those are what `last` was made with.
    stays: bool,
    last: BTreeMap<ChainId, OfChain>,
    next: BTreeMap<ChainId, OfChain>,
}

#[derive(Debug, Default)]
struct OfChain {
    base_models: BTreeMap<String, String>,
    /// In order.
    hosts: Vec<(Hostname, Arc<VirtualHost>)>,
}

impl KeptHosts {
    /// Begins a resolution; forgets chains that the last one did not make.
    pub(super) fn begin(&mut self, world: &World) {
        self.last = std::mem::take(&mut self.next);
        self.stays =
            same_objects(&self.rewrites, &world.rewrites) && same_objects(&self.models, &world.models);
        (self.rewrites, self.models) = (world.rewrites.clone(), world.models.clone());
    }

    /// The hosts of a chain, which are in order; `make` makes those that are not known.
    pub(super) fn hosts<'h>(
        &mut self,
        chain: ChainId,
        base_models: &BTreeMap<String, String>,
        hosts: impl Iterator<Item = (&'h Hostname, Vec<Arc<Route>>)>,
        mut make: impl FnMut(&Hostname, Vec<Arc<Route>>) -> VirtualHost,
    ) -> Vec<Arc<VirtualHost>> {
        let last = self.last.remove(&chain).unwrap_or_default();
        let stays = self.stays && last.base_models == *base_models;
        let mut known = Kept::new(last.hosts);
        let hosts = hosts.map(|(hostname, routes)| {
            let Some((name, host)) = known.take(|(known, _)| known.cmp(hostname)) else {
                return (hostname.clone(), Arc::new(make(hostname, routes)));
            };
            if stays && are_same(&host.routes, &routes) {
                return (name, host);
            }
            let made = make(hostname, routes);
            let host = if *host == made { host } else { Arc::new(made) };
            (name, host)
        });
        let hosts: Vec<_> = hosts.collect();
        let out = hosts.iter().map(|(_, host)| Arc::clone(host)).collect();
        self.next.insert(chain, OfChain { base_models: base_models.clone(), hosts });
        out
    }
}

/// Whether the routes are the same objects.
fn are_same(one: &[Arc<Route>], other: &[Arc<Route>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b))
}
