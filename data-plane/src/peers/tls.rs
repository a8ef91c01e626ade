//! Certificates between peers: both sides show one, read from files at each connection.
//!
//! | a follower's certificate names | it may hear |
//! |---|---|
//! | pools (`spiffe://signalbox.dev/ns/NAMESPACE/pool/NAME`) | those of them that it asks for; all of them if it asks for none |
//! | none, but a host that our own certificate names, too (certificates of somebody else's making) | what it asks for |
//! | anything else | nothing |
//!
//! All pickers behind a Service have that Service's host in their certificates, so it is what a follower expects of the
//! other end. Envoys have no hosts in theirs, and the control plane has its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tonic::transport::ClientTlsConfig;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::tls;

const TRUST_DOMAIN: &str = "spiffe://signalbox.dev/ns/";

/// A directory with `tls.crt`, `tls.key` and `ca.crt`.
#[derive(Clone, Debug)]
pub struct Certificates(PathBuf);

impl Certificates {
    /// Those of `directory`.
    ///
    /// # Errors
    /// They cannot be used; the message names the file.
    pub fn new(directory: &Path) -> anyhow::Result<Self> {
        let certificates = Self(directory.to_owned());
        certificates.client()?;
        certificates.server()?;
        Ok(certificates)
    }

    /// Whom our own certificate names.
    pub(super) fn own(&self) -> anyhow::Result<Names> {
        Ok(Names::of(&tls::leaf(&self.0)?))
    }

    /// To connect to a peer.
    pub(super) fn client(&self) -> anyhow::Result<ClientTlsConfig> {
        let host = self.own()?.hosts.pop_first();
        let host = host.context("tls.crt names no host (DNS SAN), by which peers could be known")?;
        Ok(tls::client(&self.0)?.domain_name(host))
    }

    /// To accept one.
    pub(super) fn server(&self) -> anyhow::Result<Arc<ServerConfig>> {
        tls::mutual(&self.0).map(Arc::new)
    }
}

/// Whom a certificate names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Pools, as namespace/name.
    pub(super) pools: BTreeSet<String>,
    pub(super) hosts: BTreeSet<String>,
    /// It has an identity of ours that is no pool's.
    pub(super) other: bool,
}

impl Names {
    /// One that cannot be read names nobody.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut names = Self::default();
        let Ok((_, read)) = X509Certificate::from_der(certificate) else { return names };
        let Ok(Some(alternatives)) = read.subject_alternative_name() else { return names };
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::URI(uri) => match uri.strip_prefix(TRUST_DOMAIN).map(pool) {
                    Some(Some(pool)) => drop(names.pools.insert(pool)),
                    Some(None) => names.other = true,
                    None => {}
                },
                GeneralName::DNSName(host) => drop(names.hosts.insert((*host).to_owned())),
                _ => {}
            }
        }
        names
    }
}

/// The pool of NAMESPACE/pool/NAME.
fn pool(path: &str) -> Option<String> {
    match path.split('/').collect::<Vec<_>>()[..] {
        [namespace, "pool", name] if !namespace.is_empty() && !name.is_empty() => {
            Some(format!("{namespace}/{name}"))
        }
        _ => None,
    }
}

/// The pools of which a follower with the certificate `peer` hears when it asks for `asked`; None: all.
pub(super) fn may_hear(peer: &Names, own: &Names, asked: &[String]) -> Result<Option<Vec<String>>, String> {
    if peer.pools.is_empty() {
        let same = !peer.other && !peer.hosts.is_disjoint(&own.hosts);
        return match same {
            true => Ok((!asked.is_empty()).then(|| asked.to_vec())),
            false => Err("the client certificate is no picker's of these pools".to_owned()),
        };
    }
    let asks = |pool: &&String| asked.is_empty() || asked.contains(pool);
    let allowed: Vec<String> = peer.pools.iter().filter(asks).cloned().collect();
    if allowed.is_empty() {
        let named: Vec<&str> = peer.pools.iter().map(String::as_str).collect();
        return Err(format!(
            "{} is asked for, but the client certificate is for {}",
            asked.join(", "),
            named.join(", ")
        ));
    }
    Ok(Some(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pools: &[&str], hosts: &[&str]) -> Names {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Names { pools: set(pools), hosts: set(hosts), other: false }
    }

    #[test]
    fn a_follower_hears_of_its_own_pools_only() {
        let own = names(&["a/p", "a/q"], &["picker.a.svc"]);
        let gateway = Names { other: true, ..names(&[], &["picker.a.svc"]) };
        for (peer, asked, heard) in [
            (names(&["a/p"], &[]), &["a/p"][..], Some(Some(&["a/p"][..]))),
            (names(&["a/p"], &[]), &[], Some(Some(&["a/p"]))),
            (names(&["a/p", "a/q"], &[]), &["a/q", "b/r"], Some(Some(&["a/q"]))),
            (names(&["a/p"], &["picker.a.svc"]), &["a/q"], None),
            (names(&[], &["picker.a.svc"]), &["a/q"], Some(Some(&["a/q"]))),
            (names(&[], &["picker.a.svc"]), &[], Some(None)),
            (names(&[], &["other.a.svc"]), &[], None),
            (gateway, &["a/p"], None),
            (Names::default(), &[], None),
        ] {
            let asked: Vec<String> = asked.iter().map(|pool| (*pool).to_owned()).collect();
            let heard =
                heard.map(|pools| pools.map(|pools| pools.iter().map(|pool| (*pool).to_owned()).collect()));
            assert_eq!(may_hear(&peer, &own, &asked).ok(), heard, "{peer:?} {asked:?}");
        }
    }

    #[test]
    fn names_are_read_from_certificates() {
        let key = rcgen::KeyPair::generate().unwrap();
        let of = |names: &[&str]| {
            let mut params = rcgen::CertificateParams::new(vec!["picker.a.svc".to_owned()]).unwrap();
            let uri = |uri: &&str| rcgen::SanType::URI((*uri).try_into().unwrap());
            params.subject_alt_names.extend(names.iter().map(uri));
            Names::of(params.self_signed(&key).unwrap().der())
        };
        let pools = ["spiffe://signalbox.dev/ns/a/pool/p", "spiffe://other/ns/a/pool/q", "https://x"];
        assert_eq!(of(&pools), names(&["a/p"], &["picker.a.svc"]));
        assert!(of(&["spiffe://signalbox.dev/ns/a/gateway/g"]).other);
        assert_eq!(Names::of(&CertificateDer::from(vec![1, 2, 3])), Names::default());
    }
}
