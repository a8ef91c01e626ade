//! One request of a load, and what makes its answer good.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Failure;
use crate::{
    client::{Client, Events, Reply},
    simulator::body_hash,
};

/// A POST with a JSON body. Its answer is good when the status is 200, a Pod whose name begins as expected has
/// answered, and that Pod has received the body byte by byte.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    path: String,
    body: Bytes,
    hash: String,
    headers: Vec<(String, String)>,
    pods: String,
    tokens: Option<usize>,
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) pod: String,
    pub(super) latency: Duration,
    pub(super) first_token: Option<Duration>,
}

impl LoadRequest {
    /// A POST of a body to a path.
    pub fn post(path: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let hash = body_hash(&body);
        Self { path: path.into(), body, hash, headers: Vec::new(), pods: String::new(), tokens: None }
    }

    /// A completion of some tokens.
    pub fn completion(model: &str, prompt: &str, max_tokens: usize) -> Self {
        let body = json!({"model": model, "prompt": prompt, "max_tokens": max_tokens, "ignore_eos": true});
        Self::post("/v1/completions", body.to_string())
    }

    /// A completion that is streamed; good when every token and `[DONE]` arrive.
    pub fn stream(model: &str, prompt: &str, max_tokens: usize) -> Self {
        let body = json!({"model": model, "prompt": prompt, "max_tokens": max_tokens, "stream": true, "ignore_eos": true});
        Self { tokens: Some(max_tokens), ..Self::post("/v1/completions", body.to_string()) }
    }

    /// Expects an answer from a Pod whose name begins so.
    #[must_use]
    pub fn from_pods(mut self, prefix: &str) -> Self {
        self.pods = prefix.into();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) async fn send(&self, client: &Client, deadline: Duration) -> Result<Good, (Failure, String)> {
        let whole = tokio::time::timeout(deadline, self.exchange(client)).await;
        whole.unwrap_or_else(|_| Err((Failure::Timeout, "the answer is not complete".into())))
    }

    async fn exchange(&self, client: &Client) -> Result<Good, (Failure, String)> {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let fail =
            |answering| move |error: anyhow::Error| (Failure::of(&error, answering), format!("{error:#}"));
        let request = client.post_request(&self.path, self.body.clone(), &headers).map_err(fail(false))?;
        let start = Instant::now();
        let response = client.open(request).await.map_err(fail(false))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut first_token = None;
        if let Some(tokens) = self.tokens.filter(|_| status.is_success()) {
            let mut events = Events::new(response);
            let mut seen = Vec::new();
            while let Some(event) = events.next().await.map_err(fail(true))? {
                first_token.get_or_insert(event.at - start);
                seen.push(event);
            }
            check_stream(tokens, &seen.iter().map(|event| event.json()).collect::<Vec<_>>())?;
        } else {
            let reply = Reply::read(response).await.map_err(fail(true))?;
            if status != 200 {
                return Err((Failure::Status(status.as_u16()), reply.text()));
            }
        }
        let (pod, hash) = (header("x-inference-pod"), header("x-body-xxh3"));
        if !pod.starts_with(&self.pods) || pod.is_empty() {
            return Err((Failure::Content, format!("answered by {pod:?}, not by {}…", self.pods)));
        }
        if hash != self.hash {
            return Err((
                Failure::Content,
                format!("{pod} received another body: {hash}, not {}", self.hash),
            ));
        }
        Ok(Good { pod: pod.into(), latency: start.elapsed(), first_token })
    }
}

/// A completion's stream has a chunk for each token, the finish and `[DONE]`, which reads as null.
fn check_stream(tokens: usize, events: &[Value]) -> Result<(), (Failure, String)> {
    let texts = events
        .iter()
        .filter(|event| event["choices"][0]["text"].as_str().is_some_and(|text| !text.is_empty()));
    let (count, done) = (texts.count(), events.last().is_some_and(Value::is_null));
    if count == tokens && done {
        return Ok(());
    }
    Err((Failure::Truncated, format!("{count} of {tokens} tokens, done: {done}")))
}
