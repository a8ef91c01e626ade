//! A control plane for a picker that is measured alone: it sends fixed pools over the tier API and then stays silent.

use std::{net::SocketAddr, pin::Pin};

use anyhow::{Context, Result};
use futures_util::{Stream, StreamExt, stream};
use proto::tier::v1::{
    AppProtocol, Endpoint, EndpointState, FailureMode, PoolName, PoolSnapshot, WatchRequest, WatchResponse,
    pools_server::{Pools, PoolsServer},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// Serves until it is dropped.
pub(super) struct TierServer {
    address: SocketAddr,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

struct Fixed(Vec<PoolSnapshot>);

#[tonic::async_trait]
impl Pools for Fixed {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let all = WatchResponse { changed: self.0.clone(), removed: Vec::new(), synced: true };
        Ok(Response::new(Box::pin(stream::iter([Ok(all)]).chain(stream::pending()))))
    }
}

impl TierServer {
    /// Serves pools on a free port of this address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(super) async fn start(ip: std::net::IpAddr, pools: Vec<PoolSnapshot>) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await.context("the tier API's address")?;
        let address = listener.local_addr()?;
        let service = PoolsServer::new(Fixed(pools));
        let mut server = JoinSet::new();
        server.spawn(
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Ok(Self { address, _server: server })
    }

    /// Where it serves.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A pool of vLLM servers.
pub(super) fn pool(namespace: &str, name: &str, endpoints: &[SocketAddr]) -> PoolSnapshot {
    let mut endpoints: Vec<_> = endpoints.to_vec();
    endpoints.sort();
    let endpoints = endpoints.iter().enumerate().map(|(index, address)| Endpoint {
        address: address.ip().to_string(),
        port: address.port().into(),
        pod: format!("{name}-{index}"),
        node: "node".to_owned(),
        state: EndpointState::Ready.into(),
        engine: "vllm".to_owned(),
        ..Default::default()
    });
    PoolSnapshot {
        name: Some(PoolName { namespace: namespace.to_owned(), name: name.to_owned() }),
        revision: 1,
        endpoints_revision: 1,
        endpoints: endpoints.collect(),
        app_protocol: AppProtocol::Http.into(),
        failure_mode: FailureMode::Open.into(),
        ..Default::default()
    }
}
