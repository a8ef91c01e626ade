//! Who a certificate names, and where it is kept.
//!
//! ```text
//! Identity ─▶ spiffe://signalbox.dev/ns/<namespace>/{gateway,pool,control-plane}/<name>   (URI SAN)
//!          └▶ Secret signalbox-{gateway,pool}-<name> in the same namespace; the control plane's own is in no Secret
//! ```

use std::fmt;

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

/// The name of the Secret with the certificate of `identity`, in the namespace of its object: at most 63 characters,
/// the same for ever.
pub fn secret_name(identity: &Identity) -> String {
    let name = &identity.object().name;
    let full = format!("signalbox-{}-{name}", identity.kind());
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

/// The object whose end is the end of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// For example `gateway.networking.k8s.io/v1`.
    pub api_version: String,
    /// For example `Gateway`.
    pub kind: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// A certificate that should exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whose it is.
    pub identity: Identity,
    /// Names that clients verify; for a pool, those of its picker's Service. Sorted.
    pub dns_names: Vec<String>,
    /// The owner of the Secret.
    pub owner: Owner,
}

impl Wanted {
    /// For the Envoys of a Gateway.
    pub fn gateway(gateway: &NamespacedName, owner: Owner) -> Self {
        Self { identity: Identity::Gateway(gateway.clone()), dns_names: Vec::new(), owner }
    }

    /// For the pickers of a pool behind `service`.
    pub fn pool(pool: &NamespacedName, service: &NamespacedName, owner: Owner) -> Self {
        let dns_names = vec![service.service_host()];
        Self { identity: Identity::Pool(pool.clone()), dns_names, owner }
    }

    /// Where the Secret is.
    pub fn secret(&self) -> NamespacedName {
        NamespacedName::new(&self.identity.object().namespace, secret_name(&self.identity))
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
        let name = |name: &str| secret_name(&Identity::Gateway(NamespacedName::new("ns", name)));
        assert_eq!(name("gw"), "signalbox-gateway-gw");
        assert_ne!(name("gw"), secret_name(&Identity::Pool(NamespacedName::new("ns", "gw"))));
        let long = "a".repeat(60);
        assert_eq!(name(&long).len(), 63);
        assert_ne!(name(&long), name(&format!("{long}b")));
        // The cut falls behind a dot.
        let dotted = format!("{}.{}", "a".repeat(27), "b".repeat(40));
        assert!(!name(&dotted).contains(".-"), "{}", name(&dotted));
        assert!(name(&dotted).len() <= 63);
    }
}
