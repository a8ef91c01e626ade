//! RouteConfigurations: RDS, put together from the bytes of virtual hosts.

use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use prost::Message;

use super::{
    TRANSLATION_SALT,
    message::{field_len, start_any, start_message},
    names::PART_HEADER,
    route_parts::Part,
    settings::Settings,
    value::{boolean, uint32},
    virtual_host::EncodedHost,
};
use crate::xds::{Resource, Version};

/// Field number of `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS: u32 = 2;
/// Bytes of a direct response that every RouteConfiguration allows.
const MIN_DIRECT_BODY: usize = 16 << 10;

/// The version of what `encode` makes.
pub(super) fn version(name: &str, part: Part, hosts: &[&EncodedHost], settings: &Settings) -> Version {
    let hosts: Vec<_> = hosts.iter().map(|host| host.version).collect();
    Version::of(TRANSLATION_SALT, &(name, part, hosts, settings))
}

/// The resource.
pub(super) fn encode(
    name: &str,
    part: Part,
    hosts: &[&EncodedHost],
    version: Version,
    settings: &Settings,
) -> Resource {
    Resource { name: name.into(), version, any: bytes(name, part, hosts, settings) }
}

fn bytes(name: &str, part: Part, hosts: &[&EncodedHost], settings: &Settings) -> Bytes {
    let longest = hosts.iter().map(|h| h.longest_body).fold(MIN_DIRECT_BODY, usize::max);
    let head = RouteConfiguration {
        name: name.to_owned(),
        // Routes may name clusters that never exist: sentinels and refusals.
        validate_clusters: boolean(false),
        max_direct_response_body_size_bytes: uint32(u32::try_from(longest).unwrap_or(u32::MAX)),
        ignore_port_in_host_matching: true,
        request_headers_to_remove: vec![PART_HEADER.to_owned()],
        virtual_hosts: part.onwards(settings).into_iter().collect(),
        ..Default::default()
    }
    .encode_to_vec();
    let lens: Vec<_> = hosts.iter().map(|host| host.len()).collect();
    let len = head.len() + lens.iter().map(|&l| field_len(VIRTUAL_HOSTS, l)).sum::<usize>();
    let mut any = start_any::<RouteConfiguration>(len);
    any.extend_from_slice(&head);
    for (host, len) in hosts.iter().zip(lens) {
        start_message(VIRTUAL_HOSTS, len, &mut any);
        host.put(&mut any);
    }
    any.into()
}
