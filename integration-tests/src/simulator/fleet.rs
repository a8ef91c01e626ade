//! The Pods of one process: added and removed while it runs.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{config::PodConfig, pod::Pod, server};

/// Simulated Pods. Dropping the fleet ends them all at once; [`Fleet::stop`] lets answers end first.
#[derive(Default)]
pub struct Fleet {
    /// Locked to look up and to change, never over an await.
    pods: Mutex<BTreeMap<String, Member>>,
}

struct Member {
    pod: Arc<Pod>,
    stop: CancellationToken,
    servers: JoinSet<()>,
    /// Aborted when the member goes.
    _engine: JoinSet<()>,
}

impl Fleet {
    /// Starts Pods; their ports are open when this returns.
    ///
    /// # Errors
    /// When an address cannot be bound, a profile is unknown or a name is taken.
    pub async fn start(configs: impl IntoIterator<Item = PodConfig>) -> Result<Self> {
        let fleet = Self::default();
        for config in configs {
            fleet.add(config).await?;
        }
        Ok(fleet)
    }

    /// Starts one more Pod; its ports are open when this returns.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub async fn add(&self, config: PodConfig) -> Result<Arc<Pod>> {
        let name = config.name.clone();
        ensure!(self.get(&name).is_none(), "Pod {name} is there already");
        let pod = Pod::new(config)?;
        let stop = CancellationToken::new();
        let mut servers = JoinSet::new();
        for address in &pod.config().listen {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("Pod {name} cannot listen on {address}"))?;
            let address = listener.local_addr()?;
            servers.spawn(server::serve(Arc::clone(&pod), address, listener, stop.clone()));
        }
        let mut engine = JoinSet::new();
        engine.spawn(Arc::clone(&pod).run());
        self.pods.lock().insert(name, Member { pod: Arc::clone(&pod), stop, servers, _engine: engine });
        Ok(pod)
    }

    /// Removes a Pod as Kubernetes does: no new connections, answers end, then it is gone. Returns whether it was
    /// there.
    pub async fn remove(&self, name: &str) -> bool {
        let Some(mut member) = self.pods.lock().remove(name) else { return false };
        member.stop.cancel();
        while member.servers.join_next().await.is_some() {}
        true
    }

    /// Kills a Pod: its connections break. Returns whether it was there.
    pub fn kill(&self, name: &str) -> bool {
        self.pods.lock().remove(name).is_some()
    }

    /// A Pod by name.
    pub fn get(&self, name: &str) -> Option<Arc<Pod>> {
        self.pods.lock().get(name).map(|member| Arc::clone(&member.pod))
    }

    /// A Pod that is known to be there.
    ///
    /// # Panics
    /// When it is not.
    pub fn pod(&self, name: &str) -> Arc<Pod> {
        self.get(name).unwrap_or_else(|| panic!("no Pod {name}"))
    }

    /// The names of all Pods.
    pub fn names(&self) -> Vec<String> {
        self.pods.lock().keys().cloned().collect()
    }

    /// Ends all Pods after their answers.
    pub async fn stop(&self) {
        let mut members = std::mem::take(&mut *self.pods.lock());
        for member in members.values() {
            member.stop.cancel();
        }
        for member in members.values_mut() {
            while member.servers.join_next().await.is_some() {}
        }
    }
}
