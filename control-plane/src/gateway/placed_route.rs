//! A route on one Gateway: compiled, attached, and what there is to report of it.
//!
//! Nothing here is borrowed, so that it is kept from one resolution to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    attach::Attachment, hostname::Hostname, report::RouteParentReport, route::CompiledRoute, status,
};
use crate::api::{HttpRoute, NamespacedName, Object};

/// A route on one Gateway.
#[derive(Debug)]
pub(super) struct PlacedRoute {
    /// Its name.
    pub(super) key: Arc<NamespacedName>,
    /// What it does, wherever it attaches.
    pub(super) compiled: Arc<CompiledRoute>,
    /// Listeners by index that it attaches to by any of its parentRefs, with the hosts on which they agree.
    pub(super) listeners: BTreeMap<usize, BTreeSet<Hostname>>,
    /// Those of `listeners` that count it.
    pub(super) counted_on: BTreeSet<usize>,
    /// Whether it is accepted by any of its parentRefs.
    pub(super) accepted: bool,
    /// Why it is not accepted by the first that refuses it.
    pub(super) refused: Option<String>,
    /// One for each parentRef, in the route's order.
    pub(super) reports: Arc<[RouteParentReport]>,
}

impl PlacedRoute {
    /// A route with these attachments.
    pub(super) fn new(
        route: &HttpRoute,
        compiled: Arc<CompiledRoute>,
        attachments: &[Attachment<'_>],
    ) -> Self {
        let mut placed = Self {
            key: Arc::new(route.key()),
            listeners: BTreeMap::new(),
            counted_on: BTreeSet::new(),
            accepted: false,
            refused: None,
            reports: attachments.iter().map(|one| status::route(route, &compiled, one)).collect(),
            compiled,
        };
        for attachment in attachments {
            for (&listener, hosts) in &attachment.listeners {
                placed.listeners.entry(listener).or_default().extend(hosts.iter().cloned());
            }
            match status::route_is_accepted(&placed.compiled, attachment) {
                Ok(()) => {
                    placed.accepted = true;
                    placed.counted_on.extend(attachment.listeners.keys());
                }
                Err((_, why)) => drop(placed.refused.get_or_insert(why)),
            }
        }
        placed
    }

    /// With the reports of `last` where they are equal.
    pub(super) fn shared_with(mut self, last: Option<&Self>) -> Self {
        if let Some(last) = last.filter(|last| last.reports == self.reports) {
            self.reports = Arc::clone(&last.reports);
        }
        self
    }
}
