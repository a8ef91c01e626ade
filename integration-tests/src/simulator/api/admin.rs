//! The answers about the Pod itself: its models, adapters and faults.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::{Body, refusal::Refusal};
use crate::simulator::{faults::Faults, pod::Pod};

/// `GET /v1/models`.
pub(super) fn models(pod: &Pod) -> Response<Body> {
    let config = pod.config();
    let names = config.names();
    let mut data: Vec<_> = names
        .iter()
        .map(|name| {
            json!({"id": name, "object": "model", "created": 0, "owned_by": "vllm", "root": config.model,
                   "parent": null, "max_model_len": config.max_model_len})
        })
        .collect();
    pod.with_engine(|engine| {
        data.extend(engine.adapters().known().iter().map(|adapter| {
            json!({"id": adapter, "object": "model", "created": 0, "owned_by": "vllm", "root": adapter,
                   "parent": names[0]})
        }));
    });
    super::json(StatusCode::OK, &json!({"object": "list", "data": data}))
}

/// `POST /v1/load_lora_adapter` and `/v1/unload_lora_adapter`: `{"lora_name": …}`.
pub(super) fn adapter(pod: &Pod, body: &Bytes, load: bool) -> Response<Body> {
    #[derive(Deserialize)]
    struct Adapter {
        lora_name: String,
    }
    let Ok(Adapter { lora_name }) = serde_json::from_slice(body) else {
        return Refusal::bad_request("a JSON object with lora_name is expected").into_response();
    };
    let changed = pod.with_engine(|engine| {
        let adapters = engine.adapters_mut();
        if load { adapters.add(&lora_name) } else { adapters.remove(&lora_name) }
    });
    match (changed, load) {
        (true, _) => super::json(StatusCode::OK, &json!({"lora_name": lora_name})),
        (false, true) => {
            Refusal::bad_request(format!("The lora adapter '{lora_name}' is already loaded.")).into_response()
        }
        (false, false) => {
            Refusal::not_found(format!("The lora adapter '{lora_name}' cannot be found.")).into_response()
        }
    }
}

/// `GET /admin/faults`, and `POST` with the faults that replace those in force.
pub(super) async fn faults(pod: &Pod, request: Request<Incoming>) -> Response<Body> {
    if request.method() == Method::POST {
        let body = match Limited::new(request.into_body(), 1 << 16).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Refusal::bad_request(error.to_string()).into_response(),
        };
        match serde_json::from_slice::<Faults>(&body) {
            Ok(faults) => pod.set_faults(faults),
            Err(error) => return Refusal::bad_request(error.to_string()).into_response(),
        }
    }
    super::json(StatusCode::OK, &pod.faults())
}
