//! `EndpointSlice`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Findings;
use crate::{api::EndpointSlice, source::field::Field};

pub(super) fn check(slice: &EndpointSlice, findings: &mut Findings) {
    let root = Field::ROOT;
    let is_address: fn(&str) -> bool = match slice.address_type.as_str() {
        "IPv4" => |text| text.parse::<Ipv4Addr>().is_ok(),
        "IPv6" => |text| text.parse::<Ipv6Addr>().is_ok(),
        "FQDN" => |_| true,
        _ => {
            findings.add(root.name("addressType"), "must be IPv4, IPv6 or FQDN", "");
            return;
        }
    };
    let endpoints = root.name("endpoints");
    findings.count(endpoints, slice.endpoints.len(), 0, 1000);
    for (i, endpoint) in slice.endpoints.iter().enumerate() {
        let item = endpoints.at(i);
        let addresses = item.name("addresses");
        findings.count(addresses, endpoint.addresses.len(), 1, 100);
        for (j, address) in endpoint.addresses.iter().enumerate() {
            if !is_address(address) {
                let message = format!("{address:?} is not an address of type {}", slice.address_type);
                findings.add(addresses.at(j), message, "");
            }
        }
    }
    let ports = root.name("ports");
    for (i, port) in slice.ports.iter().enumerate() {
        if let Some(number) = port.port {
            findings.port(ports.at(i).name("port"), number);
        }
    }
}
