//! Client → Envoy → picker (in this process) and two model servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_plane::decisions;
use data_plane::extproc::connection::Service;
use data_plane::extproc::health::Health;
use data_plane::extproc::lane::{Lanes, Policy};
use data_plane::extproc::server::{self, Connections, Options};
use data_plane::flow::Settings;
use data_plane::pool::Pools;
use data_plane::tokenizer::{Counter, Places, Shelf};
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::tier::v1;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::envoy::Envoy;
use crate::upstream::Upstreams;

pub(crate) const BODY_LIMIT: usize = 24 << 20;

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

pub(crate) struct Stack {
    pub(crate) envoy: Envoy,
    pub(crate) upstreams: Upstreams,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) health: Health,
    /// Counts a token for each word of prompts for the model "counted".
    pub(crate) counter: Arc<Counter>,
    tasks: JoinSet<()>,
    _tokenizer: tempfile::TempDir,
}

/// A tokenizer.json of words for the model "counted", in a directory of models.
fn tokenizer() -> (tempfile::TempDir, Arc<Shelf>) {
    let directory = tempfile::tempdir().unwrap();
    let content = serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"},
    });
    std::fs::create_dir(directory.path().join("counted")).unwrap();
    std::fs::write(directory.path().join("counted/tokenizer.json"), content.to_string()).unwrap();
    let places = Places { directory: Some(directory.path().to_owned()), ..Places::default() };
    (directory, Arc::new(Shelf::new(places)))
}

/// A snapshot of pool ns/pool with `endpoints` and a rewrite of model "old".
pub(crate) fn snapshot(endpoints: &[SocketAddr]) -> v1::WatchResponse {
    let endpoint = |a: &SocketAddr| v1::Endpoint {
        address: a.ip().to_string(),
        port: a.port().into(),
        state: v1::EndpointState::Ready.into(),
        ..Default::default()
    };
    let target = v1::RewriteTarget { model: "a-longer-new-name".to_owned(), weight: 1 };
    let rewrite =
        v1::RewriteRule { source: "r".to_owned(), models: vec!["old".to_owned()], targets: vec![target] };
    let pool = v1::PoolSnapshot {
        name: Some(v1::PoolName { namespace: "ns".to_owned(), name: "pool".to_owned() }),
        revision: 1,
        endpoints: endpoints.iter().map(endpoint).collect(),
        rewrites: vec![rewrite],
        objectives: vec![v1::Objective { name: "low".to_owned(), priority: -1, ..Default::default() }],
        annotations: [("signalbox.dev/eviction".to_owned(), "sheddable".to_owned())].into(),
        ..Default::default()
    };
    v1::WatchResponse { changed: vec![pool], synced: true, ..Default::default() }
}

impl Stack {
    pub(crate) async fn start(secure: bool) -> Self {
        Self::with(secure, Settings::default()).await
    }

    /// With other settings of the queue than the defaults.
    pub(crate) async fn with(secure: bool, admission: Settings) -> Self {
        let upstreams = Upstreams::start().await;
        let pools = Pools::new(Instant::now());
        assert_eq!(pools.apply(snapshot(&upstreams.addresses)), Vec::<String>::new());
        let policy = Policy {
            // Every answer that can be read is read.
            read_answers: 1.0,
            body_limit: BODY_LIMIT,
            decision_deadline: Duration::from_secs(2),
            fairness_header: None,
            admission,
        };
        let settings = decisions::Settings { header: decisions::Header::Answer, ..Default::default() };
        let (tokenizer, shelf) = tokenizer();
        let counter = Arc::new(Counter::new(Arc::clone(&shelf), Duration::from_secs(10)));
        let lanes = Lanes::new(pools, policy, Arc::default()).recording(settings);
        let lanes = Arc::new(lanes.counting(Some(Arc::clone(&counter))));
        let health = Health::default();
        health.set_synced(true);
        let options = Options {
            service: Arc::new(Service { lanes: Some(Arc::clone(&lanes)), health: health.clone() }),
            tls: secure.then(|| Arc::new(data_plane::tls::Acceptor::new(None).unwrap())),
            workers: 1,
            connections: Connections::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let picker = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server::run(listener, options).await.unwrap() });
        let tended = Arc::clone(&lanes);
        tasks.spawn(async move { tended.tend().await });
        tasks.spawn(async move { shelf.follow().await.unwrap() });
        let envoy = Envoy::start(picker, secure, &upstreams.addresses).await;
        Self { envoy, upstreams, lanes, health, counter, tasks, _tokenizer: tokenizer }
    }

    /// Ends the picker; its worker thread ends with its last stream.
    pub(crate) async fn stop_picker(&mut self) {
        self.health.close();
        tokio::time::timeout(Duration::from_secs(10), self.tasks.join_next()).await.expect("the picker ends");
    }

    pub(crate) async fn send(&self, request: Request<Body>, http2: bool) -> Response<Incoming> {
        let client: Client<HttpConnector, Body> =
            Client::builder(TokioExecutor::new()).http2_only(http2).build(HttpConnector::new());
        client.request(request).await.unwrap()
    }

    pub(crate) fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let uri = format!("http://{}{path}", self.envoy.listener);
        Request::builder().method(method).uri(uri).body(body).unwrap()
    }

    /// Waits until that many requests wait.
    pub(crate) async fn until_waiting(&self, count: usize) {
        for _ in 0..200 {
            if self.lanes.waiting().values().sum::<usize>() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{:?} wait, not {count}", self.lanes.waiting());
    }

    /// Requests in flight: at the gate, and at the endpoints.
    pub(crate) fn in_flight(&self) -> (usize, u32) {
        let gate = self.lanes.in_flight().values().sum();
        let endpoints = self.lanes.pools().all()[0].snapshot();
        (gate, endpoints.endpoints.iter().map(|e| e.slot.in_flight()).sum())
    }

    /// Waits until that many requests are in flight.
    pub(crate) async fn until_in_flight(&self, count: usize) {
        let wanted = (count, count as u32);
        for _ in 0..200 {
            if self.in_flight() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{:?} in flight, not {wanted:?}", self.in_flight());
    }
}

pub(crate) async fn told(response: Response<Incoming>) -> Value {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// Status, `x-signalbox-reason` and body of a refusal.
pub(crate) async fn refusal(response: Response<Incoming>) -> (u16, String, Value) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{e}: {body:?}"));
    let reason = head.headers.get("x-signalbox-reason").map(|v| v.to_str().unwrap().to_owned());
    (head.status.as_u16(), reason.unwrap_or_default(), body)
}

/// A body of one piece, with a content-length.
pub(crate) fn whole(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// A body of several pieces without a content-length, with trailers when wanted.
pub(crate) fn chunked(bytes: &Bytes, size: usize, trailers: bool) -> Body {
    let pieces = (0..bytes.len()).step_by(size).map(|at| bytes.slice(at..bytes.len().min(at + size)));
    let mut frames: Vec<_> = pieces.map(|piece| Ok(Frame::data(piece))).collect();
    if trailers {
        frames.push(Ok(Frame::trailers(HeaderMap::from_iter([(
            http::HeaderName::from_static("x-sum"),
            http::HeaderValue::from_static("7"),
        )]))));
    }
    StreamBody::new(stream::iter(frames)).boxed()
}
