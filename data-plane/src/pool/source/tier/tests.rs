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
