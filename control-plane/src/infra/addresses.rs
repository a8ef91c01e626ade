//! Loopback addresses for Gateways that ask for none.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use crate::api::NamespacedName;

/// What Envoy Gateway's host mode adds to ports that an ordinary user may not bind.
pub const PRIVILEGED_PORT_OFFSET: u16 = 10_000;

/// Which Gateway has which address. Allocations are kept while the Gateway exists.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    allocated: BTreeMap<NamespacedName, IpAddr>,
}

/// The network that addresses are taken from: 127.0.0.0/24, without .0, .1 and .255.
const LAST_OCTETS: std::ops::Range<u8> = 2..255;

impl Addresses {
    /// The addresses of `gateway`: those it asks for, else its allocated one. `None` when all are taken.
    pub fn of(&mut self, gateway: &NamespacedName, asked: &[IpAddr]) -> Option<Vec<IpAddr>> {
        if !asked.is_empty() {
            self.allocated.remove(gateway);
            return Some(asked.to_vec());
        }
        if let Some(held) = self.allocated.get(gateway) {
            return Some(vec![*held]);
        }
        let taken: BTreeSet<IpAddr> = self.allocated.values().copied().collect();
        let free = LAST_OCTETS.map(|octet| IpAddr::V4(Ipv4Addr::new(127, 0, 0, octet)));
        let address = free.into_iter().find(|address| !taken.contains(address))?;
        self.allocated.insert(gateway.clone(), address);
        Some(vec![address])
    }

    /// Gives back the addresses of Gateways that are gone.
    pub fn retain(&mut self, exists: impl Fn(&NamespacedName) -> bool) {
        self.allocated.retain(|gateway, _| exists(gateway));
    }
}

/// What is added to ports below 1024: nothing where this process may bind them.
pub fn privileged_offset() -> u16 {
    match TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => PRIVILEGED_PORT_OFFSET,
        _ => 0,
    }
}

/// A port of `address` that is free at this moment.
///
/// # Errors
/// When the address is not one of this machine.
pub fn free_port(address: IpAddr) -> io::Result<u16> {
    Ok(TcpListener::bind(SocketAddr::new(address, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NamespacedName {
        NamespacedName::new("ns", name)
    }

    #[test]
    fn addresses_are_kept_and_given_back() {
        let mut addresses = Addresses::default();
        let ip = |last| Some(vec![IpAddr::from([127, 0, 0, last])]);
        assert_eq!(addresses.of(&name("a"), &[]), ip(2));
        assert_eq!(addresses.of(&name("b"), &[]), ip(3));
        assert_eq!(addresses.of(&name("a"), &[]), ip(2));
        addresses.retain(|gateway| gateway.name == "b");
        assert_eq!(addresses.of(&name("c"), &[]), ip(2));
        assert_eq!(
            addresses.of(&name("c"), &[IpAddr::from([127, 9, 9, 9])]),
            Some(vec![IpAddr::from([127, 9, 9, 9])])
        );
        assert_eq!(addresses.of(&name("d"), &[]), ip(2));
    }

    #[test]
    fn a_network_that_is_used_up_says_so() {
        let mut addresses = Addresses::default();
        for i in 0..253 {
            assert!(addresses.of(&name(&format!("g{i}")), &[]).is_some());
        }
        assert_eq!(addresses.of(&name("one-too-many"), &[]), None);
    }
}
