//! What the leader knows of the other replicas.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use super::Reported;
use crate::api::NamespacedName;

/// What one replica said, by Gateway.
pub type Gateways = BTreeMap<NamespacedName, Reported>;

/// What was heard of one replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// Nothing was tried yet.
    #[default]
    Nothing,
    /// All that it says.
    All(Arc<Gateways>),
    /// It does not answer, or refuses; what it said before is forgotten.
    Lost,
}

/// What is known of all other replicas. Nothing while this one does not lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Whether this replica leads.
    pub leads: bool,
    /// Whether it is known which replicas there are.
    pub listed: bool,
    /// Replicas by the address of their tier API.
    pub replicas: BTreeMap<SocketAddr, Heard>,
}

impl Known {
    /// What the others say of a Gateway.
    pub fn of<'a>(&'a self, gateway: &'a NamespacedName) -> impl Iterator<Item = &'a Reported> {
        self.replicas.values().filter_map(move |heard| match heard {
            Heard::All(gateways) => gateways.get(gateway),
            Heard::Nothing | Heard::Lost => None,
        })
    }

    /// Whether this replica leads, and each of the others was heard of or does not answer.
    pub fn is_complete(&self) -> bool {
        let tried = self.replicas.values().all(|heard| *heard != Heard::Nothing);
        self.leads && self.listed && tried
    }
}
