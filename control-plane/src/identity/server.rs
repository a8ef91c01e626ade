//! TLS of our servers: clients need a certificate, and ours is swapped while connections live on.
//!
//! ```text
//! TCP ─ accept ─▶ handshake (bounded in number and time, with the certificate of the moment) ─▶ Incoming ─▶ tonic
//! Credentials ─▶ ServerTls::replace ─ swap ──────────▲                 Peer ─▶ extensions of each request
//! ```

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::Stream;
use rustls::{ServerConfig, crypto::ring, server::NoServerSessionStorage};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use super::{Metrics, Peer, Trust, certificate::chain};
use crate::tasks::TaskSet;

/// Handshakes at the same time. When there are more, accepting waits: the kernel's backlog takes over.
const HANDSHAKES: usize = 128;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that wait for the server. When there are more, handshakes wait.
const WAITING: usize = 64;
/// After a connection could not be accepted (out of file descriptors, mostly).
const PAUSE: Duration = Duration::from_millis(50);

/// A server's certificate, and whom it believes; PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The certificate, then those that lead to its authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The authorities of clients.
    pub trust: Vec<u8>,
}

/// What is served with.
struct Loaded {
    config: Arc<ServerConfig>,
    credentials: Arc<Credentials>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").finish_non_exhaustive()
    }
}

/// TLS of a server, which changes while it runs. Clones share state.
#[derive(Clone, Debug, Default)]
pub struct ServerTls {
    loaded: Arc<ArcSwapOption<Loaded>>,
    metrics: Metrics,
}

impl ServerTls {
    /// Serves later connections with these. Connections that are open live on.
    ///
    /// # Errors
    /// What is wrong with the credentials; those before stay.
    pub fn replace(&self, credentials: &Credentials) -> Result<(), String> {
        let config = Arc::new(config(credentials)?);
        let credentials = Arc::new(credentials.clone());
        self.loaded.store(Some(Arc::new(Loaded { config, credentials })));
        Ok(())
    }

    /// Whether there is a certificate: connections are closed before.
    pub fn is_ready(&self) -> bool {
        self.loaded.load().is_some()
    }

    /// What is served with: a replica that is the client of another one shows the same.
    pub fn credentials(&self) -> Option<Arc<Credentials>> {
        self.loaded.load().as_ref().map(|loaded| loaded.credentials.clone())
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

fn config(credentials: &Credentials) -> Result<ServerConfig, String> {
    let trust = Trust::read(&credentials.trust).map_err(|why| format!("ca.crt: {why}"))?;
    let certificates = chain(&credentials.certificate).map_err(|why| format!("tls.crt: {why}"))?;
    let key = PrivateKeyDer::from_pem_slice(&credentials.key).map_err(|e| format!("tls.key: {e}"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_client_cert_verifier(trust.verifier())
        .with_single_cert(certificates, key)
        .map_err(|e| format!("tls.crt and tls.key do not serve together: {e}"))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session is not verified again: its certificate may be over, its authority no longer trusted.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A connection of a client whose certificate was verified.
#[derive(Debug)]
pub struct Verified {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

/// Connections whose handshakes are done.
#[derive(Debug)]
pub struct Incoming(mpsc::Receiver<Verified>);

/// Accepts connections until the tasks are told to end.
pub fn accept(listener: TcpListener, tls: ServerTls, tasks: &TaskSet) -> Incoming {
    let (ready, incoming) = mpsc::channel(WAITING);
    let set = tasks.clone();
    tasks.spawn("tls listener", async move {
        let token = set.token().clone();
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let next = async {
                let permit = handshakes.clone().acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((listener.accept().await?.0, permit))
            };
            let accepted = tokio::select! {
                accepted = next => accepted,
                () = token.cancelled() => return Ok(()),
            };
            match accepted {
                Ok((stream, permit)) => {
                    let (tls, ready, token) = (tls.clone(), ready.clone(), token.clone());
                    set.spawn_brief("tls handshake", async move {
                        let hand_over = async {
                            if let Some(verified) = handshake(stream, &tls).await {
                                // Nobody takes it: the server ends.
                                drop(ready.send(verified).await);
                            }
                        };
                        tokio::select! {
                            () = hand_over => {}
                            () = token.cancelled() => {}
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    Incoming(incoming)
}

async fn handshake(stream: TcpStream, tls: &ServerTls) -> Option<Verified> {
    let address = stream.peer_addr().ok();
    let Some(config) = tls.loaded.load().as_ref().map(|loaded| loaded.config.clone()) else {
        tls.metrics.handshake("no-certificate");
        tracing::debug!(?address, "a connection is closed: this server has no certificate yet");
        return None;
    };
    let accepted = async {
        stream.set_nodelay(true)?;
        TlsAcceptor::from(config).accept(stream).await
    };
    match timeout(HANDSHAKE, accepted).await {
        Ok(Ok(stream)) => {
            tls.metrics.handshake("done");
            let peer = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(Peer::of);
            Some(Verified { stream, peer: peer.unwrap_or_default() })
        }
        Ok(Err(error)) => {
            tls.metrics.handshake("failed");
            tracing::info!(?address, %error, "a client was refused: its TLS handshake failed");
            None
        }
        Err(_) => {
            tls.metrics.handshake("timeout");
            tracing::info!(?address, "a client was refused: its TLS handshake took too long");
            None
        }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Verified>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|verified| verified.map(Ok))
    }
}

impl Connected for Verified {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Verified {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Verified {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
