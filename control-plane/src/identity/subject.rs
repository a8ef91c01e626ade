//! Who a certificate names, and where it is kept.
//!
//! ```text
//! Identity ─▶ spiffe://signalbox.dev/ns/<namespace>/{gateway,pool,control-plane}/<name>   (URI SANs of a certificate)
//! Holder   ─▶ Secret signalbox-{gateway-<Gateway>,picker-<Service>}; the control plane's own is in no Secret
//! ```
//!
//! The picker behind a Service serves all pools that name it, so its one certificate has an identity for each: some
//! 500 fit into a TLS handshake.

use std::{collections::BTreeSet, fmt};

use xxhash_rust::xxh3::xxh3_64;

use crate::api::NamespacedName;

const TRUST_DOMAIN: &str = "spiffe://signalbox.dev/ns/";
/// Longest name of a Secret, so that it is also a label value and a DNS label's length.
const LONGEST_NAME: usize = 63;

/// A client of the control plane; its replicas are clients of each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The Envoys of a Gateway.
    Gateway(NamespacedName),
    /// The pickers of an InferencePool.
    Pool(NamespacedName),
    /// The control plane itself, by its Service.
    ControlPlane(NamespacedName),
}

impl Identity {
    /// The Gateway, InferencePool or Service.
    pub fn object(&self) -> &NamespacedName {
        match self {
            Self::Gateway(object) | Self::Pool(object) | Self::ControlPlane(object) => object,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "gateway",
            Self::Pool(_) => "pool",
            Self::ControlPlane(_) => "control-plane",
        }
    }

    /// Reads what `Display` writes; `None` for identities of others.
    pub fn parse(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix(TRUST_DOMAIN)?.split('/');
        let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || namespace.is_empty() || name.is_empty() {
            return None;
        }
        let object = NamespacedName::new(namespace, name);
        match kind {
            "gateway" => Some(Self::Gateway(object)),
            "pool" => Some(Self::Pool(object)),
            "control-plane" => Some(Self::ControlPlane(object)),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    /// The SPIFFE ID.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.object();
        write!(f, "{TRUST_DOMAIN}{}/{}/{}", object.namespace, self.kind(), object.name)
    }
}

/// Who mounts a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The Envoys of a Gateway.
    Gateway(NamespacedName),
    /// The pickers behind a Service.
    Picker(NamespacedName),
}

impl Holder {
    fn parts(&self) -> (&'static str, &NamespacedName) {
        match self {
            Self::Gateway(object) => ("gateway", object),
            Self::Picker(object) => ("picker", object),
        }
    }
}

/// The name of the Secret with the certificate of `holder`, in the namespace of its object: at most 63 characters, the
/// same for ever.
pub fn secret_name(holder: &Holder) -> String {
    let (word, NamespacedName { name, .. }) = holder.parts();
    let full = format!("signalbox-{word}-{name}");
    if full.len() <= LONGEST_NAME {
        return full;
    }
    let hash = format!("-{:016x}", xxh3_64(name.as_bytes()));
    let mut kept = full;
    kept.truncate(LONGEST_NAME - hash.len());
    // A dot before the dash would begin a label with a dash.
    kept.truncate(kept.trim_end_matches(['.', '-']).len());
    kept + &hash
}

/// An object of the Secret's namespace: the Secret ends with the last one of its owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// For example `gateway.networking.k8s.io/v1`.
    pub api_version: String,
    /// For example `Gateway`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// A certificate that should exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whose it is.
    pub holder: Holder,
    /// Whom it names; at least one.
    pub identities: BTreeSet<Identity>,
    /// Names that clients verify: those of a picker's Service. Sorted.
    pub dns_names: Vec<String>,
    /// The owners of the Secret, in order of their names; at least one.
    pub owners: Vec<Owner>,
}

impl Wanted {
    /// For the Envoys of a Gateway.
    pub fn gateway(gateway: &NamespacedName, owner: Owner) -> Self {
        Self {
            holder: Holder::Gateway(gateway.clone()),
            identities: BTreeSet::from([Identity::Gateway(gateway.clone())]),
            dns_names: Vec::new(),
            owners: vec![owner],
        }
    }

    /// For the pickers behind `service`, which serve `pools`: those of its namespace that name it.
    pub fn picker(service: &NamespacedName, mut pools: Vec<Owner>) -> Self {
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        let identity = |pool: &Owner| Identity::Pool(NamespacedName::new(&service.namespace, &pool.name));
        Self {
            holder: Holder::Picker(service.clone()),
            identities: pools.iter().map(identity).collect(),
            dns_names: vec![service.service_host()],
            owners: pools,
        }
    }

    /// Where the Secret is.
    pub fn secret(&self) -> NamespacedName {
        NamespacedName::new(&self.holder.parts().1.namespace, secret_name(&self.holder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        for identity in [
            Identity::Gateway(NamespacedName::new("ns", "gw")),
            Identity::Pool(NamespacedName::new("ns", "a.b-c")),
            Identity::ControlPlane(NamespacedName::new("system", "signalbox")),
        ] {
            assert_eq!(Identity::parse(&identity.to_string()), Some(identity));
        }
        for other in [
            "",
            "spiffe://signalbox.dev/ns/a/gateway",
            "spiffe://signalbox.dev/ns/a/gateway/",
            "spiffe://signalbox.dev/ns//gateway/b",
            "spiffe://signalbox.dev/ns/a/gateway/b/c",
            "spiffe://signalbox.dev/ns/a/sa/b",
            "spiffe://cluster.local/ns/a/gateway/b",
        ] {
            assert_eq!(Identity::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn names_of_secrets_are_short_valid_and_distinct() {
        let name = |name: &str| secret_name(&Holder::Gateway(NamespacedName::new("ns", name)));
        assert_eq!(name("gw"), "signalbox-gateway-gw");
        assert_ne!(name("gw"), secret_name(&Holder::Picker(NamespacedName::new("ns", "gw"))));
        let long = "a".repeat(60);
        assert_eq!(name(&long).len(), 63);
        assert_ne!(name(&long), name(&format!("{long}b")));
        // The cut falls behind a dot.
        let dotted = format!("{}.{}", "a".repeat(27), "b".repeat(40));
        assert!(!name(&dotted).contains(".-"), "{}", name(&dotted));
        assert!(name(&dotted).len() <= 63);
    }
}
