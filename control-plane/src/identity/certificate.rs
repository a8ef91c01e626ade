//! What a certificate says: for how long it is valid, and whom it names.

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The first moment.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

impl Lifetime {
    /// When two thirds have passed: time to renew.
    pub fn due(&self) -> Timestamp {
        let seconds = self.not_after.as_second() - self.not_before.as_second();
        self.not_before + SignedDuration::from_secs(seconds / 3 * 2)
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now > self.not_after
    }
}

/// The facts of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// When it is valid.
    pub lifetime: Lifetime,
    /// URI SANs, sorted.
    pub uris: Vec<String>,
    /// DNS SANs, sorted.
    pub dns_names: Vec<String>,
    /// The public key, without its algorithm.
    pub public_key: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|e| format!("not a certificate: {e}"))?;
        let time = |t: x509_parser::time::ASN1Time| {
            Timestamp::from_second(t.timestamp()).map_err(|e| format!("validity out of range: {e}"))
        };
        let validity = parsed.validity();
        let lifetime =
            Lifetime { not_before: time(validity.not_before)?, not_after: time(validity.not_after)? };
        let (mut uris, mut dns_names) = (Vec::new(), Vec::new());
        let san = parsed.subject_alternative_name().map_err(|e| format!("names cannot be read: {e}"))?;
        for name in san.into_iter().flat_map(|san| &san.value.general_names) {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                _ => {}
            }
        }
        uris.sort();
        dns_names.sort();
        let public_key = parsed.public_key().subject_public_key.data.to_vec();
        Ok(Self { lifetime, uris, dns_names, public_key })
    }
}

/// All certificates of a PEM text.
///
/// # Errors
/// The text is no PEM, or holds no certificate.
pub(super) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|e| format!("not PEM: {e}"))?;
    if read.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thirds_of_ninety_days_are_sixty() {
        let day = SignedDuration::from_hours(24);
        let not_before = Timestamp::from_second(1_800_000_000).unwrap();
        let lifetime = Lifetime { not_before, not_after: not_before + day * 90 };
        assert_eq!(lifetime.due(), not_before + day * 60);
        assert!(!lifetime.is_over(lifetime.not_after));
        assert!(lifetime.is_over(lifetime.not_after + SignedDuration::from_secs(1)));
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        assert!(Certificate::read(b"x").unwrap_err().contains("not a certificate"));
        assert!(chain(b"x").unwrap_err().contains("no certificate"));
    }
}
