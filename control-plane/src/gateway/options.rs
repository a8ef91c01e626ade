//! What resolving has to know besides the objects.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use crate::api::NamespacedName;

/// Settings of the installation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Our controller name: GatewayClasses that name it are ours.
    pub controller_name: String,
    /// How listener ports map to the ports that proxies bind.
    pub bind: PortMap,
    /// Addresses that the proxies of each Gateway bind; a Gateway that is not here binds all.
    pub addresses: BTreeMap<NamespacedName, Vec<IpAddr>>,
    /// Authorities that sign the certificates of managed pickers, PEM; without them, managed pickers are not verified.
    pub picker_trust: Option<Arc<str>>,
}

impl Options {
    /// The defaults, for a controller of this name.
    pub fn new(controller_name: &str) -> Self {
        Self { controller_name: controller_name.to_owned(), ..Self::default() }
    }
}

/// Maps listener ports to ports that an unprivileged process may bind. The identity by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMap {
    /// Added to ports below 1024.
    pub privileged_offset: u16,
    /// Ports that are mapped one by one; they win.
    pub exact: BTreeMap<u16, u16>,
}

impl PortMap {
    /// The port that the proxy binds for a listener's port.
    pub fn bind_port(&self, port: u16) -> u16 {
        match self.exact.get(&port) {
            Some(&bound) => bound,
            None if port < 1024 => port.saturating_add(self.privileged_offset),
            None => port,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_the_same_unless_mapped() {
        assert_eq!(PortMap::default().bind_port(80), 80);
        let map = PortMap { privileged_offset: 10_000, exact: BTreeMap::from([(443, 8443)]) };
        assert_eq!(
            [80, 443, 1023, 1024, 8080].map(|port| map.bind_port(port)),
            [10_080, 8443, 11_023, 1024, 8080]
        );
    }
}
