//! An HTTP client for tests: every call has a deadline, every answer is read to its end.
//!
//! [`Client`] keeps connections alive; [`Events`] reads server-sent events as they come; [`raw`] sends bytes as they
//! are, for requests that no client library would make.

mod events;
pub mod raw;
mod reply;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde_json::{Value, json};

pub use self::{
    events::{Events, SseEvent},
    reply::Reply,
};

/// The body of a request.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// The deadline of every call.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A client of one address.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    inner: legacy::Client<HttpConnector, Body>,
}

/// A body that is known whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

impl Client {
    /// A client of this address, over HTTP/1.1.
    pub fn new(address: SocketAddr) -> Self {
        Self::with(address, false)
    }

    /// A client of this address, over HTTP/2 without TLS.
    pub fn h2c(address: SocketAddr) -> Self {
        Self::with(address, true)
    }

    fn with(address: SocketAddr, h2c: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).http2_only(h2c);
        Self { address, inner: builder.build(connector) }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins a request to a path.
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }

    /// Sends a request; returns when the answer's headers are here.
    ///
    /// # Errors
    /// When there is no answer within [`DEADLINE`].
    pub async fn open(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        let what = format!("{} {}", request.method(), request.uri());
        let response = tokio::time::timeout(DEADLINE, self.inner.request(request));
        response.await.with_context(|| format!("{what}: no answer in time"))?.with_context(|| what)
    }

    /// Sends a request; returns the whole answer.
    ///
    /// # Errors
    /// When the answer is not complete within [`DEADLINE`].
    pub async fn send(&self, request: Request<Body>) -> Result<Reply> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let whole = async { Reply::read(self.open(request).await?).await };
        tokio::time::timeout(DEADLINE, whole)
            .await
            .with_context(|| format!("{what}: not complete in time"))?
    }

    /// `GET path`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::GET, path).body(full(""))?).await
    }

    /// `POST path` with bytes that are said to be JSON, and further headers.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn post(&self, path: &str, body: impl Into<Bytes>, headers: &[(&str, &str)]) -> Result<Reply> {
        self.send(self.post_request(path, body, headers)?).await
    }

    /// The request of [`Client::post`].
    ///
    /// # Errors
    /// When a header is none.
    pub fn post_request(
        &self,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Result<Request<Body>> {
        let mut request = self.request(Method::POST, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(full(body))?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().entry(header::CONTENT_TYPE).or_insert(json);
        Ok(request)
    }

    /// A completion, as the guide asks for it.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn completion(&self, model: &str, prompt: &str) -> Result<Reply> {
        let body = json!({"model": model, "prompt": prompt, "max_tokens": 10, "temperature": 0});
        self.post("/v1/completions", body.to_string(), &[]).await
    }

    /// A request whose answer is streamed; the body is sent as it is.
    ///
    /// # Errors
    /// When there are no headers in time.
    pub async fn stream(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Result<Events> {
        Ok(Events::new(self.open(self.post_request(path, body.to_string(), headers)?).await?))
    }
}
