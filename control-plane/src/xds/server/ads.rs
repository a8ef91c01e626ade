//! The service: takes the request, starts the stream's task, hands out its body.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use tokio::sync::{Semaphore, mpsc};
use tonic::{Status, Streaming, body::Body, codegen::Service, server::NamedService};
use tonic_prost::ProstCodec;

use super::{
    Limits,
    body::{FrameBody, WAITING},
    stream::{Context as StreamContext, serve_stream},
    wire::Wire,
};
use crate::{
    identity::{self, Peer},
    tasks::TaskSet,
    xds::{Nodes, Publisher},
};

/// The service. Clones share state.
#[derive(Clone)]
pub(super) struct Ads {
    context: Arc<StreamContext>,
    open: Arc<Semaphore>,
    tasks: TaskSet,
}

impl NamedService for Ads {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Ads {
    /// `identities` counts refusals; with it, clients need an identity.
    pub(super) fn new(
        publisher: Publisher,
        nodes: Nodes,
        limits: Limits,
        tasks: TaskSet,
        identities: Option<identity::Metrics>,
    ) -> Self {
        let open = Arc::new(Semaphore::new(limits.streams));
        let initial = Semaphore::new(limits.initial_pushes);
        let token = tasks.token().clone();
        Self {
            context: Arc::new(StreamContext { publisher, nodes, limits, initial, token, identities }),
            open,
            tasks,
        }
    }

    fn start<W: Wire>(&self, request: Request<Body>) -> Response<Body> {
        let Ok(permit) = self.open.clone().try_acquire_owned() else {
            self.context.nodes.metrics().refused.inc();
            return Status::resource_exhausted("too many streams are open; connect again later").into_http();
        };
        let peer = request.extensions().get::<Peer>().cloned();
        let decoder = ProstCodec::<W, W>::raw_decoder(Default::default());
        let max = Some(self.context.limits.max_request);
        let inbound = Streaming::new_request(decoder, request.into_body(), None, max);
        let (outbound, frames) = mpsc::channel(WAITING);
        let context = self.context.clone();
        self.tasks.spawn_brief("xds stream", async move {
            serve_stream::<W>(&context, peer, inbound, outbound).await;
            drop(permit);
        });
        let mut response = Response::new(Body::new(FrameBody::new(frames)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

impl Service<Request<Body>> for Ads {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        ready(Ok(match method {
            "DeltaAggregatedResources" => self.start::<DeltaDiscoveryRequest>(request),
            "StreamAggregatedResources" => self.start::<DiscoveryRequest>(request),
            _ => Status::unimplemented("only delta and state-of-the-world ADS are served").into_http(),
        }))
    }
}
