//! Our certificate authority: made once, followed by the next one before it ends, and what it signs.
//!
//! ```text
//! Secret ─▶ advance(now) ─┬ nothing there ──────────▶ made
//!                         ├ damaged, or over ───────▶ replaced
//!                         ├ a year before its end ──▶ the next one is prepared: trusted, does not sign yet
//!                         ├ 30 days later ──────────▶ the next one signs; the old one stays trusted until its end
//!                         └ an old one is over ─────▶ trusted no more
//! ```
//!
//! The Secret holds `tls.crt`, `tls.key` (what signs), `next.crt`, `next.key` (what is prepared) and `ca.crt` (all that
//! is trusted). A leaf lives 90 days, less than what is left of an authority that signs: none outlives its authority.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use super::{Certificate, Holder, Identity, Lifetime, Trust, Wanted, certificate::chain};
use crate::api::NamespacedName;

/// The data of a Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// Keys of Secrets.
pub mod keys {
    /// A certificate.
    pub const CERTIFICATE: &str = "tls.crt";
    /// Its private key.
    pub const KEY: &str = "tls.key";
    /// All authorities that are trusted.
    pub const TRUST: &str = "ca.crt";
    pub(in crate::identity) const NEXT_CERTIFICATE: &str = "next.crt";
    pub(in crate::identity) const NEXT_KEY: &str = "next.key";
}

/// How far clocks may be apart: certificates are valid from this long before they are made.
pub(super) const SKEW: SignedDuration = SignedDuration::from_mins(5);
const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(3650 * 24);
const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Before the end of an authority: when the next one is made.
const PREPARE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// From the making of the next authority until it signs: everybody has heard of it by then, also fleets whose Secrets
/// are carried by hand.
const DISTRIBUTE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Why the authority's Secret is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityReason {
    /// There is none.
    Missing,
    /// It cannot be used, and why. What it signed is no longer trusted unless its certificate can still be read.
    Damaged(String),
    /// It is over.
    Expired,
    /// It ends in a year: the next one is prepared.
    Prepared,
    /// The next one has been known for long enough.
    Promoted,
    /// An old one is over.
    Dropped,
}

impl fmt::Display for AuthorityReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Damaged(why) => write!(f, "damaged: {why}"),
            Self::Expired => f.write_str("expired"),
            Self::Prepared => f.write_str("ends in a year, the next one is prepared"),
            Self::Promoted => f.write_str("the next one signs"),
            Self::Dropped => f.write_str("an old one is over"),
        }
    }
}

/// The authority as it should be, and the write that makes it so.
#[derive(Debug)]
pub struct Advance {
    /// What signs and what is trusted.
    pub authority: Authority,
    /// The Secret's next data, if it has to change.
    pub write: Option<(AuthorityReason, Data)>,
}

/// What signs, what will, and what is trusted.
#[derive(Debug)]
pub struct Authority {
    current: Signer,
    next: Option<Signer>,
    trust: Trust,
}

/// A certificate and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS #8).
    pub key: String,
    /// When the certificate is valid.
    pub lifetime: Lifetime,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

struct Signer {
    certificate: String,
    key: String,
    lifetime: Lifetime,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// What becomes of the authority at `now`. One step at a time: a further one may follow at once.
pub fn advance(now: Timestamp, observed: Option<&Data>) -> Advance {
    let Some(data) = observed else { return replace(now, AuthorityReason::Missing, &[]) };
    let old = trusted(data);
    let mut authority = match Authority::read(data) {
        Ok(authority) => authority,
        Err(why) => return replace(now, AuthorityReason::Damaged(why), &still_valid(&old, now)),
    };
    let over = authority.current.lifetime.is_over(now);
    let known = |next: &Signer| over || now >= next.lifetime.not_before + SKEW + DISTRIBUTE;
    if let Some(next) = authority.next.take_if(|next| known(next)) {
        authority.current = next;
        return authority.rewritten(now, AuthorityReason::Promoted, &old);
    }
    if over {
        return replace(now, AuthorityReason::Expired, &still_valid(&old, now));
    }
    if authority.next.is_none() && now > authority.current.lifetime.not_after - PREPARE {
        authority.next = Some(Signer::make(now));
        return authority.rewritten(now, AuthorityReason::Prepared, &old);
    }
    if still_valid(&old, now).len() < old.len() {
        return authority.rewritten(now, AuthorityReason::Dropped, &old);
    }
    Advance { authority, write: None }
}

fn replace(now: Timestamp, reason: AuthorityReason, old: &[String]) -> Advance {
    let current = Signer::make(now);
    let trust = Trust::read(current.certificate.as_bytes()).expect("a certificate that was just made");
    Authority { current, next: None, trust }.rewritten(now, reason, old)
}

/// The certificates of `ca.crt` that can be read, one PEM text each.
fn trusted(data: &Data) -> Vec<String> {
    let text = data.get(keys::TRUST).map(|pem| String::from_utf8_lossy(pem)).unwrap_or_default();
    let parts = text.split_inclusive("-----END CERTIFICATE-----").map(|part| part.trim().to_owned() + "\n");
    parts.filter(|part| lifetime(part).is_ok()).collect()
}

fn still_valid(authorities: &[String], now: Timestamp) -> Vec<String> {
    let valid = |pem: &&String| lifetime(pem).is_ok_and(|lifetime| !lifetime.is_over(now));
    authorities.iter().filter(valid).cloned().collect()
}

fn lifetime(pem: &str) -> Result<Lifetime, String> {
    let chain = chain(pem.as_bytes())?;
    Ok(Certificate::read(&chain[0])?.lifetime)
}

impl Authority {
    /// Reads the Secret; for replicas that do not write it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(data: &Data) -> Result<Self, String> {
        let get = |key: &str| data.get(key).ok_or_else(|| format!("{key} is missing"));
        let current = Signer::read(get(keys::CERTIFICATE)?, get(keys::KEY)?)?;
        let next = match (data.get(keys::NEXT_CERTIFICATE), data.get(keys::NEXT_KEY)) {
            (Some(certificate), Some(key)) => Some(Signer::read(certificate, key)?),
            _ => None,
        };
        let trust = Trust::read(get(keys::TRUST)?).map_err(|why| format!("{}: {why}", keys::TRUST))?;
        if !trusted(data).contains(&current.certificate) {
            return Err(format!("{} does not trust {}", keys::TRUST, keys::CERTIFICATE));
        }
        Ok(Self { current, next, trust })
    }

    /// What is trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Signs a certificate for the control plane behind the Service `own`: it serves with it, and its replicas are each
    /// other's clients with it.
    pub fn server(&self, now: Timestamp, own: &NamespacedName, dns_names: &[String]) -> Leaf {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let identities = BTreeSet::from([Identity::ControlPlane(own.clone())]);
        self.sign(now, "signalbox", &identities, dns_names, &[ServerAuth, ClientAuth])
    }

    /// Signs a certificate for an Envoy or a picker. Pickers also serve with it.
    pub fn client(&self, now: Timestamp, wanted: &Wanted) -> Leaf {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let usages: &[_] = match &wanted.holder {
            Holder::Gateway(_) => &[ClientAuth],
            Holder::Picker(_) => &[ClientAuth, ServerAuth],
        };
        let name = super::secret_name(&wanted.holder);
        self.sign(now, &name, &wanted.identities, &wanted.dns_names, usages)
    }

    fn sign(
        &self,
        now: Timestamp,
        name: &str,
        identities: &BTreeSet<Identity>,
        dns_names: &[String],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Leaf {
        let not_after = (now + LEAF_LIFETIME).min(self.current.lifetime.not_after);
        let lifetime = Lifetime { not_before: now - SKEW, not_after };
        let mut params = params(lifetime, name);
        let text = |text: String| text.try_into().expect("names of Kubernetes objects are ASCII");
        params.subject_alt_names =
            dns_names.iter().map(|name| SanType::DnsName(text(name.clone()))).collect();
        let uris = identities.iter().map(|identity| SanType::URI(text(identity.to_string())));
        params.subject_alt_names.extend(uris);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        let key = new_key();
        let signed = params.signed_by(&key, &self.current.issuer).expect("a P-256 key signs");
        Leaf { certificate: signed.pem(), key: key.serialize_pem(), lifetime }
    }

    /// Itself with the bundle that follows from `old`, and its data.
    fn rewritten(mut self, now: Timestamp, reason: AuthorityReason, old: &[String]) -> Advance {
        let signers = [Some(&self.current), self.next.as_ref()].into_iter().flatten();
        let mut bundle: Vec<String> = signers.map(|signer| signer.certificate.clone()).collect();
        for certificate in still_valid(old, now) {
            if !bundle.contains(&certificate) {
                bundle.push(certificate);
            }
        }
        self.trust = Trust::read(bundle.concat().as_bytes()).expect("each certificate was read before");
        let mut data = Data::from([
            (keys::CERTIFICATE.to_owned(), self.current.certificate.clone().into_bytes()),
            (keys::KEY.to_owned(), self.current.key.clone().into_bytes()),
            (keys::TRUST.to_owned(), self.trust.pem().as_bytes().to_vec()),
        ]);
        if let Some(next) = &self.next {
            data.insert(keys::NEXT_CERTIFICATE.to_owned(), next.certificate.clone().into_bytes());
            data.insert(keys::NEXT_KEY.to_owned(), next.key.clone().into_bytes());
        }
        Advance { authority: self, write: Some((reason, data)) }
    }
}

impl Signer {
    fn make(now: Timestamp) -> Self {
        let lifetime = Lifetime { not_before: now - SKEW, not_after: now + AUTHORITY_LIFETIME };
        // Authorities of different times have different names, so that chains have one way up.
        let mut params =
            params(lifetime, &format!("signalbox authority {}", now.strftime("%Y-%m-%d %H:%M:%S")));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key();
        let certificate = params.self_signed(&key).expect("a P-256 key signs").pem();
        Self::read(certificate.as_bytes(), key.serialize_pem().as_bytes()).expect("just made")
    }

    fn read(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "not text".to_owned());
        let (certificate, key) = (text(certificate)?.trim().to_owned() + "\n", text(key)?);
        let facts = Certificate::read(&chain(certificate.as_bytes())?[0])?;
        let pair = KeyPair::from_pem(&key).map_err(|e| format!("the private key cannot be read: {e}"))?;
        if pair.public_key_raw() != facts.public_key {
            return Err("certificate and private key do not belong together".to_owned());
        }
        let issuer =
            Issuer::from_ca_cert_pem(&certificate, pair).map_err(|e| format!("not an authority: {e}"))?;
        Ok(Self { certificate, key, lifetime: facts.lifetime, issuer })
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("the system gives random numbers")
}

fn params(lifetime: Lifetime, name: &str) -> CertificateParams {
    let time = |at: Timestamp| {
        time::OffsetDateTime::from_unix_timestamp(at.as_second()).expect("both types go up to the year 9999")
    };
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (time(lifetime.not_before), time(lifetime.not_after));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[cfg(test)]
mod tests;
