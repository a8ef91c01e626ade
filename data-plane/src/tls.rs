//! TLS of the picker: the certificate of the ext_proc port, and the one that it shows to the control plane.
//!
//! ```text
//! directory (tls.crt, tls.key) ─ looked at every 2 s ─▶ Acceptor ─ swap ─▶ later handshakes; open connections live on
//! directory (…, ca.crt)        ─ read at each connect ─▶ ClientTlsConfig; of peers, at each accept, too
//! ```
//!
//! Gateways do not verify pickers unless told to (the protocol has no field for it), so a self-signed certificate keeps
//! prompts off the wire without setup.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Identity as ClientIdentity};

/// How often files are looked at: they are small, and a kubelet takes a minute to bring them.
const INTERVAL: Duration = Duration::from_secs(2);

/// Accepts TLS, HTTP/2 only, with the certificate of the moment.
#[derive(Debug)]
pub struct Acceptor {
    config: ArcSwap<ServerConfig>,
    /// Where the certificate is; `None`: a self-signed one, made at start.
    directory: Option<PathBuf>,
}

/// The files of a certificate, as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Acceptor {
    /// With the certificate in `directory` (`tls.crt`, `tls.key`), or with a self-signed one.
    ///
    /// # Errors
    /// The files cannot be read or do not fit together; the message names the file.
    pub fn new(directory: Option<&Path>) -> anyhow::Result<Self> {
        let identity = match directory {
            Some(directory) => Files::read(directory)?.parse()?,
            None => self_signed()?,
        };
        let config = ArcSwap::from_pointee(config(identity, Arc::new(NoClientAuth))?);
        Ok(Self { config, directory: directory.map(Path::to_owned) })
    }

    /// The TLS handshake.
    ///
    /// # Errors
    /// It fails.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }

    /// Follows the files for ever. Files that cannot be used leave the certificate before in place.
    pub async fn follow(&self) {
        let Some(directory) = &self.directory else { return std::future::pending().await };
        let mut ticks = tokio::time::interval(INTERVAL);
        // The first look may find what was replaced between the start and now.
        let mut held = None;
        loop {
            ticks.tick().await;
            let files = Files::read(directory).map_err(|error| format!("{error:#}"));
            if held.as_ref() == Some(&files) {
                continue;
            }
            let used = files.as_ref().map_err(Clone::clone).and_then(|files| {
                let parsed = files.parse().and_then(|identity| config(identity, Arc::new(NoClientAuth)));
                parsed.map_err(|error| format!("{error:#}"))
            });
            match used {
                Ok(config) => {
                    self.config.store(Arc::new(config));
                    tracing::info!(directory = %directory.display(), "serving with the certificate of the directory");
                }
                Err(error) => tracing::error!(
                    directory = %directory.display(), error,
                    "the certificate cannot be used; the one before serves on"
                ),
            }
            held = Some(files);
        }
    }
}

/// What the picker shows to the control plane and believes of it: `tls.crt`, `tls.key` and `ca.crt` of `directory`.
///
/// # Errors
/// A file cannot be read; the message names it.
pub fn client(directory: &Path) -> anyhow::Result<ClientTlsConfig> {
    let Files { certificate, key } = Files::read(directory)?;
    let trust = read(&directory.join("ca.crt"))?;
    let identity = ClientIdentity::from_pem(certificate, key);
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trust)).identity(identity))
}

/// The certificate of `directory`, without those that lead to its authority.
///
/// # Errors
/// It cannot be read; the message names the file.
pub(crate) fn leaf(directory: &Path) -> anyhow::Result<CertificateDer<'static>> {
    let (chain, _) = Files::read(directory)?.parse()?;
    chain.into_iter().next().context("tls.crt holds no certificate")
}

/// To serve clients that have to show a certificate: `tls.crt`, `tls.key` and `ca.crt` of `directory`.
///
/// # Errors
/// A file cannot be used; the message names it.
pub(crate) fn mutual(directory: &Path) -> anyhow::Result<ServerConfig> {
    let identity = Files::read(directory)?.parse()?;
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&read(&directory.join("ca.crt"))?) {
        roots.add(authority.context("ca.crt cannot be read as PEM")?).context("ca.crt cannot be used")?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .context("ca.crt cannot be used")?;
    config(identity, verifier)
}

impl Files {
    fn read(directory: &Path) -> anyhow::Result<Self> {
        Ok(Self { certificate: read(&directory.join("tls.crt"))?, key: read(&directory.join("tls.key"))? })
    }

    fn parse(&self) -> anyhow::Result<Identity> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .context("tls.crt cannot be read as PEM")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("tls.key cannot be read as PEM")?;
        Ok((chain, key))
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Serves HTTP/2 as `identity` to clients that `verifier` lets pass.
fn config((chain, key): Identity, verifier: Arc<dyn ClientCertVerifier>) -> anyhow::Result<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .context("the certificate and its key cannot be used; do tls.crt and tls.key belong together?")?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn self_signed() -> anyhow::Result<Identity> {
    let made = rcgen::generate_simple_self_signed(["signalbox-picker".to_owned(), "localhost".to_owned()])
        .context("a self-signed certificate cannot be made")?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok((vec![made.cert.der().clone()], key))
}

#[cfg(test)]
mod tests;
