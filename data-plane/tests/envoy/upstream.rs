//! A model server that says what it received, as JSON; one that holds its response back, or the
//! rest of it; and one that streams events.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Two model servers; they end when dropped.
pub(crate) struct Upstreams {
    pub(crate) addresses: Vec<SocketAddr>,
    /// Each permit lets one held response end.
    pub(crate) release: Arc<Semaphore>,
    /// Requests that ended before their answer had begun.
    pub(crate) aborted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Upstreams {
    pub(crate) async fn start() -> Self {
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        let release = Arc::new(Semaphore::new(0));
        let aborted = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tasks.spawn(accept(listener, Arc::clone(&release), Arc::clone(&aborted)));
        }
        Self { addresses, release, aborted, _tasks: tasks }
    }
}

async fn accept(listener: TcpListener, release: Arc<Semaphore>, aborted: Arc<AtomicUsize>) {
    let me = listener.local_addr().unwrap();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (release, aborted) = (Arc::clone(&release), Arc::clone(&aborted));
        connections.spawn(async move {
            let service =
                service_fn(move |request| answer(me, request, Arc::clone(&release), Arc::clone(&aborted)));
            // A client that goes away is part of the tests.
            drop(
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

async fn answer(
    me: SocketAddr,
    request: Request<Incoming>,
    release: Arc<Semaphore>,
    aborted: Arc<AtomicUsize>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(Response::new(Full::new(Bytes::new()).boxed()));
    };
    let trailers = body.trailers().map(names).unwrap_or_default();
    let body = body.to_bytes();
    let told = json!({
        "server": me.to_string(),
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "length": body.len(),
        "hash": xxhash_rust::xxh3::xxh3_64(&body),
        "model": serde_json::from_slice::<serde_json::Value>(&body).ok().map(|b| b["model"].clone()),
        "headers": names(&head.headers),
        "usage": {"prompt_tokens": body.len() / 2},
        "trailers": trailers,
    });
    if head.uri.path().ends_with("/think") {
        let counted = Counted(aborted);
        release.acquire().await.unwrap().forget();
        std::mem::forget(counted);
    }
    if head.uri.path().ends_with("/events") {
        return Ok(events(&told["model"]));
    }
    let told = Bytes::from(told.to_string());
    if head.uri.path().ends_with("/completions") {
        let response = Response::builder().header("content-type", "application/json");
        return Ok(response.body(Full::new(told).boxed()).unwrap());
    }
    if !head.uri.path().ends_with("/hold") {
        return Ok(Response::new(Full::new(told).boxed()));
    }
    let first = stream::iter([Ok(Frame::data(told))]);
    let rest = stream::once(async move {
        release.acquire().await.unwrap().forget();
        Ok(Frame::data(Bytes::from_static(b"\n")))
    });
    Ok(Response::new(BodyExt::boxed(StreamBody::new(first.chain(rest)))))
}

/// Counts when it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Three events that name `model` and one that is the end, in pieces of seven bytes.
fn events(model: &serde_json::Value) -> Response<BoxBody<Bytes, Infallible>> {
    let event = format!("data: {{\"model\":{model},\"choices\":[{{\"delta\":{{\"content\":\"x\"}}}}]}}\n\n");
    let all = Bytes::from(event.repeat(3) + "data: [DONE]\n\n");
    let pieces: Vec<Bytes> =
        (0..all.len()).step_by(7).map(|at| all.slice(at..all.len().min(at + 7))).collect();
    let pieces = stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        Ok(Frame::data(piece))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(BodyExt::boxed(StreamBody::new(pieces))).unwrap()
}

fn names(map: &HeaderMap) -> serde_json::Value {
    map.iter()
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect()
}
