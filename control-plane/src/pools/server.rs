//! The gRPC server of the tier API.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use proto::tier::v1::{
    PoolName, WatchRequest, WatchResponse,
    pools_server::{Pools, PoolsServer},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{PoolPublisher, PoolSet, snapshot::pool_name};
use crate::api::NamespacedName;

/// Serves the tier API on `listener` until `cancel` fires; open streams are ended then, pickers keep what they hold and
/// come back.
///
/// # Errors
/// When the transport fails.
pub async fn serve(
    listener: TcpListener,
    publisher: PoolPublisher,
    cancel: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let service = PoolsServer::new(Server { publisher, cancel: cancel.clone() });
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), cancel.cancelled_owned())
        .await
}

struct Server {
    publisher: PoolPublisher,
    cancel: CancellationToken,
}

#[tonic::async_trait]
impl Pools for Server {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        tracing::info!(picker = request.picker_id, wanted = request.pools.len(), "picker connected");
        let watcher = Watcher::new(request);
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
    fn new(request: WatchRequest) -> Self {
        let key = |name: PoolName| NamespacedName::new(name.namespace, name.name);
        Self {
            wanted: request.pools.into_iter().map(key).collect(),
            held: request.known.into_iter().filter_map(|k| Some((key(k.name?), k.revision))).collect(),
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
    use proto::tier::v1::{KnownPool, PoolSnapshot};

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
        let mut watcher = Watcher::new(WatchRequest::default());
        watcher.observe(&PoolSet::default());
        assert_eq!(drain(&mut watcher), []);
    }

    #[test]
    fn an_empty_set_still_says_synced_once() {
        let mut watcher = Watcher::new(WatchRequest::default());
        watcher.observe(&set(&[]));
        assert_eq!(drain(&mut watcher), [(0, 0, true)]);
        watcher.observe(&set(&[]));
        assert_eq!(drain(&mut watcher), []);
    }

    #[test]
    fn only_differences_are_sent() {
        let mut watcher = Watcher::new(WatchRequest::default());
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
        let mut watcher = Watcher::new(WatchRequest { known, ..WatchRequest::default() });
        watcher.observe(&set(&[("a", 1), ("b", 1)]));
        assert_eq!(drain(&mut watcher), [(1, 1, true)]);
    }

    #[test]
    fn a_picker_gets_only_the_pools_it_wants() {
        let wanted = vec![PoolName { namespace: "ns".into(), name: "a".into() }];
        let mut watcher = Watcher::new(WatchRequest { pools: wanted, ..WatchRequest::default() });
        watcher.observe(&set(&[("a", 1), ("b", 1)]));
        assert_eq!(drain(&mut watcher), [(1, 0, true)]);
    }

    #[test]
    fn many_pools_are_sent_in_parts_and_the_last_part_says_synced() {
        let names: Vec<_> = (0..40).map(|i| format!("p{i:02}")).collect();
        let pools: Vec<_> = names.iter().map(|n| (n.as_str(), 1)).collect();
        let mut watcher = Watcher::new(WatchRequest::default());
        watcher.observe(&set(&pools));
        assert_eq!(drain(&mut watcher), [(16, 0, false), (16, 0, false), (8, 0, true)]);
    }
}
