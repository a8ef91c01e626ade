//! Decides who answers a request to a Pod, and marks every answer with the Pod's name and the body's hash.
//!
//! ```text
//! /metrics, /health, /admin/… ─▶ at once
//! else ─▶ faults ─▶ whole body ─▶ x-echo or another path: echo │ /v1/models │ completions, chat ─▶ engine
//! ```

mod admin;
mod ask;
pub(super) mod echo;
mod generate;
mod refusal;
mod stream;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream as streams};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use xxhash_rust::xxh3::xxh3_64;

use self::refusal::Refusal;
use super::{
    faults::{self, Faults, MetricsFault},
    metrics,
    pod::Pod,
    wire::Reset,
};

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Bodies above this are refused.
const BODY_LIMIT: usize = 64 << 20;

/// The hash that `x-body-xxh3` reports of a request's body: XXH3-64 in hexadecimal.
pub fn body_hash(body: &[u8]) -> String {
    format!("{:016x}", xxh3_64(body))
}

/// A body that is known whole.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).expect("answers have string keys");
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers one request.
///
/// # Errors
/// When a fault asks for the connection to be dropped; `reset` has been ordered.
pub(super) async fn answer(
    pod: Arc<Pod>,
    request: Request<Incoming>,
    reset: Reset,
) -> Result<Response<Body>, io::Error> {
    let mut response = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics" | "/metrics/") => metrics_page(&pod).await,
        // The picker's own question, beside its scrapes: no request that anybody sent through it.
        (&Method::GET, "/v1/models") if is_picker(&request) => admin::models(&pod),
        (_, "/admin/faults") => admin::faults(&pod, request).await,
        (&Method::GET, "/health" | "/health/ready") => {
            let healthy = !pod.faults().unhealthy;
            let mut response = Response::new(full(""));
            *response.status_mut() = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            response
        }
        _ => inference(&pod, request, reset).await?,
    };
    let name = HeaderValue::from_str(&pod.config().name).unwrap_or(HeaderValue::from_static("?"));
    response.headers_mut().insert(HeaderName::from_static("x-inference-pod"), name.clone());
    response.headers_mut().insert(HeaderName::from_static("x-served-by"), name);
    Ok(response)
}

fn is_picker(request: &Request<Incoming>) -> bool {
    request.headers().get(header::USER_AGENT).is_some_and(|agent| agent == "signalbox-picker")
}

async fn inference(
    pod: &Arc<Pod>,
    request: Request<Incoming>,
    reset: Reset,
) -> Result<Response<Body>, io::Error> {
    let number = pod.count_request();
    let wish = request.headers().get(faults::HEADER).and_then(|value| value.to_str().ok());
    let faults = match pod.take_faults().with_header(wish) {
        Ok(faults) => faults,
        Err(text) => return Ok(Refusal::bad_request(text).into_response()),
    };
    let (parts, body) = request.into_parts();
    let declared = body.size_hint().exact();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body,
        Err(error) if error.downcast_ref::<http_body_util::LengthLimitError>().is_some() => {
            return Ok(Refusal::too_large(BODY_LIMIT).into_response());
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    if let Some(response) = show(&faults, &reset).await? {
        return Ok(response);
    }
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes();
    let (hash, length) = (body_hash(&body), body.len());
    let mut response = match (&parts.method, parts.uri.path()) {
        _ if parts.headers.contains_key("x-echo") => echo::answer(pod, &parts, declared, &body, &trailers),
        (&Method::GET, "/v1/models") => admin::models(pod),
        (&Method::POST, "/v1/load_lora_adapter") => admin::adapter(pod, &body, true),
        (&Method::POST, "/v1/unload_lora_adapter") => admin::adapter(pod, &body, false),
        (&Method::POST, "/v1/completions" | "/v1/chat/completions") => {
            let chat = parts.uri.path() != "/v1/completions";
            match ask::read(pod, &body, chat, number) {
                Ok(plan) => generate::answer(pod, plan, &faults, reset).await?,
                Err(refusal) => refusal.into_response(),
            }
        }
        _ => echo::answer(pod, &parts, declared, &body, &trailers),
    };
    let headers = response.headers_mut();
    headers.insert("x-body-xxh3", HeaderValue::from_str(&hash).expect("hexadecimal"));
    headers.insert("x-body-length", HeaderValue::from(length));
    Ok(response)
}

/// Shows the faults that come before an answer.
async fn show(faults: &Faults, reset: &Reset) -> Result<Option<Response<Body>>, io::Error> {
    if faults.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.delay_ms)).await;
    }
    if faults.hang {
        std::future::pending::<()>().await;
    }
    if faults.reset {
        reset.order();
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, "reset on demand"));
    }
    Ok(faults.status.map(|status| Refusal::on_demand(status).into_response()))
}

async fn metrics_page(pod: &Pod) -> Response<Body> {
    let fault = pod.faults().metrics;
    let body = match fault {
        MetricsFault::Hang => std::future::pending().await,
        MetricsFault::Missing => return Refusal::not_found("no metrics here").into_response(),
        MetricsFault::Error => return Refusal::on_demand(500).into_response(),
        MetricsFault::Garbage => full((0..4096u32).map(|i| (i * 37 % 256) as u8).collect::<Vec<_>>()),
        MetricsFault::Huge => {
            let line = "vllm:huge_total{engine=\"0\",model_name=\"m\"} 1.0\n";
            full(line.repeat((32 << 20) / line.len()))
        }
        MetricsFault::Slow => {
            let page = Bytes::from(metrics::page(pod, MetricsFault::None));
            let bytes = streams::iter(0..page.len()).then(move |index| {
                let byte = page.slice(index..=index);
                async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(Frame::data(byte))
                }
            });
            BodyExt::boxed_unsync(StreamBody::new(bytes))
        }
        _ => full(metrics::page(pod, fault)),
    };
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("text/plain; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
