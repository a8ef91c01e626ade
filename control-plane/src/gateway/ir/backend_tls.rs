//! TLS to backends.

use std::sync::Arc;

/// How the certificates of a cluster's endpoints are verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendTls {
    /// Who may have signed them.
    pub authorities: Authorities,
    /// The server name to ask for.
    pub server_name: String,
    /// The names of which a certificate has to have one; at least one.
    pub names: Vec<BackendName>,
}

/// Who may have signed a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Authorities {
    /// These, PEM.
    Bundle(Arc<str>),
    /// Those that the proxy's system trusts.
    System,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackendName {
    /// A DNS name; may begin with `*.`, which stands for one label.
    Host(String),
    /// A URI.
    Uri(String),
}
