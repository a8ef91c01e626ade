//! Names, labels and owners of provisioned objects.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use xxhash_rust::xxh3::xxh3_64;

use crate::api::NamespacedName;

/// Label of everything that is provisioned; its value is the kind of owner.
pub const INFRASTRUCTURE_LABEL: &str = "signalbox.dev/infrastructure";
/// Annotation with the owner's whole name.
pub const OWNER_ANNOTATION: &str = "signalbox.dev/owner";
/// Annotation with the namespace of the installation that provisioned the object.
pub const INSTALLATION_ANNOTATION: &str = "signalbox.dev/installation";
/// Annotation with the hash of what was applied.
pub const REVISION_ANNOTATION: &str = "signalbox.dev/revision";

pub(super) const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";
pub(super) const GATEWAY_CLASS_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";
pub(super) const PICKER_LABEL: &str = "signalbox.dev/picker-service";

/// For whom objects are provisioned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The Envoys of a Gateway.
    Gateway(NamespacedName),
    /// The managed picker behind a Service.
    Picker(NamespacedName),
}

impl Owner {
    /// The value of [`INFRASTRUCTURE_LABEL`].
    pub fn word(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "gateway",
            Self::Picker(_) => "picker",
        }
    }

    /// The Gateway, or the picker's Service.
    pub fn key(&self) -> &NamespacedName {
        match self {
            Self::Gateway(key) | Self::Picker(key) => key,
        }
    }

    /// The owner of an object, from its namespace and annotations.
    pub fn of(namespace: &str, annotations: &BTreeMap<String, String>) -> Option<Self> {
        let (word, name) = annotations.get(OWNER_ANNOTATION)?.split_once('/')?;
        let key = NamespacedName::new(namespace, name);
        match word {
            "gateway" => Some(Self::Gateway(key)),
            "picker" => Some(Self::Picker(key)),
            _ => None,
        }
    }

    /// The value of [`OWNER_ANNOTATION`].
    pub(super) fn annotation(&self) -> String {
        format!("{}/{}", self.word(), self.key().name)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word(), self.key())
    }
}

/// `<name>-<suffix>` as a DNS label: lower-case letters, digits and dashes, at most 63 characters, beginning with a
/// letter. A name that does not fit is cut, and told apart by a hash.
pub fn object_name(name: &str, suffix: &str) -> String {
    let whole = format!("{name}-{suffix}");
    let is_label = whole.len() <= 63
        && whole.starts_with(|c: char| c.is_ascii_lowercase())
        && whole.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if is_label {
        return whole;
    }
    let hash = format!("{:08x}", xxh3_64(name.as_bytes()) & 0xffff_ffff);
    let room = 63 - suffix.len() - hash.len() - 2;
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let cut: String = name.chars().map(plain).take(room).collect();
    let cut = match cut.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => cut,
        false => format!("g{}", &cut[..cut.len().min(room - 1)]),
    };
    format!("{}-{hash}-{suffix}", cut.trim_end_matches('-'))
}

/// A name as the value of a label: at most 63 characters; a longer one is cut, and told apart by a hash.
pub fn label_value(name: &str) -> String {
    if name.len() <= 63 {
        return name.to_owned();
    }
    let cut: String = name.chars().take(54).collect();
    format!("{}-{:08x}", cut.trim_end_matches(['-', '.']), xxh3_64(name.as_bytes()) & 0xffff_ffff)
}

/// A reference by which deleting the owner deletes the object.
pub(super) fn owner_reference(api_version: &str, kind: &str, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_plain_where_they_can_be() {
        assert_eq!(object_name("inference-gateway", "signalbox"), "inference-gateway-signalbox");
        assert_ne!(object_name(&"a".repeat(253), "signalbox"), object_name(&"a".repeat(252), "signalbox"));
        assert_ne!(object_name("a.b", "s"), object_name("a-b", "s"));
        assert_eq!(label_value("gw"), "gw");
    }

    proptest! {
        #[test]
        fn names_are_dns_labels(name in "[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?") {
            let object = object_name(&name, "signalbox-picker");
            prop_assert!(object.len() <= 63);
            prop_assert!(object.starts_with(|c: char| c.is_ascii_lowercase()));
            prop_assert!(object.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            let label = label_value(&name);
            prop_assert!(label.len() <= 63 && label.ends_with(|c: char| c.is_ascii_alphanumeric()));
        }
    }
}
