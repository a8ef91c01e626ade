//! A Gateway served by a real Envoy, with echoing upstreams in this process.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
};
use control_plane::translate::{Cache, Settings, snapshot, view};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    building::Case,
    envoy::{Endpoints, Envoy, wrap},
};

/// A loopback address of this process and test only.
pub(crate) fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let process = std::process::id();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{}.{n}", 64 + process % 64, process / 64 % 256)
}

/// The port of every Gateway here.
pub(crate) const PORT: u16 = 8080;

/// Upstreams that answer with what they received.
#[derive(Default)]
pub(crate) struct Upstreams {
    tasks: JoinSet<()>,
}

impl Upstreams {
    /// Starts an upstream that calls itself `name`; `/slow` never answers.
    pub(crate) async fn echo(&mut self, name: &'static str) -> String {
        let listener = TcpListener::bind((address(), 0)).await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let echo = move |request: Request| async move {
            if request.uri().path().starts_with("/slow") {
                std::future::pending::<()>().await;
            }
            let (parts, body) = request.into_parts();
            let len = body.collect().await.unwrap().to_bytes().len();
            let headers: serde_json::Map<_, _> = parts
                .headers
                .iter()
                .map(|(k, v)| (k.to_string(), json!(String::from_utf8_lossy(v.as_bytes()))))
                .collect();
            let uri = parts.uri.to_string();
            json!({"backend": name, "uri": uri, "headers": headers, "len": len}).to_string()
        };
        let app = Router::new().fallback(echo).layer(axum::extract::DefaultBodyLimit::disable());
        self.tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        at
    }
}

/// A running Gateway.
pub(crate) struct Stack {
    pub(crate) envoy: Envoy,
    at: SocketAddr,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Body>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The reason in the header, which has to be that in the body.
    pub(crate) fn reason(&self) -> String {
        let reason = self.headers.get("x-signalbox-reason").unwrap_or_else(|| panic!("no reason: {self:?}"));
        let reason = reason.to_str().unwrap().to_owned();
        let error = &self.json()["error"];
        assert_eq!(error["code"], reason.as_str(), "{self:?}");
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{self:?}");
        assert!(error["type"].is_string() && error.get("param").is_some(), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        reason
    }

    /// The header that an upstream received.
    pub(crate) fn received(&self, header: &str) -> Option<String> {
        Some(self.json()["headers"].get(header)?.as_str()?.to_owned())
    }
}

impl Stack {
    /// Serves a Gateway whose only listener binds `at`.
    pub(crate) async fn start(case: &Case, at: &str, settings: &Settings) -> Self {
        let snapshot = snapshot(&case.ir, &case.endpoints, settings, None, &mut Cache::default());
        let envoy = Envoy::start(&wrap(&view(&snapshot), Endpoints::Inline));
        let at = SocketAddr::new(at.parse().unwrap(), PORT);
        let ready = async {
            while tokio::net::TcpStream::connect(at).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), ready).await.is_err() {
            panic!("Envoy does not listen: {}", envoy.log());
        }
        Self { envoy, at, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request to `path` with the headers.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(format!("http://{}{path}", self.at));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(30), self.client.request(request));
        let (parts, body) = answer.await.expect("an answer in time").unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body).await
    }

    /// Fails if a script failed.
    pub(crate) fn assert_no_script_errors(&self) {
        let log = self.envoy.log();
        assert!(!log.contains("[lua]"), "{log}");
    }
}
