//! The loop of cluster mode: batches, acknowledgements and infrastructure in; configuration, desired objects and
//! status out.
//!
//! ```text
//! Batch ─▶ Tiers (ADS, tier API) ─▶ desired ─▶ Applier, certificates
//! ACKs, NACKs (other replicas' too), states of the infrastructure ─▶ settle (at most every 50 ms, and a tenth of the time) ─▶ plan ─▶ StatusWriter, overview
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{issued::Issued, steady::Steady, tell::tell, tiers::Tiers};
use crate::{
    api::{InferencePool, NamespacedName, ObjectMeta},
    gateway::ir::{ClusterName, EndpointState},
    identity::{self, Wanted},
    infra::cluster::{self, Desired, InfraConfig, InfraState, Owner, States},
    infra::desired::managed_pickers,
    replicas::{self, Known},
    source::{Batch, cluster::SourceState},
    status::{self, ClassFacts, Facts, FleetProblem, Inputs, PickerState, cluster::StatusWriter, overview},
};

/// Acknowledgements come in bursts; statuses are planned once for those that come this close together.
const SETTLE: Duration = Duration::from_millis(50);
/// Planning the statuses of thousands of routes takes a while: it rests for so many times as long before the next one.
const REST: u32 = 10;

/// What depends on how we run fleets: the names of these features stand in the GatewayClass.
const INFRASTRUCTURE_FEATURES: [&str; 3] =
    ["GatewayAddressEmpty", "GatewayInfrastructure", "GatewayStaticAddresses"];

/// Everything that the loop moves.
pub(super) struct ClusterEngine {
    pub(super) tiers: Tiers,
    pub(super) infra: InfraConfig,
    pub(super) source: SourceState,
    pub(super) desired: watch::Sender<Option<Arc<Desired>>>,
    pub(super) wanted: watch::Sender<Option<Arc<Vec<Wanted>>>>,
    /// Certificates that are wanted and not there.
    pub(super) missing: watch::Sender<BTreeSet<NamespacedName>>,
    /// Absent where somebody else makes the certificates.
    pub(super) issued: Option<Issued>,
    pub(super) trust: watch::Receiver<Option<Arc<str>>>,
    pub(super) states: watch::Receiver<States>,
    pub(super) planner: status::Planner,
    /// Absent where Gateways are somebody else's: then no status is ours either.
    pub(super) writer: Option<StatusWriter>,
    pub(super) overview: watch::Sender<String>,
    pub(super) others: Others,
    pub(super) steady: Steady,
}

/// The other replicas.
pub(super) struct Others {
    /// The Service of the control plane.
    pub(super) service: NamespacedName,
    /// The Pod of this replica.
    pub(super) pod: NamespacedName,
    /// Told where the others are.
    pub(super) addresses: watch::Sender<Option<Arc<BTreeSet<SocketAddr>>>>,
    /// What their Envoys say, while this replica leads.
    pub(super) known: watch::Receiver<Arc<Known>>,
    /// Told whether the statuses that the writer was given are made from what all replicas know.
    pub(super) informed: watch::Sender<bool>,
}

impl ClusterEngine {
    /// Runs until `cancel`.
    ///
    /// # Errors
    /// When one of those who speak to it is gone.
    pub(super) async fn run(
        mut self,
        mut batches: mpsc::Receiver<Batch>,
        cancel: CancellationToken,
    ) -> Result<()> {
        let mut acknowledged = self.tiers.nodes.subscribe_changes();
        let mut settles: Option<Instant> = None;
        let mut rested = Instant::now();
        loop {
            let wake = settles.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                batch = batches.recv() => match batch {
                    Some(batch) => self.take(&batch),
                    None => return Ok(()),
                },
                changed = self.trust.changed() => {
                    changed?;
                    self.trust_changed();
                }
                changed = self.states.changed() => changed?,
                changed = acknowledged.changed() => changed?,
                changed = self.others.known.changed() => changed?,
                () = sleep_until(wake), if settles.is_some() => {
                    let begun = Instant::now();
                    settles = self.settle(begun);
                    rested = Instant::now() + begun.elapsed() * REST;
                    continue;
                }
            }
            let soon = rested.max(Instant::now() + SETTLE);
            settles = Some(settles.map_or(soon, |at| at.min(soon)));
        }
    }

    fn take(&mut self, batch: &Batch) {
        self.tiers.apply(batch);
        let pipeline = &self.tiers.pipeline;
        let mut desired = cluster::desired(pipeline.world(), pipeline.options(), &self.infra);
        let wanted = self.wanted(&desired);
        if let Some(issued) = &mut self.issued {
            issued.hold(self.tiers.pipeline.world(), &wanted, &mut desired);
        }
        let secrets = &self.tiers.pipeline.world().secrets;
        let missing: BTreeSet<_> =
            wanted.iter().map(Wanted::secret).filter(|secret| !secrets.contains_key(secret)).collect();
        tell(&self.missing, missing);
        tell(&self.desired, Some(Arc::new(desired)));
        tell(&self.wanted, Some(Arc::new(wanted)));
        let Others { service, pod, addresses, .. } = &self.others;
        let others = replicas::addresses(self.tiers.pipeline.world(), service, pod);
        tell(addresses, Some(Arc::new(others)));
    }

    /// Envoys verify managed pickers against the authorities of this installation.
    fn trust_changed(&mut self) {
        let trust = self.trust.borrow_and_update().clone();
        let mut options = self.tiers.pipeline.options().clone();
        options.picker_trust = trust;
        let output = self.tiers.pipeline.set_options(options);
        self.tiers.publish(output);
    }

    /// The certificates of all fleets, external ones too: whoever runs those mounts the Secret.
    fn wanted(&self, desired: &Desired) -> Vec<Wanted> {
        let world = self.tiers.pipeline.world();
        let mut wanted: Vec<_> = desired
            .fleets
            .keys()
            .filter_map(|owner| match owner {
                Owner::Gateway(name) => {
                    let meta = &world.gateways.get(name)?.metadata;
                    Some(Wanted::gateway(name, owner_of("gateway.networking.k8s.io/v1", "Gateway", meta)))
                }
                Owner::Picker(_) => None,
            })
            .collect();
        for (service, pools) in managed_pickers(world) {
            let owner = |pool: &&InferencePool| {
                owner_of("inference.networking.k8s.io/v1", "InferencePool", &pool.metadata)
            };
            wanted.push(Wanted::picker(&service, pools.iter().map(owner).collect()));
        }
        wanted
    }

    /// Says what statuses should be, and shows the overview; says when to look again, if nothing happens before.
    fn settle(&mut self, now: Instant) -> Option<Instant> {
        let states = self.states.borrow_and_update().clone();
        let others = self.others.known.borrow_and_update().clone();
        let mut steady = std::mem::take(&mut self.steady);
        let mut again: Option<Instant> = None;
        let pipeline = &self.tiers.pipeline;
        let mut facts = BTreeMap::new();
        for (name, reports, _) in pipeline.gateways() {
            let mut true_of = self.facts(name, states.get(&Owner::Gateway(name.clone())), &others);
            let until = steady.settle(name, reports.gateway.generation, &mut true_of, now);
            again = again.into_iter().chain(until).min();
            facts.insert(name.clone(), true_of);
        }
        steady.retain(|gateway| facts.contains_key(gateway));
        if let Some(writer) = &self.writer {
            let pickers = self.pickers(&states);
            let class_facts = ClassFacts {
                bundle_versions: self.source.readiness().bundle_versions,
                infrastructure: BTreeSet::from(INFRASTRUCTURE_FEATURES),
            };
            let inputs = Inputs {
                controller: &pipeline.options().controller_name,
                classes: pipeline.classes(),
                cluster: Some(&class_facts),
                pickers: &pickers,
            };
            let entries = pipeline.gateways().map(|(name, reports, _)| (name, reports, facts[name].clone()));
            writer.set(self.planner.plan(inputs, entries), pipeline.world().clone());
        }
        self.show(&facts, &states);
        self.steady = steady;
        // A replica that comes later does not keep a leader from writing.
        let informed = others.is_complete() || (*self.others.informed.borrow() && others.leads);
        tell(&self.others.informed, informed);
        again
    }

    fn facts(&self, gateway: &NamespacedName, state: Option<&InfraState>, others: &Known) -> Facts {
        let pending = || InfraState {
            error: Some(cluster::InfraProblem {
                reason: "Pending",
                message: "the Envoys of this Gateway are being set up".into(),
            }),
            ..InfraState::default()
        };
        let state = state.cloned().unwrap_or_else(pending);
        Facts {
            addresses: state.addresses.into_iter().filter_map(|address| address.value).collect(),
            problem: state.error.map(|e| FleetProblem { reason: e.reason, message: e.message }),
            ..self.tiers.facts(gateway, others)
        }
    }

    /// Whether the picker of each pool can answer, as far as its endpoints and its infrastructure tell.
    fn pickers(&self, states: &States) -> BTreeMap<NamespacedName, PickerState> {
        let pipeline = &self.tiers.pipeline;
        let pools = pipeline.world().pools.iter().filter_map(|(name, pool)| {
            let reference = pool.spec.endpoint_picker_ref.as_ref()?;
            let service = NamespacedName::new(&name.namespace, &reference.name);
            if let Some(problem) = states.get(&Owner::Picker(service.clone())).and_then(|s| s.error.as_ref())
            {
                return Some((name.clone(), PickerState::Unreachable(problem.message.clone())));
            }
            let port = reference.port.as_ref()?.number;
            let set = pipeline.endpoints_of(&ClusterName::picker(&service, port))?;
            let ready = set.endpoints.iter().any(|e| e.state == EndpointState::Ready);
            let why = || format!("Service {service} has no ready endpoint on port {port}");
            let state = if ready { PickerState::Ready } else { PickerState::Unreachable(why()) };
            Some((name.clone(), state))
        });
        pools.collect()
    }

    fn show(&self, facts: &BTreeMap<NamespacedName, Facts>, states: &States) {
        let fleets = states.iter().map(|(owner, state)| overview::ChildOverview {
            name: format!("{} {}", owner.word(), owner.key()),
            state: match &state.error {
                Some(problem) => format!("{}: {}", problem.reason, problem.message),
                None => format!("{} of {} ready", state.ready_replicas, state.desired_replicas),
            },
            log: String::new(),
        });
        let overview = overview::Overview {
            source: "cluster".into(),
            children: fleets.collect(),
            ..self.tiers.overview(facts, |facts, listener| {
                let address = facts.addresses.first()?;
                Some(match address.contains(':') {
                    true => format!("http://[{address}]:{}", listener.port),
                    false => format!("http://{address}:{}", listener.port),
                })
            })
        };
        let text = serde_json::to_string_pretty(&overview).unwrap_or_default();
        tell(&self.overview, text);
    }
}

fn owner_of(api_version: &str, kind: &str, meta: &ObjectMeta) -> identity::Owner {
    let (name, uid) = (meta.name.clone(), meta.uid.clone());
    identity::Owner { api_version: api_version.into(), kind: kind.into(), name, uid }
}
