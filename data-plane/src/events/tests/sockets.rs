//! A publisher as vLLM has it, on loopback, by another implementation of ZeroMQ.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use proto::tier::v1::{Endpoint, EndpointState, PoolName, PoolSnapshot, WatchResponse};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;
use zeromq::{PubSocket, RouterSocket, Socket as _, SocketRecv, SocketSend, ZmqMessage};

use super::super::zmtp::{Kind, Socket};
use super::super::{EventCounters, run};
use crate::pool::{Pools, Slot};
use crate::prefix::precise::{Precise, Runs, TokenPrompt, Trust};
use crate::tasks::TaskSet;

type Kept = Arc<Mutex<VecDeque<(u64, Vec<u8>)>>>;

/// An engine: a PUB and a ROUTER socket, and the batches that it has kept.
struct Engine {
    publisher: PubSocket,
    port: u16,
    replay_port: u16,
    kept: Kept,
    next: u64,
    tasks: TaskSet,
}

impl Engine {
    async fn start(port: u16, replay_port: u16) -> Self {
        let at = |port: u16| format!("tcp://127.0.0.1:{port}");
        let bound = |endpoint: zeromq::Endpoint| match endpoint {
            zeromq::Endpoint::Tcp(_, port) => port,
            other => panic!("{other:?} is not TCP"),
        };
        let (mut publisher, mut replay) = (PubSocket::new(), RouterSocket::new());
        let port = bound(publisher.bind(&at(port)).await.unwrap());
        let replay_port = bound(replay.bind(&at(replay_port)).await.unwrap());
        let kept = Kept::default();
        let mut tasks = TaskSet::default();
        let batches = Arc::clone(&kept);
        tasks.spawn("replay", async move {
            loop {
                let request = replay.recv().await?.into_vec();
                let from = u64::from_be_bytes(request[2][..].try_into()?);
                let batches: Vec<_> = batches.lock().iter().filter(|(n, _)| *n >= from).cloned().collect();
                for (number, payload) in batches.into_iter().chain([(u64::MAX, Vec::new())]) {
                    let parts = [request[0].to_vec(), vec![], number.to_be_bytes().to_vec(), payload];
                    let parts: Vec<bytes::Bytes> = parts.into_iter().map(Into::into).collect();
                    replay.send(ZmqMessage::try_from(parts).map_err(|_| anyhow::anyhow!("empty"))?).await?;
                }
            }
        });
        Self { publisher, port, replay_port, kept, next: 0, tasks }
    }

    /// Stores `tokens` as one block named `hash` behind `parent`; the batch is published or lost.
    async fn stores(&mut self, hash: u64, parent: Option<u64>, tokens: &[u32], published: bool) {
        let event = ("BlockStored", [hash], parent, tokens, tokens.len(), None::<u32>, "GPU");
        self.tells(&(0.5, (event,), 0), published).await;
    }

    async fn tells(&mut self, batch: &impl serde::Serialize, published: bool) {
        let (number, payload) = (self.next, rmp_serde::to_vec(batch).unwrap());
        self.next += 1;
        self.kept.lock().push_back((number, payload.clone()));
        if published {
            let parts = [b"kv@x".to_vec(), number.to_be_bytes().to_vec(), payload];
            let parts: Vec<bytes::Bytes> = parts.into_iter().map(Into::into).collect();
            self.publisher.send(ZmqMessage::try_from(parts).unwrap()).await.unwrap();
        }
    }

    async fn stop(self) -> (u16, u16) {
        let Self { publisher, port, replay_port, tasks, .. } = self;
        drop(tasks);
        publisher.close().await;
        (port, replay_port)
    }
}

/// A picker with one endpoint whose events are followed.
struct Picker {
    pools: Pools,
    slot: Arc<Slot>,
    counters: EventCounters,
    _tasks: TaskSet,
}

impl Picker {
    fn start(engine: &Engine, replays: bool) -> Self {
        let pools = Pools::new(Instant::now());
        let port = |name: &str, port: u16| (format!("signalbox.dev/{name}"), port.to_string());
        let mut labels = vec![port("kv-events-port", engine.port)];
        labels.extend(replays.then(|| port("kv-events-replay-port", engine.replay_port)));
        pools.apply(pool(labels.into_iter().collect()));
        let address: SocketAddr = "127.0.0.1:8000".parse().unwrap();
        let slot = pools.only().unwrap().slot(address).unwrap();
        let counters = EventCounters::default();
        let mut tasks = TaskSet::default();
        let following = run(pools.clone(), counters.clone());
        tasks.spawn("kv-events", async move {
            following.await;
            Ok(())
        });
        Self { pools, slot, counters, _tasks: tasks }
    }

    /// Waits until the endpoint is trusted this far and holds this many tokens of the prompt.
    async fn comes_to(&self, trust: Trust, ids: &[u32], tokens: u32) {
        let pool = self.pools.only().unwrap();
        let mut seen = None;
        let comes = async {
            loop {
                seen = Some(state(pool.precise(), &self.slot, ids));
                if seen == Some((trust, tokens)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = timeout(Duration::from_secs(20), comes).await;
        assert!(came.is_ok(), "{seen:?} is not {:?}", (trust, tokens));
    }
}

fn state(precise: &Precise, slot: &Slot, ids: &[u32]) -> (Trust, u32) {
    let mut runs = Runs::default();
    precise.lookup(&TokenPrompt { ids, ..TokenPrompt::default() }, &mut runs);
    let mirror = slot.mirror().unwrap();
    (mirror.trust(), runs.tokens(mirror))
}

fn pool(labels: std::collections::HashMap<String, String>) -> WatchResponse {
    let endpoint = Endpoint {
        address: "127.0.0.1".into(),
        port: 8000,
        state: EndpointState::Ready.into(),
        labels,
        ..Endpoint::default()
    };
    let name = Some(PoolName { namespace: "ns".into(), name: "a".into() });
    let changed = vec![PoolSnapshot { name, endpoints: vec![endpoint], ..PoolSnapshot::default() }];
    WatchResponse { changed, ..WatchResponse::default() }
}

const PROMPT: [u32; 8] = [1, 1, 2, 2, 3, 3, 4, 4];

#[tokio::test]
async fn what_was_before_the_connection_is_replayed_and_a_gap_is_filled() {
    let mut engine = Engine::start(0, 0).await;
    engine.stores(10, None, &PROMPT[..2], false).await;
    let picker = Picker::start(&engine, true);
    picker.comes_to(Trust::Complete, &PROMPT, 2).await;
    engine.stores(11, Some(10), &PROMPT[2..4], false).await;
    engine.stores(12, Some(11), &PROMPT[4..6], true).await;
    picker.comes_to(Trust::Complete, &PROMPT, 6).await;
    assert_eq!(
        (picker.counters.gaps.get(), picker.counters.replays.get(), picker.counters.resyncs.get()),
        (1, 2, 0)
    );
    engine.tells(&(0.5, (("BlockRemoved", [12], "GPU"),), 0), true).await;
    picker.comes_to(Trust::Complete, &PROMPT, 4).await;
    engine.tells(&(0.5, (("AllBlocksCleared",),), 0), true).await;
    picker.comes_to(Trust::Complete, &PROMPT, 0).await;
    // Another rank's events are not this endpoint's.
    engine.tells(&(0.5, (("BlockStored", [10], None::<u64>, &PROMPT[..2], 2),), 1), true).await;
    engine.stores(20, None, &PROMPT[..2], true).await;
    picker.comes_to(Trust::Complete, &PROMPT, 2).await;
    assert_eq!(picker.counters.malformed.get(), 1);
}

#[tokio::test]
async fn a_gap_that_cannot_be_filled_clears_what_was_held() {
    let mut engine = Engine::start(0, 0).await;
    let picker = Picker::start(&engine, false);
    picker.comes_to(Trust::Partial, &PROMPT, 0).await;
    // Subscriptions take a moment to arrive; batches before that are never seen.
    while picker.slot.mirror().unwrap().is_empty() {
        engine.next = 0;
        engine.stores(10, None, &PROMPT[..2], true).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    picker.comes_to(Trust::Complete, &PROMPT, 2).await;
    let mut next = engine.next;
    engine.next = next + 5;
    engine.stores(20, None, &[9, 9], true).await;
    picker.comes_to(Trust::Partial, &PROMPT, 0).await;
    assert!(picker.counters.gaps.get() >= 1);
    next = engine.next;
    engine.tells(&(0.5, (("AllBlocksCleared",),), 0), true).await;
    picker.comes_to(Trust::Complete, &PROMPT, 0).await;
    assert_eq!(engine.next, next + 1);
}

/// Passes connections on to `port`; each word on `cut` ends the open one.
async fn passage(port: u16, cut: Arc<Notify>, tasks: &mut TaskSet) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().port();
    tasks.spawn("passage", async move {
        loop {
            let (mut from, _) = listener.accept().await?;
            let mut to = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                () = cut.notified() => {}
            }
        }
    });
    at
}

#[tokio::test]
async fn a_connection_that_breaks_costs_nothing_while_the_engine_is_the_same() {
    let mut engine = Engine::start(0, 0).await;
    let (cut, mut tasks) = (Arc::new(Notify::new()), TaskSet::default());
    engine.port = passage(engine.port, Arc::clone(&cut), &mut tasks).await;
    engine.stores(10, None, &PROMPT[..2], false).await;
    engine.stores(11, Some(10), &PROMPT[2..4], false).await;
    let picker = Picker::start(&engine, true);
    picker.comes_to(Trust::Complete, &PROMPT, 4).await;
    cut.notify_one();
    picker.comes_to(Trust::Off, &PROMPT, 4).await;
    // What happens meanwhile is replayed.
    engine.stores(12, Some(11), &PROMPT[4..6], false).await;
    picker.comes_to(Trust::Complete, &PROMPT, 6).await;
    assert_eq!((picker.counters.disconnects.get(), picker.counters.resyncs.get()), (1, 0));
}

#[tokio::test]
async fn an_engine_that_starts_anew_has_nothing_of_what_it_had() {
    let mut engine = Engine::start(0, 0).await;
    engine.stores(10, None, &PROMPT[..2], false).await;
    let picker = Picker::start(&engine, true);
    picker.comes_to(Trust::Complete, &PROMPT, 2).await;
    let (port, replay_port) = engine.stop().await;
    picker.comes_to(Trust::Off, &PROMPT, 2).await;
    let mut engine = Engine::start(port, replay_port).await;
    // What is published before the subscription arrives is noticed as a gap by the next.
    while state(picker.pools.only().unwrap().precise(), &picker.slot, &[5, 5, 6]) != (Trust::Complete, 2) {
        engine.stores(77, None, &[5, 5], true).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    picker.comes_to(Trust::Complete, &PROMPT, 0).await;
    assert_eq!(picker.counters.resyncs.get(), 1);
    // The annotation is taken away: nothing is believed any more.
    picker.pools.apply(pool([].into()));
    picker.comes_to(Trust::Off, &[5, 5], 0).await;
}

#[tokio::test]
async fn a_peer_that_promises_too_much_or_speaks_otherwise_is_refused() {
    let greeting = |first: u8| {
        let mut greeting = [0_u8; 64];
        (greeting[0], greeting[9], greeting[10]) = (first, 0x7f, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        greeting.to_vec()
    };
    let ready = b"\x04\x06\x05READY";
    for (sent, words) in [
        (greeting(b'H'), "does not speak"),
        ([&greeting(0xff)[..], b"\x04\x06\x05ERROR"].concat(), "READY"),
        ([&greeting(0xff)[..], ready, b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff"].concat(), "too large"),
        ([&greeting(0xff)[..], ready, &b"\x01\x00".repeat(9)].concat(), "too many"),
        ([&greeting(0xff)[..], ready, b"\x00\x05abc"].concat(), "unexpected end"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let peer = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&sent).await.unwrap();
            let mut theirs = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(
                &mut {
                    stream.shutdown().await.unwrap();
                    stream
                },
                &mut theirs,
            )
            .await
            .ok();
        };
        let us = async {
            let mut socket = Socket::connect(to, Kind::Sub).await?;
            socket.receive().await.map(|_| ())
        };
        let (error, ()) =
            timeout(Duration::from_secs(5), async { tokio::join!(async { us.await.unwrap_err() }, peer) })
                .await
                .unwrap();
        let error = error.to_string();
        assert!(error.contains(words) || error.contains("eof"), "{error} is not about {words:?}");
    }
}
