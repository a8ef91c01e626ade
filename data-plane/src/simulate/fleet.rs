//! The endpoints of a run: what the picker is told of them, and how fast they are.

use std::net::IpAddr;
use std::time::Instant;

use proto::tier::v1::{Accelerator, Endpoint, PoolName, PoolSnapshot, WatchResponse};

use crate::accelerator::{Book, GroupKey, Learned, Policy, SavedGroup, policy};
use crate::pool::{self, Pools};

use super::engine::Speeds;
use super::policy::Seeds;

/// The endpoint at `index` of a fleet that is nobody's: `count` devices of `class`, at an address of its own.
pub(super) fn endpoint(index: usize, class: &str, count: u32) -> Endpoint {
    Endpoint {
        address: format!("10.0.{}.{}", index / 250, index % 250 + 1),
        port: 8000,
        accelerator: Some(Accelerator { class: class.into(), count, memory_bytes: 0 }),
        ..Endpoint::default()
    }
}

/// The annotation called `name`, whose prefix may be left out.
pub(super) fn annotation(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("signalbox.dev/{name}") }
}

/// Endpoints with their speeds.
#[derive(Clone, Debug)]
pub struct Fleet {
    snapshot: PoolSnapshot,
    speeds: Vec<Speeds>,
    /// Kinds, as the picker groups endpoints.
    kinds: Vec<GroupKey>,
    policy: Policy,
}

impl Fleet {
    /// The endpoints of `snapshot`, in the order of their addresses, with the speeds that `speeds` finds.
    ///
    /// # Errors
    /// What of the snapshot cannot be used, one line each; or what `speeds` says.
    pub fn new(
        snapshot: PoolSnapshot,
        speeds: impl Fn(&Endpoint) -> Result<Speeds, String>,
    ) -> Result<Self, String> {
        let pools = Pools::new(Instant::now());
        let response = WatchResponse { changed: vec![snapshot.clone()], ..WatchResponse::default() };
        let problems = pools.apply(response);
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        let pool = pools.only().expect("one pool was applied").snapshot();
        let serves = (0..pool.endpoints.len()).all(|index| pool.serves(index));
        if !serves || pool.endpoints.is_empty() {
            return Err(
                "every endpoint has to be ready and to serve whole requests, and there has to be one; \
                        take out those that drain, and those with a role label"
                    .into(),
            );
        }
        let kinds: Vec<GroupKey> = pool.endpoints.iter().map(|e| e.calibration.key().clone()).collect();
        let wanted = |endpoint: &pool::Endpoint| {
            let is = |wanted: &&Endpoint| {
                let ip: Option<IpAddr> = wanted.address.parse().ok();
                ip.map(|ip| ip.to_canonical()) == Some(endpoint.address().ip())
                    && wanted.port == u32::from(endpoint.address().port())
            };
            snapshot.endpoints.iter().find(is).expect("endpoints of a pool come from its snapshot")
        };
        let speeds = pool.endpoints.iter().map(|endpoint| speeds(wanted(endpoint)));
        let speeds = speeds.collect::<Result<_, _>>()?;
        Ok(Self { snapshot, speeds, kinds, policy: pool.policy.clone() })
    }

    /// An endpoint of one device for each class, in a pool with `annotations` (without their prefix).
    ///
    /// # Panics
    /// When an annotation cannot be used.
    #[must_use]
    pub fn of(members: &[(&str, Speeds)], annotations: &[(&str, &str)]) -> Self {
        let endpoint = |(index, (class, _)): (usize, &(&str, Speeds))| endpoint(index, class, 1);
        let prefixed = |(name, value): &(&str, &str)| (annotation(name), (*value).to_owned());
        let snapshot = PoolSnapshot {
            name: Some(PoolName { namespace: "ns".into(), name: "bed".into() }),
            endpoints: members.iter().enumerate().map(endpoint).collect(),
            annotations: annotations.iter().map(prefixed).collect(),
            ..PoolSnapshot::default()
        };
        let mut fleet = Self::new(snapshot, |_| Ok(Speeds::H100)).expect("annotations can be used");
        fleet.speeds = members.iter().map(|(_, speeds)| *speeds).collect();
        fleet
    }

    /// An H100, an A100 and an L40S, as a public measurement of a simulator had them.
    #[must_use]
    pub fn three() -> Self {
        Self::of(&Self::THREE, &[])
    }

    /// The members of [`Fleet::three`].
    pub const THREE: [(&'static str, Speeds); 3] = [
        ("nvidia-h100-80gb", Speeds::H100),
        ("nvidia-a100-80gb", Speeds::A100),
        ("nvidia-l40s", Speeds::L40S),
    ];

    /// The speeds of each endpoint.
    #[must_use]
    pub fn speeds(&self) -> &[Speeds] {
        &self.speeds
    }

    /// Class of the endpoint at `index`; empty when unknown.
    #[must_use]
    pub fn class(&self, index: usize) -> &str {
        &self.kinds[index].class
    }

    /// Dollars per hour of the endpoint at `index`, when the pool's annotation prices its class.
    #[must_use]
    pub fn price(&self, index: usize) -> Option<f64> {
        let GroupKey { class, count, .. } = &self.kinds[index];
        let price = policy::price(&self.policy.prices, class)?;
        Some(f64::from(price) * f64::from((*count).max(1)))
    }

    /// The pool's policy: targets, prices and what to optimise.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The pool, as one picker of ours has it. It learns from `seeds`; without any, it knows the speeds.
    pub(super) fn pools(&self, seeds: Option<Seeds>, epoch: Instant) -> Pools {
        let book = if seeds.is_some() { Book::new(epoch) } else { Book::frozen(epoch) };
        let factor = |index: usize| match seeds {
            Some(Seeds::Wrong) => [4.0, 1.0, 0.25][index % 3],
            _ => 1.0,
        };
        if seeds != Some(Seeds::Table) {
            let mut groups: Vec<SavedGroup> = Vec::new();
            for (key, speeds) in self.kinds.iter().zip(&self.speeds) {
                if groups.iter().all(|group| group.key != *key) {
                    let profile = speeds.profile(factor(groups.len()));
                    groups.push(SavedGroup { key: key.clone(), profile, samples: 0.0 });
                }
            }
            book.restore(Learned { groups });
        }
        let pools = Pools::with_book(epoch, book);
        pools.apply(WatchResponse { changed: vec![self.snapshot.clone()], ..WatchResponse::default() });
        pools
    }
}
