//! Secrets in the API server: the authority, and the certificates of Envoys and pickers.
//!
//! ```text
//! every replica: read signalbox-ca ─▶ own server certificate ─▶ ServerTls      (no CA yet: look again soon)
//! the leader:    signalbox-ca made once, advanced ─▶ plan ─▶ Secrets made, replaced, deleted
//! ```
//!
//! Creating fails where a Secret exists and replacing where it is newer, so two leaders cannot undo each other's work;
//! who loses reads again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Advance, Authority, Credentials, Data, Leaf, Observed, Owner, ServerTls, Wanted, Write, advance, keys,
    plan,
};
use crate::api::NamespacedName;

/// The Secret of the authority, in the control plane's own namespace.
pub const AUTHORITY: &str = "signalbox-ca";
/// Label of everything that the control plane makes.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "signalbox");
/// Label of Secrets with certificates; its value is the control plane's namespace, so that two installations in a
/// cluster leave each other's Secrets alone.
pub const ISSUED_BY: &str = "signalbox.dev/certificates-of";

/// What has to be allowed, cluster-wide: API group, resource, verbs.
pub const RIGHTS: (&str, &str, &[&str]) = ("", "secrets", &["get", "list", "create", "update", "delete"]);

/// How often the authority is looked at.
const REFRESH: Duration = Duration::from_secs(30);
/// The same while there is none to serve with.
const IMPATIENT: Duration = Duration::from_secs(1);
/// How often the leader looks at all Secrets when nothing else calls for it.
const SWEEP: Duration = Duration::from_secs(300);
/// Steps of the authority in one go; it needs two when both its parts are over.
const STEPS: usize = 4;

/// The Secrets of an installation.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    namespace: String,
}

/// What [`run`] needs.
pub struct Config {
    /// Where Secrets are.
    pub secrets: Secrets,
    /// The Service of this control plane: who it is.
    pub own: NamespacedName,
    /// Names that clients know this control plane by: those of its Service.
    pub dns_names: Vec<String>,
    /// What serves with the certificate.
    pub tls: ServerTls,
    /// Told the bundle of authorities, PEM, whenever it changes; for `gateway::Options::picker_trust`.
    pub trust: watch::Sender<Option<Arc<str>>>,
    /// The certificates that should exist; `None` until that is known, and nothing is deleted before.
    pub wanted: watch::Receiver<Option<Arc<Vec<Wanted>>>>,
    /// Wanted Secrets that are not there, as far as the source knows: somebody deleted them, or they are new.
    pub missing: watch::Receiver<BTreeSet<NamespacedName>>,
    /// Whether this replica leads.
    pub leader: watch::Receiver<bool>,
}

/// What a pass over the Secrets did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Secrets written.
    pub written: usize,
    /// Secrets deleted.
    pub deleted: usize,
    /// Secrets that could not be written or deleted; they are tried again.
    pub failed: usize,
}

/// Keeps certificates as they should be, until `cancel`. Failures are logged and tried again.
///
/// # Errors
/// None; the signature is that of a task.
pub async fn run(mut config: Config, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut served: Option<(Leaf, Arc<str>)> = None;
    let mut swept: Option<tokio::time::Instant> = None;
    loop {
        let leads = *config.leader.borrow_and_update();
        let wanted = config.wanted.borrow_and_update().clone();
        match config.secrets.authority(Timestamp::now(), leads).await {
            Ok(Some(authority)) => {
                serve(&config, &authority, &mut served);
                let due = swept.is_none_or(|at| at.elapsed() >= SWEEP);
                if let (true, true, Some(wanted)) = (leads, due, wanted) {
                    let done = config.secrets.reconcile(Timestamp::now(), &authority, &wanted).await;
                    swept = match done {
                        Ok(Outcome { failed: 0, .. }) => Some(tokio::time::Instant::now()),
                        Ok(_) => None,
                        Err(error) => {
                            tracing::warn!(%error, "certificates cannot be looked at; tried again");
                            None
                        }
                    };
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the authority cannot be read; tried again"),
        }
        let pause = if served.is_some() { REFRESH } else { IMPATIENT };
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
            Ok(()) = config.leader.changed() => swept = None,
            Ok(()) = config.wanted.changed() => swept = None,
            Ok(()) = config.missing.changed() => swept = None,
        }
    }
}

/// Serves with a certificate that is neither due nor signed under another bundle.
fn serve(config: &Config, authority: &Authority, served: &mut Option<(Leaf, Arc<str>)>) {
    let trust = authority.trust().pem();
    let now = Timestamp::now();
    if served.as_ref().is_some_and(|(leaf, under)| under == trust && now < leaf.lifetime.due()) {
        return;
    }
    let leaf = authority.server(now, &config.own, &config.dns_names);
    let credentials = Credentials {
        certificate: leaf.certificate.clone().into_bytes(),
        key: leaf.key.clone().into_bytes(),
        trust: trust.as_bytes().to_vec(),
    };
    if let Err(error) = config.tls.replace(&credentials) {
        tracing::error!(error, "the server's own certificate cannot be used");
        return;
    }
    tracing::info!(until = %leaf.lifetime.not_after, "serving with a new certificate");
    config.trust.send_if_modified(|held| {
        let differs = held.as_ref() != Some(trust);
        *held = Some(trust.clone());
        differs
    });
    *served = Some((leaf, trust.clone()));
}

/// Serves with a Secret of somebody else (cert-manager's, say), until `cancel`.
pub async fn follow_secret(secrets: &Secrets, name: &str, tls: &ServerTls, cancel: &CancellationToken) {
    let mut held = None;
    loop {
        let read = secrets.credentials(name).await;
        if held.as_ref() != Some(&read) {
            match read.as_ref().map_err(Clone::clone).and_then(|credentials| tls.replace(credentials)) {
                Ok(()) => tracing::info!(secret = name, "the server's certificate was read"),
                Err(error) => tracing::error!(
                    secret = name,
                    error,
                    "the server's certificate cannot be used; the one before, if any, serves on"
                ),
            }
            held = Some(read);
        }
        let pause = if tls.is_ready() { REFRESH } else { IMPATIENT };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Secrets {
    /// Those of the control plane in `namespace`.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        Self { client, namespace: namespace.into() }
    }

    fn api(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The authority; the leader makes and advances it. `None` when there is none to use yet.
    ///
    /// # Errors
    /// The API server does not answer, or does not allow it.
    pub async fn authority(&self, now: Timestamp, leads: bool) -> Result<Option<Authority>, kube::Error> {
        let api = self.api(&self.namespace);
        for _ in 0..STEPS {
            let held = api.get_opt(AUTHORITY).await?;
            let foreign = held.as_ref().is_some_and(|secret| !is_ours(secret));
            let version = held.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
            let held = held.map(data_of);
            if !leads {
                let read = held.as_ref().map(Authority::read).transpose();
                return Ok(read.unwrap_or_else(|error| {
                    tracing::error!(error, "the authority cannot be used; the leader replaces it");
                    None
                }));
            }
            let Advance { authority, write } = advance(now, held.as_ref());
            let Some((reason, data)) = write else { return Ok(Some(authority)) };
            if foreign {
                tracing::error!(secret = AUTHORITY, %reason, "the authority is not ours to write: replace it, or delete it to have one made");
                return Ok(held.as_ref().and_then(|data| Authority::read(data).ok()));
            }
            let metadata = ObjectMeta {
                name: Some(AUTHORITY.to_owned()),
                resource_version: version,
                labels: Some(labels(&[MANAGED_BY])),
                ..ObjectMeta::default()
            };
            if put(&api, secret(metadata, data)).await? {
                tracing::info!(%reason, "the authority was written");
            }
        }
        Ok(None)
    }

    /// One pass over all certificates of `wanted`.
    ///
    /// # Errors
    /// Secrets cannot be listed. A single one that fails is logged and counted.
    pub async fn reconcile(
        &self,
        now: Timestamp,
        authority: &Authority,
        wanted: &[Wanted],
    ) -> Result<Outcome, kube::Error> {
        let observed = self.observed().await?;
        let plan = plan(now, authority, wanted, &observed);
        let mut outcome = Outcome::default();
        for write in &plan.writes {
            match self.write(now, authority, write, observed.get(&write.secret)).await {
                Ok(true) => outcome.written += 1,
                Ok(false) => outcome.failed += 1,
                Err(error) => {
                    outcome.failed += 1;
                    tracing::warn!(secret = %write.secret, %error, "a certificate cannot be written; tried again");
                }
            }
        }
        for name in &plan.deletes {
            match self.api(&name.namespace).delete(&name.name, &DeleteParams::default()).await {
                Ok(_) => {
                    outcome.deleted += 1;
                    tracing::info!(secret = %name, "a certificate that nobody needs was deleted");
                }
                Err(error) if code(&error) == Some(404) => {}
                Err(error) => {
                    outcome.failed += 1;
                    tracing::warn!(secret = %name, %error, "a certificate cannot be deleted; tried again");
                }
            }
        }
        Ok(outcome)
    }

    /// The credentials in a Secret of the control plane's namespace.
    ///
    /// # Errors
    /// It cannot be read, or a key is missing.
    pub async fn credentials(&self, name: &str) -> Result<Credentials, String> {
        let secret = self.api(&self.namespace).get(name).await.map_err(|e| format!("Secret {name}: {e}"))?;
        let data = data_of(secret);
        let get =
            |key: &str| data.get(key).cloned().ok_or_else(|| format!("Secret {name}: {key} is missing"));
        Ok(Credentials {
            certificate: get(keys::CERTIFICATE)?,
            key: get(keys::KEY)?,
            trust: get(keys::TRUST)?,
        })
    }

    async fn observed(&self) -> Result<BTreeMap<NamespacedName, Observed>, kube::Error> {
        let ours = ListParams::default().labels(&format!("{ISSUED_BY}={}", self.namespace));
        let list = Api::<Secret>::all(self.client.clone()).list(&ours).await?;
        let observed = list.items.into_iter().map(|mut secret| {
            let metadata = std::mem::take(&mut secret.metadata);
            let name = NamespacedName::new(
                metadata.namespace.unwrap_or_default(),
                metadata.name.unwrap_or_default(),
            );
            let owners = metadata.owner_references.into_iter().flatten().map(|owner| owner.uid).collect();
            let data = data_of(secret);
            (name, Observed { ours: true, owners, data, resource_version: metadata.resource_version })
        });
        Ok(observed.collect())
    }

    /// Whether it was written; otherwise somebody else's Secret stands there, or was faster.
    async fn write(
        &self,
        now: Timestamp,
        authority: &Authority,
        write: &Write,
        held: Option<&Observed>,
    ) -> Result<bool, kube::Error> {
        let Write { secret: place, wanted, step } = write;
        let reference = |owner: &Owner| OwnerReference {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            ..OwnerReference::default()
        };
        let metadata = ObjectMeta {
            name: Some(place.name.clone()),
            namespace: Some(place.namespace.clone()),
            resource_version: held.and_then(|held| held.resource_version.clone()),
            labels: Some(labels(&[MANAGED_BY, (ISSUED_BY, &self.namespace)])),
            owner_references: Some(wanted.owners.iter().map(reference).collect()),
            ..ObjectMeta::default()
        };
        let data = write.data(now, authority, held.map(|held| &held.data));
        let written = put(&self.api(&place.namespace), secret(metadata, data)).await?;
        if written {
            tracing::info!(secret = %place, ?step, "a certificate was written");
        } else {
            tracing::warn!(
                secret = %place,
                "a certificate cannot be written: a Secret that is not ours stands there, or another replica was faster"
            );
        }
        Ok(written)
    }
}

/// Creates, or replaces the version that was read. Whether it was written: false when somebody else was faster.
async fn put(api: &Api<Secret>, secret: Secret) -> Result<bool, kube::Error> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    let done = match &secret.metadata.resource_version {
        None => api.create(&PostParams::default(), &secret).await,
        Some(_) => api.replace(&name, &PostParams::default(), &secret).await,
    };
    match done {
        Ok(_) => Ok(true),
        // 404: it was deleted since it was read.
        Err(error) if matches!(code(&error), Some(409 | 404)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn secret(metadata: ObjectMeta, data: Data) -> Secret {
    Secret {
        metadata,
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.into_iter().map(|(key, value)| (key, ByteString(value))).collect()),
        ..Secret::default()
    }
}

fn data_of(secret: Secret) -> Data {
    secret.data.into_iter().flatten().map(|(key, ByteString(value))| (key, value)).collect()
}

fn is_ours(secret: &Secret) -> bool {
    let (key, value) = MANAGED_BY;
    secret.metadata.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|held| held == value)
}

fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
