//! Responses on the wire, made of resources that were encoded once.
//!
//! ```text
//! gRPC frame  = 0 ∙ length (4) ∙ message
//! message     = version ∙ type_url ∙ resource… ∙ removed… ∙ nonce
//! resource    = tag ∙ length ∙ [small: copied | large: the shared bytes themselves]
//! ```
//!
//! Large resources are not copied: all streams send the same bytes. Field numbers are those of
//! `envoy/service/discovery/v3/discovery.proto`; the order of fields is free in protobuf.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use super::{Protocol, Resource, Response};

/// Resources of at least this size are shared instead of copied; below it, one more HTTP/2 frame costs more.
const SHARED: usize = 4096;

/// A gRPC message as a sequence of chunks.
pub type Frame = Vec<Bytes>;

/// Encodes a response.
pub fn frame(protocol: Protocol, response: &Response) -> Frame {
    let fields = Fields::of(protocol);
    let version = response.version.to_string();
    let nonce = response.nonce.to_string();
    let resources = response.resources.iter().map(|r| fields.resource_len(r)).sum::<usize>();
    let removed = response.removed.iter().map(|name| delimited_len(name.len())).sum::<usize>();
    let texts = [version.len(), response.kind.type_url().len(), nonce.len()];
    let message = texts.map(delimited_len).iter().sum::<usize>() + resources + removed;

    let shared = response.resources.iter().map(|r| r.any.len()).filter(|len| *len >= SHARED).sum::<usize>();
    let mut out = Chunks { chunks: Frame::new(), open: BytesMut::with_capacity(5 + message - shared) };
    out.open.put_u8(0);
    out.open.put_u32(u32::try_from(message).expect("a response is smaller than 4 GiB"));
    put_delimited(&mut out.open, fields.version, version.as_bytes());
    put_delimited(&mut out.open, fields.type_url, response.kind.type_url().as_bytes());
    for resource in &response.resources {
        fields.put_resource(&mut out, resource);
    }
    for name in &response.removed {
        put_delimited(&mut out.open, fields.removed, name.as_bytes());
    }
    put_delimited(&mut out.open, fields.nonce, nonce.as_bytes());
    out.finish()
}

/// The numbers of the fields.
struct Fields {
    version: u8,
    resources: u8,
    type_url: u8,
    nonce: u8,
    removed: u8,
    /// Resources are wrapped with their name and version.
    wrapped: bool,
}

impl Fields {
    fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Delta => {
                Self { version: 1, resources: 2, type_url: 4, nonce: 5, removed: 6, wrapped: true }
            }
            Protocol::Sotw => {
                Self { version: 1, resources: 2, type_url: 4, nonce: 5, removed: 0, wrapped: false }
            }
        }
    }

    /// Length of the `Resource` message around an `Any`: version (1), resource (2), name (3).
    fn wrapper_len(resource: &Resource) -> usize {
        delimited_len(VERSION_LEN) + delimited_len(resource.any.len()) + delimited_len(resource.name.len())
    }

    fn resource_len(&self, resource: &Resource) -> usize {
        delimited_len(if self.wrapped { Self::wrapper_len(resource) } else { resource.any.len() })
    }

    fn put_resource(&self, out: &mut Chunks, resource: &Resource) {
        if self.wrapped {
            put_key(&mut out.open, self.resources, Self::wrapper_len(resource));
            put_delimited(&mut out.open, 1, resource.version.to_string().as_bytes());
            put_delimited(&mut out.open, 3, resource.name.as_bytes());
            put_key(&mut out.open, 2, resource.any.len());
        } else {
            put_key(&mut out.open, self.resources, resource.any.len());
        }
        out.put_any(&resource.any);
    }
}

/// Length of a version as text.
const VERSION_LEN: usize = 16;

/// Chunks that are complete, and the one that is being written.
struct Chunks {
    chunks: Frame,
    open: BytesMut,
}

impl Chunks {
    fn put_any(&mut self, any: &Bytes) {
        if any.len() < SHARED {
            self.open.put_slice(any);
        } else {
            self.chunks.push(self.open.split().freeze());
            self.chunks.push(any.clone());
        }
    }

    fn finish(mut self) -> Frame {
        self.chunks.push(self.open.freeze());
        self.chunks
    }
}

/// Length of a length-delimited field whose number is below 16.
fn delimited_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn put_key(out: &mut BytesMut, field: u8, len: usize) {
    const LENGTH_DELIMITED: u8 = 2;
    out.put_u8(field << 3 | LENGTH_DELIMITED);
    encode_varint(len as u64, out);
}

fn put_delimited(out: &mut BytesMut, field: u8, bytes: &[u8]) {
    put_key(out, field, bytes.len());
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::{
        envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse},
        google::protobuf::Any,
    };
    use prost::Message as _;

    use super::*;
    use crate::xds::{ResourceType, Version};

    fn response(sizes: &[usize], removed: &[&str]) -> Response {
        let resource = |(i, size): (usize, &usize)| {
            let any = Any { type_url: "type.googleapis.com/x".into(), value: vec![7; *size] };
            let (name, version) = (format!("name-{i}").into(), Version(i as u64));
            Arc::new(Resource { name, version, any: any.encode_to_vec().into() })
        };
        Response {
            kind: ResourceType::Route,
            nonce: 1234,
            version: Version(0xabc),
            resources: sizes.iter().enumerate().map(resource).collect(),
            removed: removed.iter().map(|n| (*n).into()).collect(),
        }
    }

    fn message(frame: &Frame) -> Vec<u8> {
        let bytes = frame.concat();
        assert_eq!(bytes[0], 0);
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 5);
        bytes[5..].to_vec()
    }

    #[test]
    fn frames_decode_to_what_was_meant() {
        for sizes in [&[][..], &[0], &[1, SHARED * 3, 5, SHARED, 127, 128, 20_000], &[300_000]] {
            let response = response(sizes, &["gone", "missing"]);
            let delta = message(&frame(Protocol::Delta, &response));
            let delta = DeltaDiscoveryResponse::decode(&*delta).unwrap();
            assert_eq!(delta.system_version_info, "0000000000000abc");
            assert_eq!((&*delta.type_url, &*delta.nonce), (ResourceType::Route.type_url(), "1234"));
            assert_eq!(delta.removed_resources, ["gone", "missing"]);
            for (decoded, resource) in delta.resources.iter().zip(&response.resources) {
                assert_eq!(
                    (&*decoded.name, &decoded.version),
                    (&*resource.name, &resource.version.to_string())
                );
                assert_eq!(decoded.resource.as_ref().unwrap().encode_to_vec(), resource.any);
            }
            assert_eq!(delta.resources.len(), sizes.len());

            let response = Response { removed: Vec::new(), ..response };
            let sotw = message(&frame(Protocol::Sotw, &response));
            let sotw = DiscoveryResponse::decode(&*sotw).unwrap();
            assert_eq!(sotw.version_info, "0000000000000abc");
            assert_eq!((&*sotw.type_url, &*sotw.nonce), (ResourceType::Route.type_url(), "1234"));
            let decoded: Vec<_> = sotw.resources.iter().map(Any::encode_to_vec).collect();
            assert_eq!(decoded, response.resources.iter().map(|r| r.any.to_vec()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn large_resources_are_shared() {
        let response = response(&[SHARED], &[]);
        let frame = frame(Protocol::Delta, &response);
        assert!(frame.iter().any(|chunk| chunk.as_ptr() == response.resources[0].any.as_ptr()));
    }
}
