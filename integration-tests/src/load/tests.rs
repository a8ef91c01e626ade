use std::net::SocketAddr;

use super::*;
use crate::{
    loopback::Block,
    simulator::{Faults, Fleet, config::parse_pod},
};

async fn server(settings: &str) -> (Fleet, Client) {
    let address = SocketAddr::new(Block::claim().gateway(), 8000);
    let config = parse_pod(&format!("name=p0,listen={address},model=m,{settings}")).expect("a Pod");
    (Fleet::start([config]).await.expect("a free address"), Client::new(address))
}

fn load(client: &Client, pace: Pace, millis: u64) -> Load {
    let requests = vec![LoadRequest::completion("m", "a b c", 3), LoadRequest::stream("m", "d e f", 5)];
    Load {
        client: client.clone(),
        requests,
        pace,
        duration: Duration::from_millis(millis),
        deadline: DEADLINE,
    }
}

#[tokio::test]
async fn closed_and_open_loops() {
    let (fleet, client) = server("itl-base-ms=2").await;
    let report = load(&client, Pace::Closed { clients: 4 }, 300).run().await;
    assert!(report.good >= 20 && report.failed() == 0 && report.sent == report.good, "{report}");
    assert_eq!(report.by_pod, BTreeMap::from([("p0".into(), report.good)]));
    assert_eq!(report.good, fleet.pod("p0").requests());
    assert!(report.first_token.count() > 0 && report.first_token.quantile(0.5) < report.latency.max());

    for pace in [Pace::Constant { rate: 200.0 }, Pace::Poisson { rate: 200.0, seed: 1 }] {
        let report = load(&client, pace, 500).run().await;
        assert!((60..=140).contains(&report.good), "{report}");
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    let (fleet, client) = server("").await;
    let pod = fleet.pod("p0");
    let body = r#"{"model":"m","prompt":"a","max_tokens":5,"stream":true}"#;
    let kinds = [
        (LoadRequest::completion("other", "a", 1), Failure::Status(404)),
        (LoadRequest::completion("m", "a", 1).header("x-sim-fault", "status=503"), Failure::Status(503)),
        (LoadRequest::completion("m", "a", 1).header("x-sim-fault", "reset"), Failure::Reset),
        (
            LoadRequest::post("/v1/completions", body).header("x-sim-fault", "reset-after=2"),
            Failure::Truncated,
        ),
        (LoadRequest::completion("m", "a", 1).from_pods("gemma"), Failure::Content),
    ];
    for (request, expected) in kinds {
        let (failure, text) = request.send(&client, DEADLINE).await.expect_err("a fault");
        assert_eq!(failure, expected, "{text}");
    }
    pod.set_faults(Faults { refuse: true, ..Faults::default() });
    let refused = async {
        loop {
            let fresh = Client::new(client.address());
            if let Err((failure, _)) = LoadRequest::completion("m", "a", 1).send(&fresh, DEADLINE).await {
                return failure;
            }
        }
    };
    let failure = tokio::time::timeout(Duration::from_secs(5), refused).await.expect("it refuses soon");
    assert!(matches!(failure, Failure::Connect | Failure::Reset), "{failure}");
}

#[tokio::test]
async fn a_running_load_is_stopped() {
    let (_fleet, client) = server("").await;
    let running = load(&client, Pace::Closed { clients: 1 }, 60_000).start();
    running.more(10, Duration::from_secs(10)).await.expect("ten answers");
    let report = running.stop().await;
    assert!(report.good >= 10 && report.failed() == 0, "{report}");
}
