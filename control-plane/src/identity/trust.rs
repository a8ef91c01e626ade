//! Which authorities are believed.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{
    RootCertStore,
    crypto::ring,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::certificate::chain;

/// A bundle of authorities, as it stands in `ca.crt`.
#[derive(Clone, Debug)]
pub struct Trust {
    pem: Arc<str>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl Trust {
    /// Reads a bundle.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(pem: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(pem).map_err(|_| "not text".to_owned())?;
        let mut roots = RootCertStore::empty();
        for authority in chain(pem)? {
            roots.add(authority).map_err(|e| format!("not an authority: {e}"))?;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { pem: text.into(), verifier: verifier.map_err(|e| e.to_string())? })
    }

    /// The bundle, as PEM.
    pub fn pem(&self) -> &Arc<str> {
        &self.pem
    }

    /// Whether `certificate` was signed by one of the authorities for use as a client, and is valid at `now`.
    pub fn verifies(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
        let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
        let now = UnixTime::since_unix_epoch(since_epoch);
        self.verifier.verify_client_cert(certificate, &[], now).is_ok()
    }

    /// Verifies clients.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }
}
