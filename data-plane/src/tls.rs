//! TLS of the ext_proc port: HTTP/2 only, with a given certificate or one that is made at start.
//!
//! Gateways do not verify pickers unless told to (the protocol has no field for it), so a self-signed certificate keeps
//! prompts off the wire without setup.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Accepts TLS with the certificate in `directory` (`tls.crt`, `tls.key`), or with a self-signed one.
///
/// # Errors
/// The files cannot be read or do not fit together; the message names the file.
pub fn acceptor(directory: Option<&Path>) -> anyhow::Result<TlsAcceptor> {
    let (chain, key) = match directory {
        Some(directory) => read(directory)?,
        None => self_signed()?,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and its key cannot be used; do tls.crt and tls.key belong together?")?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(directory: &Path) -> anyhow::Result<Identity> {
    let (crt, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    let hint = |file: &Path| format!("--cert-path: {} cannot be read as PEM", file.display());
    let chain = CertificateDer::pem_file_iter(&crt)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| hint(&crt))?;
    let key = PrivateKeyDer::from_pem_file(&key).with_context(|| hint(&key))?;
    Ok((chain, key))
}

fn self_signed() -> anyhow::Result<Identity> {
    let made = rcgen::generate_simple_self_signed(["signalbox-picker".to_owned(), "localhost".to_owned()])
        .context("a self-signed certificate cannot be made")?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok((vec![made.cert.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_or_read() {
        assert!(acceptor(None).is_ok());
        let directory = tempfile::tempdir().unwrap();
        let missing = acceptor(Some(directory.path())).err().unwrap();
        assert!(missing.to_string().contains("tls.crt"), "{missing}");
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        std::fs::write(directory.path().join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        assert!(acceptor(Some(directory.path())).is_ok());
    }
}
