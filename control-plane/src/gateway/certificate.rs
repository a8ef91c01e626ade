//! Decides which certificates a listener proves itself with.
//!
//! ```text
//! tls.certificateRefs ─▶ kind, grant, Secret ─▶ PEM, key fits certificate ─▶ certificates, or what is wrong
//! ```
//! A reference that does not resolve leaves the others: the listener is served as long as it has one certificate.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{
    grant,
    ir::{Certificate, CertificateName},
};
use crate::{
    api::{self, CertificateRef, NamespacedName, Secret, TlsMode, group},
    world::World,
};

/// Certificates of Secrets, each looked at once as long as the Secret is the same object.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    known: HashMap<NamespacedName, (Arc<Secret>, Read)>,
}

/// What a Secret holds, or what is wrong with it.
type Read = Result<Arc<Certificate>, String>;

/// What a listener's references came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    /// Those that can be used, in the listener's order.
    pub(super) certificates: Vec<(CertificateName, Arc<Certificate>)>,
    /// Why others cannot: the reason of the condition `ResolvedRefs`, field and remedy.
    pub(super) unresolved: Vec<(&'static str, String)>,
}

impl Certificates {
    /// The certificates of an HTTPS listener. `field` is the listener's.
    pub(super) fn choose(
        &mut self,
        world: &World,
        namespace: &str,
        field: &str,
        tls: Option<&api::GatewayTls>,
    ) -> Chosen {
        let mut chosen = Chosen::default();
        let references = tls.map(|tls| tls.certificate_refs.as_slice()).unwrap_or_default();
        if references.is_empty() {
            let message =
                format!("{field}.tls.certificateRefs: is empty; name a Secret of type kubernetes.io/tls");
            chosen.unresolved.push(("InvalidCertificateRef", message));
        }
        for (index, reference) in references.iter().enumerate() {
            let field = format!("{field}.tls.certificateRefs[{index}]");
            match self.find(world, namespace, &field, reference) {
                Ok(found) if chosen.certificates.contains(&found) => {}
                Ok(found) => chosen.certificates.push(found),
                Err(fault) => chosen.unresolved.push(fault),
            }
        }
        chosen
    }

    fn find(
        &mut self,
        world: &World,
        namespace: &str,
        field: &str,
        reference: &CertificateRef,
    ) -> Result<(CertificateName, Arc<Certificate>), (&'static str, String)> {
        let invalid = |message: String| ("InvalidCertificateRef", message);
        if (reference.group.as_str(), reference.kind.as_str()) != (group::CORE, "Secret") {
            let (group, kind) = (&reference.group, &reference.kind);
            return Err(invalid(format!(
                "{field}: kind {kind:?} of group {group:?} is not served; name a Secret"
            )));
        }
        let key = NamespacedName::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name);
        if !grant::may_refer(world, ("Gateway", namespace), group::CORE, "Secret", &key) {
            return Err((
                "RefNotPermitted",
                format!(
                    "{field}: Secret {key} is in another namespace, where no ReferenceGrant allows Gateways of \
                     namespace {namespace}; add one there"
                ),
            ));
        }
        let Some(secret) = world.secrets.get(&key) else {
            return Err(invalid(format!(
                "{field}: there is no Secret {key} of type kubernetes.io/tls; create it"
            )));
        };
        match self.certificate(&key, secret) {
            Ok(certificate) => Ok((CertificateName::new(&key), certificate)),
            Err(why) => Err(invalid(format!("{field}: Secret {key} {why}"))),
        }
    }

    fn certificate(&mut self, key: &NamespacedName, secret: &Arc<Secret>) -> Read {
        match self.known.get(key) {
            Some((held, read)) if Arc::ptr_eq(held, secret) => read.clone(),
            _ => {
                let read = read(secret).map(Arc::new);
                self.known.insert(key.clone(), (secret.clone(), read.clone()));
                read
            }
        }
    }

    /// Forgets Secrets that are gone.
    pub(super) fn sweep(&mut self, world: &World) {
        self.known.retain(|key, _| world.secrets.contains_key(key));
    }
}

/// The resources of chosen certificates.
pub(super) fn resources<'a>(
    chosen: impl Iterator<Item = &'a Chosen>,
) -> BTreeMap<CertificateName, Arc<Certificate>> {
    chosen.flat_map(|chosen| chosen.certificates.iter().cloned()).collect()
}

/// Why a listener's TLS settings cannot be served, as field and remedy after the listener's own.
pub(super) fn unusable(tls: Option<&api::GatewayTls>) -> Option<String> {
    match &tls?.mode {
        None | Some(TlsMode::Terminate) => None,
        Some(TlsMode::Passthrough) => {
            Some(".tls.mode: an HTTPS listener cannot pass TLS through; use Terminate".into())
        }
        Some(TlsMode::Unknown(word)) => Some(format!(".tls.mode: {word:?} is not known; use Terminate")),
    }
}

fn read(secret: &Secret) -> Result<Certificate, String> {
    let (chain, key) = (value(secret, "tls.crt")?, value(secret, "tls.key")?);
    let der: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let der = der.map_err(|error| format!("has no PEM certificate in tls.crt ({error}); correct it"))?;
    if der.is_empty() {
        return Err("has no PEM certificate in tls.crt; correct it".into());
    }
    let private = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("has no PEM private key in tls.key ({error}); correct it"))?;
    CertifiedKey::from_der(der, private, &ring::default_provider())
        .map_err(|error| format!("has a key and a certificate that do not belong together ({error})"))?;
    Ok(Certificate { chain, key })
}

fn value(secret: &Secret, name: &str) -> Result<String, String> {
    if let Some(plain) = secret.string_data.get(name) {
        return Ok(plain.clone());
    }
    let encoded = secret.data.get(name).ok_or_else(|| format!("has no {name}; add it"))?;
    let digits: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes =
        STANDARD.decode(digits).map_err(|error| format!("has a {name} that is no base64 ({error})"))?;
    String::from_utf8(bytes).map_err(|_| format!("has a {name} that is no text; it has to be PEM"))
}
