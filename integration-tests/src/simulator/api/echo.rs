//! The echo: what of a request has reached the Pod.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, request::Parts};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::simulator::pod::Pod;

/// A request as the Pod has received it; the answer to `x-echo` and to all paths that are no API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The Pod.
    pub pod: String,
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Protocol version, for example `HTTP/1.1`.
    pub version: String,
    /// Headers by name, each with all its values in order.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Trailers by name.
    pub trailers: BTreeMap<String, Vec<String>>,
    /// The length that was declared beforehand.
    pub declared_length: Option<u64>,
    /// Length of the body.
    pub body_length: usize,
    /// XXH3-64 of the body; see [`body_hash`](super::body_hash).
    pub body_xxh3: String,
}

pub(super) fn answer(
    pod: &Pod,
    parts: &Parts,
    declared_length: Option<u64>,
    body: &Bytes,
    trailers: &HeaderMap,
) -> Response<Body> {
    let echo = Echo {
        pod: pod.config().name.clone(),
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string),
        version: format!("{:?}", parts.version),
        headers: by_name(&parts.headers),
        trailers: by_name(trailers),
        declared_length,
        body_length: body.len(),
        body_xxh3: super::body_hash(body),
    };
    super::json(StatusCode::OK, &echo)
}

fn by_name(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut map = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        map.entry(name.as_str().to_owned())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    map
}
