//! Certificates of listeners.

use std::fmt;

use crate::api::NamespacedName;

/// What a listener proves itself with; from a Secret. Its `Debug` form hides the key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// Certificate and intermediates, PEM, the listener's own first.
    pub chain: String,
    /// Private key, PEM.
    pub key: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Name of a certificate's resource: `secret/<namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateName(String);

impl CertificateName {
    /// The certificate in a Secret.
    pub fn new(secret: &NamespacedName) -> Self {
        Self(format!("secret/{}/{}", secret.namespace, secret.name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
