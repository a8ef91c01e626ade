use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use proto::tier::v1::pools_server::{Pools as PoolsService, PoolsServer};
use proto::tier::v1::{KnownPool, PoolSnapshot, WatchResponse};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status};

use super::*;

type Answers = mpsc::UnboundedReceiver<Result<WatchResponse, Status>>;

/// Shows each request to the test and answers with the stream that the test hands over.
struct Scripted {
    requests: mpsc::UnboundedSender<WatchRequest>,
    streams: Arc<parking_lot::Mutex<Vec<Answers>>>,
}

#[tonic::async_trait]
impl PoolsService for Scripted {
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.requests.send(request.into_inner()).map_err(|_| Status::internal("test is gone"))?;
        match self.streams.lock().pop() {
            Some(answers) => Ok(Response::new(UnboundedReceiverStream::new(answers).boxed())),
            None => Err(Status::unavailable("no stream scripted")),
        }
    }
}

fn pool(revision: u64) -> PoolSnapshot {
    let name = PoolName { namespace: "ns".into(), name: "a".into() };
    PoolSnapshot { name: Some(name), revision, ..PoolSnapshot::default() }
}

/// A stream that breaks leaves the pools as they are; the next one is opened with the revisions held.
#[tokio::test]
async fn reconnects_with_what_it_holds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (requests, mut asked) = mpsc::unbounded_channel();
    let (first, first_answers) = mpsc::unbounded_channel();
    let (second, second_answers) = mpsc::unbounded_channel();
    let streams = Arc::new(parking_lot::Mutex::new(vec![second_answers, first_answers]));
    let service = PoolsServer::new(Scripted { requests, streams });
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));

    let pools = Pools::new(Instant::now());
    let config = TierConfig {
        uri,
        tls_directory: None,
        picker_id: "picker/0".into(),
        pools: vec!["ns/a".parse().unwrap()],
    };
    let script = async {
        let request = asked.recv().await.unwrap();
        assert_eq!(request.picker_id, "picker/0");
        assert_eq!(request.pools[0].name, "a");
        assert!(request.known.is_empty());
        first.send(Ok(WatchResponse { changed: vec![pool(7)], synced: true, ..Default::default() })).unwrap();
        first.send(Err(Status::unavailable("restart"))).unwrap();

        let request = asked.recv().await.unwrap();
        assert_eq!(request.known, vec![KnownPool { name: pool(7).name, revision: 7 }]);
        assert!(pools.is_synced());
        second
            .send(Ok(WatchResponse { changed: vec![pool(8)], synced: true, ..Default::default() }))
            .unwrap();
        while pools.get("ns/a").unwrap().snapshot().revision != 8 {
            tokio::task::yield_now().await;
        }
        drop(second);
        // The script is at its end: the picker asks again, is refused, and keeps what it holds.
        for _ in 0..2 {
            assert_eq!(asked.recv().await.unwrap().known[0].revision, 8);
        }
        assert!(pools.is_synced());
        assert_eq!(pools.only().unwrap().snapshot().revision, 8);
    };
    let client = run(pools.clone(), config);
    let all = async {
        futures_util::select_biased! {
            () = script.fuse() => (),
            () = client.fuse() => panic!("client ended"),
            end = server.fuse() => panic!("server ended: {end:?}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the script ends");
}

/// Certificates of one authority, as files: for `localhost` as a server, and for a client.
struct Ca(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        Self(rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key.
    fn sign(&self) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth, rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn put(&self, directory: &std::path::Path) {
        let (certificate, key) = self.sign();
        for (name, text) in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", self.0.pem())] {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }
}

/// A client of another authority is refused; with the right files in place, the next attempt is served.
#[tokio::test]
async fn certificates_are_read_at_each_connection() {
    use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
    let (requests, mut asked) = mpsc::unbounded_channel();
    let (answer, answers) = mpsc::unbounded_channel();
    let streams = Arc::new(parking_lot::Mutex::new(vec![answers]));
    let (ca, stranger) = (Ca::new(), Ca::new());
    let (certificate, key) = ca.sign();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(ca.0.pem()));
    let server = Server::builder()
        .tls_config(tls)
        .unwrap()
        .add_service(PoolsServer::new(Scripted { requests, streams }))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let directory = tempfile::tempdir().unwrap();
    stranger.put(directory.path());
    // It believes the server, but shows the certificate of another authority.
    std::fs::write(directory.path().join("ca.crt"), ca.0.pem()).unwrap();
    let pools = Pools::new(Instant::now());
    let tls_directory = Some(directory.path().to_owned());
    let config = TierConfig { uri, tls_directory, picker_id: "picker/0".into(), pools: Vec::new() };
    let script = async {
        assert!(tokio::time::timeout(Duration::from_secs(1), asked.recv()).await.is_err(), "it was served");
        ca.put(directory.path());
        asked.recv().await.unwrap();
        answer
            .send(Ok(WatchResponse { changed: vec![pool(7)], synced: true, ..Default::default() }))
            .unwrap();
        while !pools.is_synced() {
            tokio::task::yield_now().await;
        }
    };
    let all = async {
        futures_util::select_biased! {
            () = script.fuse() => (),
            () = run(pools.clone(), config).fuse() => panic!("client ended"),
            end = server.fuse() => panic!("server ended: {end:?}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the script ends");
}
