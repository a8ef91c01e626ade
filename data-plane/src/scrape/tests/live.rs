//! Scrapes over real sockets, of servers that behave and of those that do not.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proto::tier::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::page;
use crate::pool::{Freshness, Pools, Slot};
use crate::scrape::{ScrapeConfig, ScrapeCounters, run};

/// What a server does with each request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// Everything, with a length.
    Plain,
    /// In chunks of 7 bytes, each sent alone.
    Chunked,
    /// Closes after each response.
    Closing,
    /// Only what is asked for, as the Python client does.
    Narrowing,
    /// Nothing when narrowed, as registries of several processes do.
    NothingNarrow,
    /// Never answers.
    Silent,
    /// Half a response, then the end.
    Reset,
    /// A body without an end.
    Huge,
    /// NaN and worse.
    Nonsense,
    /// 404.
    Missing,
    /// TensorRT-LLM, at its own path.
    Trtllm,
}

/// Requests seen by a server, and connections.
#[derive(Default)]
struct Seen {
    requests: RefCell<Vec<String>>,
    models: RefCell<u32>,
    connections: RefCell<u32>,
}

async fn serve(listener: TcpListener, manner: Manner, seen: &Seen) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                *seen.connections.borrow_mut() += 1;
                connections.push(connection(stream, manner, seen));
            }
            Some(_) = connections.next() => {}
        }
    }
}

async fn connection(mut stream: TcpStream, manner: Manner, seen: &Seen) -> std::io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..count]);
        }
        let request = String::from_utf8(request).unwrap();
        let narrow = request.starts_with("GET /metrics/?")
            && request.contains("name%5B%5D=vllm%3Anum_requests_waiting");
        let trtllm = request.starts_with("GET /prometheus/metrics ");
        if request.starts_with("GET /v1/models ") {
            *seen.models.borrow_mut() += 1;
            let list = r#"{"data": [{"id": "a", "max_model_len": 32768}]}"#;
            let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{list}", list.len());
            stream.write_all(response.as_bytes()).await?;
            continue;
        }
        seen.requests.borrow_mut().push(request);
        let whole = page::vllm_page();
        let ok = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let not_found = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned();
        let response = match manner {
            Manner::Plain | Manner::Closing => ok(&whole),
            Manner::Narrowing if narrow => ok(&page::vllm_small()),
            Manner::NothingNarrow if narrow => ok(""),
            Manner::Narrowing | Manner::NothingNarrow => ok(&whole),
            Manner::Nonsense => ok(
                "vllm:num_requests_running NaN\nvllm:num_requests_waiting -1\nvllm:kv_cache_usage_perc 0.5\n",
            ),
            Manner::Missing => not_found,
            Manner::Trtllm if trtllm => ok("trtllm_num_requests_waiting 1\ntrtllm_num_requests_running 5\n"),
            Manner::Trtllm => not_found,
            Manner::Reset => "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nvllm:".to_owned(),
            Manner::Silent => std::future::pending().await,
            Manner::Chunked => {
                stream.set_nodelay(true)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                for chunk in page::vllm_small().as_bytes().chunks(7) {
                    stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
                    stream.write_all(chunk).await?;
                    stream.write_all(b"\r\n").await?;
                }
                "0\r\n\r\n".to_owned()
            }
            Manner::Huge => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 65_536]).await?;
                }
            }
        };
        stream.write_all(response.as_bytes()).await?;
        if matches!(manner, Manner::Reset | Manner::Closing) {
            return Ok(());
        }
    }
}

fn pools_of(endpoints: &[(SocketAddr, &str)]) -> Pools {
    let pools = Pools::new(Instant::now());
    let endpoint = |(address, engine): &(SocketAddr, &str)| v1::Endpoint {
        address: address.ip().to_string(),
        port: address.port().into(),
        engine: (*engine).to_owned(),
        ..v1::Endpoint::default()
    };
    let name = v1::PoolName { namespace: "ns".into(), name: "a".into() };
    let endpoints = endpoints.iter().map(endpoint).collect();
    let pool = v1::PoolSnapshot { name: Some(name), endpoints, ..v1::PoolSnapshot::default() };
    pools.apply(v1::WatchResponse { changed: vec![pool], ..v1::WatchResponse::default() });
    pools
}

/// Patient with slow machines, except where silence is what is tested.
fn fast(timeout: Duration) -> ScrapeConfig {
    ScrapeConfig {
        interval: Duration::from_millis(5),
        idle_interval: Duration::from_millis(5),
        timeout,
        ..ScrapeConfig::default()
    }
}

const PATIENT: Duration = Duration::from_secs(20);
const IMPATIENT: Duration = Duration::from_millis(300);

/// Scrapes a server of `manner` until `done`.
async fn scrape(
    manner: Manner,
    engine: &str,
    done: impl Fn(&Slot, &ScrapeCounters, &Seen) -> bool,
) -> Arc<Slot> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pools = pools_of(&[(listener.local_addr().unwrap(), engine)]);
    let slot = Arc::clone(&pools.only().unwrap().snapshot().endpoints[0].slot);
    let counters = Arc::new(ScrapeCounters::default());
    let seen = Seen::default();
    let until = async {
        while !done(&slot, &counters, &seen) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let timeout = if manner == Manner::Silent { IMPATIENT } else { PATIENT };
    let all = async {
        tokio::select! {
            () = run(pools, fast(timeout), Arc::clone(&counters)) => (),
            () = serve(listener, manner, &seen) => (),
            () = until => (),
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert!(ended.is_ok(), "{manner:?}: {counters:?}, {} requests", seen.requests.borrow().len());
    slot
}

fn at_least(counter: &AtomicU64, count: u64) -> bool {
    counter.load(Relaxed) >= count
}

#[tokio::test]
async fn pages_are_read_over_one_kept_connection() {
    for manner in [Manner::Plain, Manner::Chunked, Manner::Narrowing] {
        let slot = scrape(manner, "vllm", |_, counters, seen| {
            assert!(*seen.connections.borrow() <= 1 && *seen.models.borrow() <= 1, "{manner:?}");
            at_least(&counters.read, 5)
        })
        .await;
        let now = Instant::now();
        assert_eq!(slot.freshness(now), Freshness::Fresh, "{manner:?}");
        assert_eq!(slot.context_tokens(), Some(32_768), "{manner:?}");
        let load = slot.load(now);
        let expected =
            if manner == Manner::Plain { (Some(37), Some(16 * 27_648)) } else { (Some(5), Some(16_000)) };
        assert_eq!((load.running, load.kv_tokens), expected, "{manner:?}");
    }
}

#[tokio::test]
async fn closed_connections_are_opened_again() {
    scrape(Manner::Closing, "vllm", |slot, counters, _| {
        assert!(!slot.is_failing(Instant::now()));
        at_least(&counters.read, 5)
    })
    .await;
}

#[tokio::test]
async fn servers_that_cannot_narrow_are_asked_for_everything() {
    let slot = scrape(Manner::NothingNarrow, "vllm", |_, counters, seen| {
        let requests = seen.requests.borrow();
        assert!(requests.iter().skip(1).all(|request| request.starts_with("GET /metrics HTTP/1.1")));
        assert!(!at_least(&counters.empty, 2));
        at_least(&counters.read, 3)
    })
    .await;
    assert_eq!(slot.load(Instant::now()).running, Some(37));
}

#[tokio::test]
async fn engines_that_are_not_told_are_found() {
    let slot = scrape(Manner::Trtllm, "", |_, counters, _| at_least(&counters.read, 3)).await;
    assert_eq!(slot.load(Instant::now()).running, Some(5));
    scrape(Manner::Narrowing, "", |_, counters, seen| {
        let requests = seen.requests.borrow();
        at_least(&counters.read, 3) && requests.last().unwrap().starts_with("GET /metrics/?name%5B%5D=")
    })
    .await;
    scrape(Manner::Plain, "some-new-engine", |_, counters, seen| {
        seen.requests.borrow().len() > 2 && at_least(&counters.read, 2)
    })
    .await;
}

#[tokio::test]
async fn silence_resets_and_refusals_make_an_endpoint_failing() {
    for manner in [Manner::Silent, Manner::Reset] {
        let slot = scrape(manner, "vllm", |slot, _, _| slot.is_failing(Instant::now())).await;
        assert!(matches!(slot.freshness(Instant::now()), Freshness::Failing(3..)), "{manner:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let pools = pools_of(&[(address, "vllm")]);
    let slot = Arc::clone(&pools.only().unwrap().snapshot().endpoints[0].slot);
    let counters = Arc::new(ScrapeCounters::default());
    let until = async {
        while !slot.is_failing(Instant::now()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = run(pools, fast(PATIENT), Arc::clone(&counters)) => (),
        ended = tokio::time::timeout(Duration::from_secs(60), until) => ended.unwrap(),
    }
    assert!(at_least(&counters.refused, 3));
}

#[tokio::test]
async fn nonsense_is_ignored_and_does_not_fail_the_endpoint() {
    let slot = scrape(Manner::Nonsense, "vllm", |_, counters, _| {
        at_least(&counters.read, 2) && at_least(&counters.ignored_samples, 4)
    })
    .await;
    let load = slot.load(Instant::now());
    assert_eq!((load.running, load.waiting, load.kv_used), (None, None, Some(0.5)));
    scrape(Manner::Missing, "vllm", |slot, counters, _| {
        assert!(!slot.is_failing(Instant::now()), "no metrics is not a failure");
        at_least(&counters.status, 5)
    })
    .await;
    scrape(Manner::Huge, "vllm", |slot, counters, _| {
        assert!(!slot.is_failing(Instant::now()));
        at_least(&counters.protocol, 1)
    })
    .await;
}

/// One silent endpoint does not delay the others, and endpoints that leave are no longer asked.
#[tokio::test]
async fn endpoints_do_not_wait_for_one_another() {
    let (good, bad) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (a, b) = (good.local_addr().unwrap(), bad.local_addr().unwrap());
    let pools = pools_of(&[(a, "vllm"), (b, "vllm")]);
    let (seen, unseen, counters) = (Seen::default(), Seen::default(), Arc::new(ScrapeCounters::default()));
    let script = async {
        while !(at_least(&counters.read, 20) && at_least(&counters.timeout, 1)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let name = v1::PoolName { namespace: "ns".into(), name: "a".into() };
        pools.apply(v1::WatchResponse { removed: vec![name], ..v1::WatchResponse::default() });
        tokio::time::sleep(Duration::from_millis(30)).await;
        let before = seen.requests.borrow().len();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(seen.requests.borrow().len(), before);
    };
    tokio::select! {
        () = run(pools.clone(), fast(IMPATIENT), Arc::clone(&counters)) => (),
        () = serve(good, Manner::Plain, &seen) => (),
        () = serve(bad, Manner::Silent, &unseen) => (),
        ended = tokio::time::timeout(Duration::from_secs(60), script) => ended.unwrap(),
    }
}
