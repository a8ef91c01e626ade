//! Which Secrets with certificates are written and deleted: a function of the time, of what should be and of what is.
//!
//! ```text
//! wanted ─┬ no Secret, damaged, other names, other authority, over, two thirds over ─▶ Issue
//!         ├ only its bundle is not today's ──────────────────────────────────────────▶ Trust
//!         └ a Secret of somebody else stands there ──────────────────────────────────▶ conflict, told and left alone
//! a Secret of ours that nobody wants ────────────────────────────────────────────────▶ delete
//! ```

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use rcgen::KeyPair;

use super::{Authority, Certificate, Data, Wanted, authority::SKEW, certificate::chain, keys};
use crate::api::NamespacedName;

/// A Secret as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether it carries our label.
    pub ours: bool,
    /// Uids of its owners, in their order.
    pub owners: Vec<String>,
    /// Its data.
    pub data: Data,
    /// Its version, for a write that must not overwrite a newer one.
    pub resource_version: Option<String>,
}

/// Why a certificate is issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafReason {
    /// There is no Secret.
    Missing,
    /// The Secret cannot be used, and why.
    Damaged(String),
    /// The certificate is for other names.
    Renamed,
    /// The Secret belongs to an earlier object of the same name.
    OtherOwner,
    /// It is valid only later: a clock went back.
    NotYetValid,
    /// It is over.
    Expired,
    /// Two thirds of its life are over.
    Due,
    /// No authority of ours signed it.
    Untrusted,
}

impl fmt::Display for LeafReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Damaged(why) => return write!(f, "damaged: {why}"),
            Self::Renamed => "other names are wanted",
            Self::OtherOwner => "its owner was made again",
            Self::NotYetValid => "not valid yet",
            Self::Expired => "expired",
            Self::Due => "due",
            Self::Untrusted => "signed by another authority",
        })
    }
}

/// What is done to a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new key and certificate.
    Issue(LeafReason),
    /// The same certificate beside today's bundle.
    Trust,
}

/// A Secret to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub secret: NamespacedName,
    /// For whom.
    pub wanted: Wanted,
    /// What.
    pub step: Step,
}

/// What has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Secrets to write.
    pub writes: Vec<Write>,
    /// Secrets to delete.
    pub deletes: Vec<NamespacedName>,
    /// Secrets of others that stand where ours should.
    pub conflicts: Vec<NamespacedName>,
}

/// What has to be done at `now`. `observed` holds the Secrets of ours, and any that stand at the place of a wanted one.
pub fn plan(
    now: Timestamp,
    authority: &Authority,
    wanted: &[Wanted],
    observed: &BTreeMap<NamespacedName, Observed>,
) -> Plan {
    let mut plan = Plan::default();
    let mut places = BTreeMap::new();
    for wanted in wanted {
        places.insert(wanted.secret(), wanted);
    }
    for (secret, &wanted) in &places {
        let step = match observed.get(secret) {
            None => Step::Issue(LeafReason::Missing),
            Some(observed) if !observed.ours => {
                plan.conflicts.push(secret.clone());
                continue;
            }
            Some(observed) => match fault(now, authority, wanted, observed) {
                Some(reason) => Step::Issue(reason),
                None if is_todays(authority, &observed.data) => continue,
                None => Step::Trust,
            },
        };
        plan.writes.push(Write { secret: secret.clone(), wanted: wanted.clone(), step });
    }
    let unwanted = observed.iter().filter(|(secret, o)| o.ours && !places.contains_key(secret));
    plan.deletes = unwanted.map(|(secret, _)| secret.clone()).collect();
    plan
}

impl Write {
    /// The Secret's next data. `held` is what stands there.
    pub fn data(&self, now: Timestamp, authority: &Authority, held: Option<&Data>) -> Data {
        let mut data = match (&self.step, held) {
            (Step::Trust, Some(held)) => held.clone(),
            _ => {
                let leaf = authority.client(now, &self.wanted);
                Data::from([
                    (keys::CERTIFICATE.to_owned(), leaf.certificate.into_bytes()),
                    (keys::KEY.to_owned(), leaf.key.into_bytes()),
                ])
            }
        };
        data.insert(keys::TRUST.to_owned(), authority.trust().pem().as_bytes().to_vec());
        data
    }
}

fn is_todays(authority: &Authority, data: &Data) -> bool {
    data.get(keys::TRUST).map(Vec::as_slice) == Some(authority.trust().pem().as_bytes())
}

/// Why the certificate cannot stay.
fn fault(now: Timestamp, authority: &Authority, wanted: &Wanted, observed: &Observed) -> Option<LeafReason> {
    let (der, facts) = match read(&observed.data) {
        Ok(read) => read,
        Err(why) => return Some(LeafReason::Damaged(why)),
    };
    let mut dns_names = wanted.dns_names.clone();
    dns_names.sort();
    let lifetime = facts.lifetime;
    let mut uris: Vec<_> = wanted.identities.iter().map(ToString::to_string).collect();
    uris.sort();
    if facts.uris != uris || facts.dns_names != dns_names {
        Some(LeafReason::Renamed)
    } else if !wanted.owners.iter().map(|owner| &owner.uid).eq(&observed.owners) {
        Some(LeafReason::OtherOwner)
    } else if now + SKEW < lifetime.not_before {
        Some(LeafReason::NotYetValid)
    } else if lifetime.is_over(now) {
        Some(LeafReason::Expired)
    } else if now >= lifetime.due() {
        Some(LeafReason::Due)
    } else if !authority.trust().verifies(&der, now.max(lifetime.not_before)) {
        Some(LeafReason::Untrusted)
    } else {
        None
    }
}

fn read(data: &Data) -> Result<(rustls_pki_types::CertificateDer<'static>, Certificate), String> {
    let get = |key: &str| data.get(key).ok_or_else(|| format!("{key} is missing"));
    let der = chain(get(keys::CERTIFICATE)?)?.remove(0);
    let facts = Certificate::read(&der)?;
    let key = std::str::from_utf8(get(keys::KEY)?).map_err(|_| format!("{} is not text", keys::KEY))?;
    let key = KeyPair::from_pem(key).map_err(|e| format!("{}: {e}", keys::KEY))?;
    if key.public_key_raw() != facts.public_key {
        return Err("certificate and private key do not belong together".to_owned());
    }
    Ok((der, facts))
}

#[cfg(test)]
mod tests;
