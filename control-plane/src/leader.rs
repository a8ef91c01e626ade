//! Which replica writes: a Lease in our own namespace, held by one at a time.
//!
//! ```text
//! every second: read the Lease ─▶ Election::decide ─┬─ wait
//!                                                   └─ take, renew ─▶ written with the version that was read
//! not renewed in time, or taken by another ─▶ watch says false at once;  shutdown ─▶ the Lease is given up
//! ```
//!
//! The protocol is that of client-go's leader election: others' clocks are not trusted, a holder counts as gone when its
//! Lease has not changed for its duration by our own clock. Followers look every second, so that a Lease that is given
//! up is taken at once. The leader stops before its Lease can be taken, even while the API server does not answer.

mod election;

use std::time::Duration;

use election::{Decision, Election};
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, Error, api::PostParams, core::ObjectMeta};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// Name of the Lease.
pub const LEASE: &str = "signalbox-leader";

/// What has to be allowed in our own namespace: API group, resource, verbs.
pub const RIGHTS: (&str, &str, &[&str]) = ("coordination.k8s.io", "leases", &["get", "create", "update"]);

/// Between two looks at the Lease.
const PERIOD: Duration = Duration::from_secs(1);
/// A request that takes longer counts as failed.
const TIMEOUT: Duration = Duration::from_secs(3);

/// One replica's part in the election.
#[derive(Debug)]
pub struct Candidate {
    leases: Leases,
    election: Election,
    leads: watch::Sender<bool>,
}

/// A candidate for the Lease in `namespace` under the name `identity` (the Pod's), and whether it leads. The receiver
/// says false until the Lease is held.
pub fn candidate(client: Client, namespace: &str, identity: &str) -> (Candidate, watch::Receiver<bool>) {
    let (leads, receiver) = watch::channel(false);
    let leases = Leases(Api::namespaced(client, namespace));
    (Candidate { leases, election: Election::new(identity), leads }, receiver)
}

impl Candidate {
    /// Takes part until `cancel` fires, then gives the Lease up.
    ///
    /// # Errors
    /// None: what fails is tried again, and meanwhile this replica does not lead.
    pub async fn run(mut self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                _ = period.tick() => {}
            }
            let Some(deadline) = self.election.deadline().map(Instant::from_std) else {
                tokio::select! {
                    () = cancel.cancelled() => break,
                    () = self.step() => {}
                }
                self.say();
                continue;
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                () = sleep_until(deadline) => {
                    tracing::error!("the Lease could not be renewed in time; this replica does not lead any more");
                    self.election.lose();
                }
                () = self.step() => {}
            }
            self.say();
        }
        self.leads.send_replace(false);
        // Also when it is not known to be held: a request that took it may have been cut short.
        self.release().await;
        Ok(())
    }

    fn say(&self) {
        let leads = self.election.leads(Instant::now().into_std());
        let changed = self.leads.send_if_modified(|held| std::mem::replace(held, leads) != leads);
        if changed {
            tracing::info!(leads, "leadership changed");
        }
    }

    /// One look at the Lease, and what follows from it. A step that is cut short is as good as one that failed.
    async fn step(&mut self) {
        let started = Instant::now().into_std();
        if let Err(error) = self.try_step(started).await {
            let (group, resource, verbs) = RIGHTS;
            let rule = forbidden(&error).then(|| {
                format!("{{apiGroups: [{group}], resources: [{resource}], verbs: [{}]}}", verbs.join(", "))
            });
            tracing::warn!(
                error = format!("{error:#}"),
                missing_rule = rule,
                "the Lease cannot be read or written"
            );
        }
    }

    async fn try_step(&mut self, started: std::time::Instant) -> anyhow::Result<()> {
        let lease = self.leases.read().await?;
        match self.election.decide(lease.as_ref(), started) {
            Decision::Wait => {}
            Decision::Write(spec) => {
                if self.leases.write(lease, spec).await? {
                    self.election.holds(started);
                } else {
                    // Another replica was faster, or somebody edited the Lease: the next look shows who holds it.
                    tracing::debug!("the Lease was written by another");
                }
            }
        }
        Ok(())
    }

    /// Gives the Lease up, so that another replica takes it at its next look.
    async fn release(&self) {
        let given_up = async {
            let lease = self.leases.read().await?;
            match lease.as_ref().and_then(|lease| self.election.released(lease)) {
                Some(spec) => self.leases.write(lease, spec).await,
                None => Ok(false),
            }
        };
        match given_up.await {
            Ok(true) => tracing::info!("the Lease is given up"),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "the Lease cannot be given up; another replica takes it when it expires"
            ),
        }
    }
}

fn forbidden(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::Api(status)) if status.code == 403)
}

/// The Lease at the API server.
#[derive(Clone, Debug)]
struct Leases(Api<Lease>);

impl Leases {
    /// The Lease, if it exists.
    async fn read(&self) -> anyhow::Result<Option<Lease>> {
        Ok(timeout(TIMEOUT, self.0.get_opt(LEASE)).await??)
    }

    /// Writes a Lease that was read, or creates it; whether it was still as it was read.
    async fn write(&self, lease: Option<Lease>, spec: LeaseSpec) -> anyhow::Result<bool> {
        let params = PostParams { field_manager: Some("signalbox-leader".into()), ..PostParams::default() };
        let spec = Some(spec);
        let answer = match lease {
            Some(lease) => timeout(TIMEOUT, self.0.replace(LEASE, &params, &Lease { spec, ..lease })).await?,
            None => {
                let metadata = ObjectMeta { name: Some(LEASE.into()), ..ObjectMeta::default() };
                timeout(TIMEOUT, self.0.create(&params, &Lease { metadata, spec })).await?
            }
        };
        match answer {
            Ok(_) => Ok(true),
            Err(Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}
