//! The other end of a connection, as its certificate names it.

use std::collections::BTreeSet;

use rustls_pki_types::CertificateDer;

use super::{Certificate, Identity, certificate::chain};

/// A client whose certificate was verified. Stands in the extensions of its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Whom its URI SANs name; empty for a certificate that names none of ours.
    pub identities: BTreeSet<Identity>,
    /// Its DNS SANs.
    pub dns_names: BTreeSet<String>,
}

impl Peer {
    /// The holder of a certificate, PEM, that nobody has verified. One that cannot be read names nobody.
    pub fn of_pem(pem: &[u8]) -> Self {
        chain(pem).map(|chain| Self::of(&chain[0])).unwrap_or_default()
    }

    /// The holder of a verified certificate. One that cannot be read names nobody.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(read) = Certificate::read(certificate) else { return Self::default() };
        Self {
            identities: read.uris.iter().filter_map(|uri| Identity::parse(uri)).collect(),
            dns_names: read.dns_names.into_iter().collect(),
        }
    }
}
