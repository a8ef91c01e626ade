//! The cluster: watches every kind that is read, and hands over what changes as [`Batch`]es.
//!
//! ```text
//! definitions (which CRDs serve what) ─▶ follow, one task per resource of the table ─▶ collect ─▶ Batch
//!                                          └ object (raw → typed | Diagnostic) ─▶ trim   └ groups ─▶ coalesce
//! ```
//!
//! - Nothing is handed over before every resource that the cluster has was listed; the first batch replaces
//!   everything. A resource whose CustomResourceDefinition is not installed counts as empty, and is followed as soon as
//!   it is installed.
//! - What was read stays while the API server is away, a list fails or a watch has expired: only the API server's word
//!   that an object is gone removes it.
//! - An object that cannot be read is data (`Change::Invalid`); it stops nothing.

mod backoff;
mod coalesce;
mod collect;
mod definitions;
mod fault;
mod follow;
mod groups;
mod metrics;
mod object;
mod preflight;
mod served;
mod state;
mod table;
mod trim;

use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::{Client, runtime::watcher};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use coalesce::Window;
pub use fault::Fault;
pub use preflight::{Finding, Verdict, preflight};
pub use state::{Phase, Readiness, ResourceState, SourceState};
pub use table::{RbacRule, rbac_rules};

use super::Batch;
use crate::tasks::TaskSet;
use definitions::Definitions;
use follow::Follower;
use table::TABLE;

/// Events on their way from the watches; a watch waits when they are many, and the API server with it.
const HEARD: usize = 256;
/// How long tasks have to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// What a connection may be silent beyond the length of a watch.
const SILENCE: Duration = Duration::from_secs(30);

/// Settings of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// How long changes wait for each other.
    pub window: Window,
    /// After this long the API server ends a watch, which is resumed at once. A connection that died silently is
    /// noticed 5 s later, so this bounds how long changes can be missed without an error.
    pub watch_timeout: Duration,
    /// Objects in one answer to a list; bounds the memory of a list, about 100 KB for a Pod of 8 KB while it is read.
    pub page_size: u32,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { window: Window::default(), watch_timeout: Duration::from_secs(60), page_size: 200 }
    }
}

impl ClusterConfig {
    /// A client for [`run`], for the API server that kubectl would speak to: in-cluster, or by KUBECONFIG.
    ///
    /// # Errors
    /// When there is no such configuration.
    pub async fn connect(&self) -> Result<Client> {
        let config = kube::Config::infer().await.context(
            "no API server to speak to: set KUBECONFIG, or run in a Pod with a ServiceAccount token",
        )?;
        self.client(config).context("no client for the API server can be made")
    }

    /// A client for [`run`]: as `config` says, with three exceptions. Connecting takes at most 5 s. A connection that
    /// says nothing for longer than a
    /// watch lasts is given up: otherwise an answer that never comes is waited for until TCP gives up, up to 15
    /// minutes. And requests are not repeated within the client: the watches do that, and say so.
    ///
    /// # Errors
    /// When the configuration does not make a client.
    pub fn client(&self, mut config: kube::Config) -> kube::Result<Client> {
        config.read_timeout = Some(self.watch_timeout + SILENCE);
        config.connect_timeout = Some(CONNECT);
        config.default_retry = false;
        Client::try_from(config)
    }

    fn watcher(&self) -> watcher::Config {
        let seconds = u32::try_from(self.watch_timeout.as_secs()).unwrap_or(u32::MAX).max(1);
        watcher::Config::default().timeout(seconds).page_size(self.page_size)
    }
}

/// Follows the cluster until `cancel`: hands batches to `out` and keeps `state`.
///
/// `out` needs no more room than one batch: what changes while it is full waits in a map of objects (see
/// `coalesce`). API errors never end this; they are in `state`, in metrics and in the log.
///
/// # Errors
/// When one of its tasks ends unexpectedly, or `out` is closed.
pub async fn run(
    client: Client,
    config: ClusterConfig,
    out: mpsc::Sender<Batch>,
    state: SourceState,
    cancel: CancellationToken,
) -> Result<()> {
    let tasks = TaskSet::under(&cancel);
    let (heard_by, heard) = mpsc::channel(HEARD);
    let (serves, served) = watch::channel(None);
    let definitions = Definitions::new(client.clone(), state.clone(), serves);
    until_cancelled(&tasks, "definitions", definitions.run(config.watcher()));
    for resource in TABLE {
        let follower =
            Follower::new(resource, client.clone(), config.watcher(), heard_by.clone(), state.clone());
        until_cancelled(&tasks, resource.kind.as_str(), follower.run(served.clone()));
    }
    drop(heard_by);
    let collect = collect::collect(heard, out, config.window, state);
    let token = tasks.token().clone();
    tasks.spawn("cluster", async move {
        tokio::select! {
            () = token.cancelled() => Ok(()),
            ended = collect => ended,
        }
    });
    Ok(tasks.wait(GRACE).await?)
}

/// Runs a task that has no end of its own.
fn until_cancelled(tasks: &TaskSet, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let token = tasks.token().clone();
    tasks.spawn(name, async move {
        token.run_until_cancelled(task).await;
        Ok(())
    });
}

#[cfg(test)]
mod tests;
