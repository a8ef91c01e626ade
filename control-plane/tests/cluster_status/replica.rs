//! Replicas of the control plane, as far as they write.

use std::time::{Duration, Instant};

use control_plane::{
    api::Kind,
    config::CONTROLLER_NAME,
    leader,
    status::cluster::{Metrics, StatusWriter, writer},
    tasks::TaskSet,
};
use tokio::sync::watch;

use super::{PATIENCE, bed::Bed};

/// One replica of the control plane, as far as it writes.
pub(super) struct Replica {
    pub(super) writer: StatusWriter,
    pub(super) metrics: Metrics,
    pub(super) leads: watch::Receiver<bool>,
    /// Ends the candidate, and the writer.
    pub(super) candidate: TaskSet,
    pub(super) tasks: TaskSet,
}

impl Replica {
    pub(super) fn start(bed: &Bed, identity: &str) -> Self {
        let (election, tasks, metrics) = (TaskSet::default(), TaskSet::default(), Metrics::default());
        let (candidate, leads) = leader::candidate(bed.client.clone(), &bed.name, identity);
        election.spawn("leader", candidate.run(election.token().clone()));
        let (writer, task) = writer(bed.client.clone(), CONTROLLER_NAME, leads.clone(), metrics.clone());
        tasks.spawn("status", task.run(tasks.token().clone()));
        Self { writer, metrics, leads, candidate: election, tasks }
    }

    /// Statuses written so far: classes, Gateways, routes, pools.
    pub(super) fn written(&self) -> [u64; 4] {
        [Kind::GatewayClass, Kind::Gateway, Kind::HTTPRoute, Kind::InferencePool]
            .map(|kind| self.metrics.writes(kind))
    }

    pub(super) async fn leads(&mut self) {
        tokio::time::timeout(PATIENCE, self.leads.wait_for(|leads| *leads)).await.unwrap().unwrap();
    }

    pub(super) async fn has_written(&self, expected: [u64; 4]) {
        let started = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while self.written() != expected {
            assert!(started.elapsed() < PATIENCE, "{:?} instead of {expected:?}", self.written());
            tick.tick().await;
        }
    }
}
