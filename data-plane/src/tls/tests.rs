use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use super::*;

/// Writes a certificate for `name`; returns it.
fn put(directory: &Path, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

/// Believes every server: the tests look at the certificate themselves.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate that a client sees.
async fn seen(acceptor: &Acceptor) -> CertificateDer<'static> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let (near, far) = tokio::io::duplex(64 << 10);
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("picker").unwrap();
    let (client, server) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    server.unwrap();
    client.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn a_certificate_is_made_or_read() {
    assert!(Acceptor::new(None).is_ok());
    let directory = tempfile::tempdir().unwrap();
    let missing = Acceptor::new(Some(directory.path())).unwrap_err();
    assert!(missing.to_string().contains("tls.crt"), "{missing}");
    put(directory.path(), "a");
    assert!(Acceptor::new(Some(directory.path())).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_serves_and_a_broken_one_does_not_end_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let first = put(directory.path(), "a");
    let acceptor = Acceptor::new(Some(directory.path())).unwrap();
    assert_eq!(seen(&acceptor).await, first);
    let script = async {
        tokio::time::sleep(INTERVAL * 2).await;
        let second = put(directory.path(), "a");
        tokio::time::sleep(INTERVAL * 2).await;
        assert_eq!(seen(&acceptor).await, second);
        // Halfway through a replacement: a key without its certificate.
        let other = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        fs::write(directory.path().join("tls.key"), other.signing_key.serialize_pem()).unwrap();
        tokio::time::sleep(INTERVAL * 2).await;
        assert_eq!(seen(&acceptor).await, second);
        fs::write(directory.path().join("tls.crt"), other.cert.pem()).unwrap();
        tokio::time::sleep(INTERVAL * 2).await;
        assert_eq!(seen(&acceptor).await, *other.cert.der());
    };
    tokio::select! {
        () = script => {}
        () = acceptor.follow() => panic!("following ended"),
    }
}

#[test]
fn a_client_needs_all_three_files() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "a");
    let missing = client(directory.path()).unwrap_err();
    assert!(format!("{missing:#}").contains("ca.crt"), "{missing:#}");
    fs::copy(directory.path().join("tls.crt"), directory.path().join("ca.crt")).unwrap();
    assert!(client(directory.path()).is_ok());
}
