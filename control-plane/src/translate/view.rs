//! Resources for people: canonical protobuf JSON, with what is packed in `Any` opened.
//!
//! `descriptors.bin` is a part of the descriptor set in the envoy-types crate (Apache-2.0): the messages that the
//! resources here can hold, without options and comments. `tests/descriptors.rs` makes it.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Map, Value, json};

use crate::xds::{ResourceType, Snapshot};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(include_bytes!("descriptors.bin").as_slice())
        .expect("the set in the repository is complete")
});

/// A snapshot as JSON: by kind of resource, then by name, each with its version.
pub fn view(snapshot: &Snapshot) -> Value {
    let kinds = ResourceType::ALL.into_iter().filter_map(|kind| {
        let resources: Map<_, _> = snapshot
            .of(kind)
            .map(|r| {
                let mut resource = open(&r.any);
                if let Some(key) = resource.pointer_mut("/tlsCertificate/privateKey") {
                    *key = json!("(hidden)");
                }
                (r.name.as_ref().to_owned(), json!({"version": r.version.to_string(), "resource": resource}))
            })
            .collect();
        (!resources.is_empty()).then(|| (title(kind).to_owned(), Value::Object(resources)))
    });
    Value::Object(kinds.collect())
}

fn title(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Cluster => "clusters",
        ResourceType::Endpoint => "endpoints",
        ResourceType::Listener => "listeners",
        ResourceType::Scope => "scopes",
        ResourceType::Route => "routes",
        ResourceType::Secret => "secrets",
    }
}

/// A message packed in an encoded `Any`; an object with the member `error` if the set does not have it.
fn open(any: &[u8]) -> Value {
    let descriptor = POOL.get_message_by_name("google.protobuf.Any").expect("part of the set");
    let opened = DynamicMessage::decode(descriptor, any)
        .map_err(|e| e.to_string())
        .and_then(|message| serde_json::to_value(message).map_err(|e| e.to_string()));
    opened.unwrap_or_else(|error| json!({"error": error}))
}
