//! The gRPC server of the tier API.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use proto::tier::v1::{
    KnownPool, PoolName, WatchRequest, WatchResponse,
    pools_server::{Pools, PoolsServer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    transport::server::{Connected, TcpIncoming},
};

use super::{PoolPublisher, PoolSet, snapshot::pool_name};
use crate::{
    api::NamespacedName,
    identity::{self, Peer, ServerTls},
    replicas::{self, Reports},
    tasks::TaskSet,
};

/// Serves the tier API on `listener`, in cleartext and to everybody, until `cancel` fires; open streams are ended then,
/// pickers keep what they hold and come back.
///
/// # Errors
/// When the transport fails.
pub async fn serve(
    listener: TcpListener,
    publisher: PoolPublisher,
    cancel: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let server = Server { publisher, cancel: cancel.clone(), identities: None };
    run(server, None, TcpIncoming::from(listener).with_nodelay(Some(true)), cancel).await
}

/// Serves the tier API over mutual TLS until `cancel` fires: a picker watches only the pools of its certificate. Beside
/// it, other replicas hear `reports`.
///
/// # Errors
/// When the transport fails.
pub async fn serve_tls(
    listener: TcpListener,
    tls: ServerTls,
    publisher: PoolPublisher,
    reports: Reports,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let tasks = TaskSet::under(&cancel);
    let server = Server { publisher, cancel: cancel.clone(), identities: Some(tls.metrics().clone()) };
    let replicas = reports.service(tls.metrics().clone(), cancel.clone());
    run(server, Some(replicas), identity::accept(listener, tls, &tasks), cancel).await?;
    tasks.shutdown();
    Ok(tasks.wait(ACCEPTING_ENDS).await?)
}

/// How long accepting may take to end at shutdown.
const ACCEPTING_ENDS: Duration = Duration::from_secs(2);

async fn run<IO>(
    server: Server,
    replicas: Option<replicas::Service>,
    incoming: impl Stream<Item = std::io::Result<IO>>,
    cancel: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_service(PoolsServer::new(server))
        .add_optional_service(replicas)
        .serve_with_incoming_shutdown(incoming, cancel.cancelled_owned())
        .await
}

struct Server {
    publisher: PoolPublisher,
    cancel: CancellationToken,
    /// Counts refusals. With it, clients need an identity.
    identities: Option<identity::Metrics>,
}

impl Server {
    /// What the picker may watch of what it asks for.
    fn admit(&self, request: &Request<WatchRequest>) -> Result<BTreeSet<NamespacedName>, Status> {
        let message = request.get_ref();
        let asked = message.pools.iter().cloned().map(key).collect();
        let Some(metrics) = &self.identities else { return Ok(asked) };
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        identity::pools_of(&peer, &asked).map_err(|denied| {
            metrics.deny("tier");
            tracing::warn!(picker = message.picker_id, %denied, "a picker was refused");
            Status::permission_denied(denied.to_string())
        })
    }
}

fn key(name: PoolName) -> NamespacedName {
    NamespacedName::new(name.namespace, name.name)
}

#[tonic::async_trait]
impl Pools for Server {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let wanted = self.admit(&request)?;
        let request = request.into_inner();
        tracing::info!(picker = request.picker_id, wanted = wanted.len(), "picker connected");
        let watcher = Watcher::new(wanted, request.known);
        let mut updates = self.publisher.subscribe();
        updates.mark_changed();
        let state = (watcher, updates, self.cancel.clone());
        let responses = stream::unfold(state, |(mut watcher, mut updates, cancel)| async move {
            let response = next(&mut watcher, &mut updates, &cancel).await?;
            Some((Ok(response), (watcher, updates, cancel)))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

async fn next(
    watcher: &mut Watcher,
    updates: &mut watch::Receiver<Arc<PoolSet>>,
    cancel: &CancellationToken,
) -> Option<WatchResponse> {
    loop {
        if let Some(response) = watcher.queued.pop_front() {
            return Some(response);
        }
        tokio::select! {
            () = cancel.cancelled() => return None,
            changed = updates.changed() => changed.ok()?,
        }
        let set = updates.borrow_and_update().clone();
        watcher.observe(&set);
    }
}

/// What one picker holds; decides what it is sent.
struct Watcher {
    wanted: BTreeSet<NamespacedName>,
    held: BTreeMap<NamespacedName, u64>,
    synced: bool,
    queued: VecDeque<WatchResponse>,
}

/// Snapshots in one response at most: keeps messages far below gRPC's size limit at 1,000 endpoints a pool.
const POOLS_PER_RESPONSE: usize = 16;

impl Watcher {
    /// Everything is wanted when `wanted` is empty.
    fn new(wanted: BTreeSet<NamespacedName>, known: Vec<KnownPool>) -> Self {
        Self {
            wanted,
            held: known.into_iter().filter_map(|k| Some((key(k.name?), k.revision))).collect(),
            synced: false,
            queued: VecDeque::new(),
        }
    }

    /// Queues what differs between `set` and what the picker holds. Called only when the queue is empty, so the queue
    /// is bounded by one set.
    fn observe(&mut self, set: &PoolSet) {
        if !set.synced {
            return;
        }
        let wants = |name: &NamespacedName| self.wanted.is_empty() || self.wanted.contains(name);
        let changed: Vec<_> = set
            .pools
            .iter()
            .filter(|(name, snapshot)| wants(name) && self.held.get(*name) != Some(&snapshot.revision))
            .map(|(name, snapshot)| (name.clone(), snapshot.clone()))
            .collect();
        let removed: Vec<_> =
            self.held.keys().filter(|name| !set.pools.contains_key(*name)).cloned().collect();
        for name in &removed {
            self.held.remove(name);
        }
        if changed.is_empty() && removed.is_empty() && self.synced {
            return;
        }
        self.synced = true;
        for chunk in changed.chunks(POOLS_PER_RESPONSE) {
            self.held.extend(chunk.iter().map(|(name, snapshot)| (name.clone(), snapshot.revision)));
            let changed = chunk.iter().map(|(_, snapshot)| snapshot.as_ref().clone()).collect();
            self.queued.push_back(WatchResponse { changed, ..WatchResponse::default() });
        }
        if self.queued.is_empty() {
            self.queued.push_back(WatchResponse::default());
        }
        if let Some(last) = self.queued.back_mut() {
            last.removed = removed.iter().map(pool_name).collect();
            last.synced = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::tier::v1::PoolSnapshot;

    use super::*;

    fn set(pools: &[(&str, u64)]) -> PoolSet {
        let publisher = PoolPublisher::default();
        let pools = pools.iter().map(|(name, revision)| {
            (
                NamespacedName::new("ns", *name),
                PoolSnapshot { revision: *revision, ..PoolSnapshot::default() },
            )
        });
        publisher.update(pools, &[]);
        publisher.current().as_ref().clone()
    }

    fn drain(watcher: &mut Watcher) -> Vec<(usize, usize, bool)> {
        watcher.queued.drain(..).map(|r| (r.changed.len(), r.removed.len(), r.synced)).collect()
    }

    #[test]
    fn nothing_is_sent_before_the_source_was_read() {
        let mut watcher = Watcher::new(BTreeSet::new(), Vec::new());
        watcher.observe(&PoolSet::default());
        assert_eq!(drain(&mut watcher), []);
    }

    #[test]
    fn an_empty_set_still_says_synced_once() {
        let mut watcher = Watcher::new(BTreeSet::new(), Vec::new());
        watcher.observe(&set(&[]));
        assert_eq!(drain(&mut watcher), [(0, 0, true)]);
        watcher.observe(&set(&[]));
        assert_eq!(drain(&mut watcher), []);
    }

    #[test]
    fn only_differences_are_sent() {
        let mut watcher = Watcher::new(BTreeSet::new(), Vec::new());
        watcher.observe(&set(&[("a", 1), ("b", 1)]));
        assert_eq!(drain(&mut watcher), [(2, 0, true)]);
        watcher.observe(&set(&[("a", 1), ("b", 2)]));
        assert_eq!(drain(&mut watcher), [(1, 0, true)]);
        watcher.observe(&set(&[("b", 2)]));
        assert_eq!(drain(&mut watcher), [(0, 1, true)]);
    }

    #[test]
    fn a_picker_that_comes_back_gets_what_changed_meanwhile() {
        let name = |name: &str| Some(PoolName { namespace: "ns".into(), name: name.into() });
        let known =
            [("a", 1), ("gone", 1)].map(|(n, revision)| KnownPool { name: name(n), revision }).to_vec();
        let mut watcher = Watcher::new(BTreeSet::new(), known);
        watcher.observe(&set(&[("a", 1), ("b", 1)]));
        assert_eq!(drain(&mut watcher), [(1, 1, true)]);
    }

    #[test]
    fn a_picker_gets_only_the_pools_it_wants() {
        let wanted = BTreeSet::from([NamespacedName::new("ns", "a")]);
        let mut watcher = Watcher::new(wanted, Vec::new());
        watcher.observe(&set(&[("a", 1), ("b", 1)]));
        assert_eq!(drain(&mut watcher), [(1, 0, true)]);
    }

    #[test]
    fn many_pools_are_sent_in_parts_and_the_last_part_says_synced() {
        let names: Vec<_> = (0..40).map(|i| format!("p{i:02}")).collect();
        let pools: Vec<_> = names.iter().map(|n| (n.as_str(), 1)).collect();
        let mut watcher = Watcher::new(BTreeSet::new(), Vec::new());
        watcher.observe(&set(&pools));
        assert_eq!(drain(&mut watcher), [(16, 0, false), (16, 0, false), (8, 0, true)]);
    }
}
