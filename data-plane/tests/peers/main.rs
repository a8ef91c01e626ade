//! Two pickers of one pool, as processes: what goes through one of them is known to the other.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

#[cfg(test)]
mod picker;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use nix::sys::signal::Signal;
use picker::{Authority, Picker, until};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Model servers that have nothing to do.
async fn model_servers(count: usize) -> (JoinSet<()>, Vec<SocketAddr>) {
    let (mut tasks, mut addresses) = (JoinSet::new(), Vec::new());
    for _ in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap());
        let page = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0\n";
        let router = Router::new().route("/metrics", get(move || async move { page }));
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    }
    (tasks, addresses)
}

/// Requests that the peers of `picker` have at `endpoint`.
async fn of_peers(picker: &Picker, endpoint: &str) -> u64 {
    let pools = picker.get("/debug/pools").await;
    let endpoints = pools["pools"][0]["endpoints"].as_array().expect("one pool").clone();
    let found = endpoints.iter().find(|one| one["address"] == endpoint).expect("the endpoint is there");
    found["inFlightOfPeers"].as_u64().expect("a number")
}

async fn hears(picker: &Picker, peers: u32) {
    until(&format!("{peers} peers"), async || {
        picker.metric("signalbox_picker_peers_connected").await == Some(peers.into())
    })
    .await;
}

async fn two_agree(secure: bool) {
    let (_servers, endpoints) = model_servers(2).await;
    let authority = secure.then(Authority::new);
    let listen = [picker::free(), picker::free()];
    let start = |at: usize| Picker::start(&listen, at, &endpoints, authority.as_ref());
    let (one, other) = (start(0), start(1));
    // Both are told both addresses, their own included.
    hears(&one, 1).await;
    hears(&other, 1).await;

    // A request in flight through one of them is seen by the other, at the same endpoint.
    let prompt = "All happy families are alike. ".repeat(400);
    let held = one.ask("first", &prompt).await;
    until("the request is known", async || of_peers(&other, &held.endpoint).await == 1).await;

    // The other knows who holds the prompt, and that the endpoint is busy.
    let second = other.ask("second", &prompt).await;
    let explained = other.get("/explain/second").await;
    let seen = explained["decisions"][0]["endpoints"].as_array().expect("recorded").clone();
    let found = seen.iter().find(|one| one["address"] == held.endpoint.as_str()).expect("all endpoints");
    assert_eq!(found["load"]["peers"], 1, "{found}");
    assert!(found["cachedTokens"].as_u64().unwrap() > 1_000, "{found}");
    drop(second);

    // One that is silent counts nothing, and counts again when it goes on.
    one.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    until("nothing is counted", async || of_peers(&other, &held.endpoint).await == 0).await;
    let took = begun.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(3)).contains(&took), "after {took:?}");
    one.signal(Signal::SIGCONT);
    until("it is counted", async || of_peers(&other, &held.endpoint).await == 1).await;

    // One that is gone counts nothing at once.
    let begun = Instant::now();
    drop(one);
    until("nothing is left", async || of_peers(&other, &held.endpoint).await == 0).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "after {:?}", begun.elapsed());
    hears(&other, 0).await;

    // Another process at its place begins anew.
    let again = start(0);
    hears(&other, 1).await;
    hears(&again, 1).await;
    // It is told what the other knows from before.
    let blocks = "signalbox_picker_peer_blocks_total{direction=\"heard\"}";
    until("blocks", async || again.metric(blocks).await.is_some_and(|blocks| blocks > 0.0)).await;
    let held = again.ask("third", &prompt).await;
    let explained = again.get("/explain/third").await;
    let seen = explained["decisions"][0]["endpoints"].as_array().expect("recorded").clone();
    assert!(seen.iter().any(|one| one["cachedTokens"].as_u64() > Some(1_000)), "{explained}");
    until("it is heard", async || of_peers(&other, &held.endpoint).await == 1).await;
    drop(held);
    until("the request ended", async || {
        let mut left = 0;
        for endpoint in &endpoints {
            left += of_peers(&other, &endpoint.to_string()).await;
        }
        left == 0
    })
    .await;
}

#[tokio::test]
async fn what_goes_through_one_picker_is_known_to_the_other() {
    two_agree(false).await;
}

#[tokio::test]
async fn the_same_with_certificates() {
    two_agree(true).await;
}

#[tokio::test]
async fn strangers_hear_nothing() {
    let (_servers, endpoints) = model_servers(1).await;
    let authority = Authority::new();
    let listen = [picker::free()];
    let picker = Picker::start(&listen, 0, &endpoints, Some(&authority));
    picker.ready().await;
    let pool = "spiffe://signalbox.dev/ns/ns/pool/pool";
    let other = Authority::new();
    for (who, directory, asked, told) in [
        ("a picker of the pool", authority.leaf(&[pool]), "ns/pool", Ok(())),
        (
            "one of another pool",
            authority.leaf(&["spiffe://signalbox.dev/ns/ns/pool/q"]),
            "ns/pool",
            Err("is asked for"),
        ),
        (
            "an Envoy",
            authority.leaf(&["spiffe://signalbox.dev/ns/ns/gateway/g"]),
            "ns/pool",
            Err("no picker's"),
        ),
        ("somebody else's", other.leaf(&[pool]), "ns/pool", Err("")),
    ] {
        let heard = authority.follow(&directory, listen[0], asked).await;
        match (heard, told) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(words)) if error.contains(words) => {}
            (heard, _) => panic!("{who}: {heard:?}"),
        }
    }
}
