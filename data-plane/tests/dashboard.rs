//! Every metric and label that the dashboard of the pickers asks for is on `/metrics`.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_plane::app::show;
use data_plane::extproc::lane::{Lanes, Policy};
use data_plane::flow::Settings;
use data_plane::metrics::{Asks, Ended, Metrics};
use data_plane::pool::{Pools, Reading};
use proto::tier::v1;
use serde_json::Value;

/// `/metrics` of a picker in which everything that is counted has happened once.
fn metrics() -> String {
    let now = Instant::now();
    let pools = Pools::new(now);
    let endpoint = v1::Endpoint {
        address: "10.0.0.1".to_owned(),
        port: 8000,
        state: v1::EndpointState::Ready.into(),
        ..Default::default()
    };
    let pool = v1::PoolSnapshot {
        name: Some(v1::PoolName { namespace: "ns".to_owned(), name: "a".to_owned() }),
        endpoints: vec![endpoint],
        ..Default::default()
    };
    pools.apply(v1::WatchResponse { changed: vec![pool], synced: true, ..Default::default() });
    let reading = Reading { running: Some(1), waiting: Some(1), kv_usage: Some(0.5), ..Reading::default() };
    pools.only().unwrap().snapshot().endpoints[0].slot.store(reading, now);
    let policy = Policy {
        body_limit: 1,
        decision_deadline: Duration::from_secs(1),
        read_answers: 0.0,
        fairness_header: None,
        admission: Settings::default(),
    };
    let lanes = Lanes::new(pools, policy, Arc::new(Metrics::new()));
    show(&lanes, &Arc::default());
    let (_, lane) = lanes.of(None).unwrap();
    lane.metrics.picked.inc();
    lane.metrics.refused("full");
    lane.metrics.decision.observe(1e-3);
    let asks = Asks { model: "m", target: "m", priority: 0 };
    lane.models.refused(asks, "full", 429, |_| true);
    let picks = lane.models.picks(asks, "nvidia-l4", |_| true);
    picks.picked(10, 5);
    picks.cached(5, 4);
    picks.first_token(Duration::from_millis(10), Duration::from_millis(12));
    picks.failed(500);
    picks.ended(Duration::from_secs(1));
    let flow = lanes.metrics.flow("ns/a");
    flow.ended(0, Ended::Dispatched, "", Duration::from_millis(5));
    flow.observe(0.5, &[(0, 1, 100)]);
    lanes.metrics.encode()
}

/// Names and labels of the samples of `text`.
fn samples(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut samples: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap();
        let labels = line[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(l, _)| l);
        let names =
            labels.into_iter().flat_map(|labels| labels.split(',')).filter_map(|l| l.split('=').next());
        samples.entry(&line[..end]).or_default().extend(names.filter(|name| !name.is_empty()));
    }
    samples
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Metrics that an expression names.
fn named(expression: &str) -> BTreeSet<&str> {
    expression.split(|c| !is_name(c)).filter(|word| word.starts_with("signalbox_picker_")).collect()
}

/// Labels that an expression groups by, or selects.
fn labels(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, end) in [("by (", ')'), ("by(", ')'), ("{", '}')] {
        for after in expression.split(start).skip(1) {
            let inside = after.split(end).next().unwrap();
            let label = |part: &str| part.trim().chars().take_while(|c| is_name(*c)).collect::<String>();
            found.extend(inside.split(',').map(label).filter(|label| !label.is_empty()));
        }
    }
    found
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let text = metrics();
    let samples = samples(&text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/signalbox/dashboards/pickers.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let metrics = named(expression);
            assert!(!metrics.is_empty(), "{expression} names no metric");
            for metric in metrics {
                let there = samples.get(metric).unwrap_or_else(|| panic!("{metric} of {expression}\n{text}"));
                for label in labels(expression) {
                    assert!(there.contains(&*label), "{metric} has no label {label}: {expression}");
                    asked += 1;
                }
            }
            let legend = target["legendFormat"].as_str().unwrap();
            for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
                assert!(labels(expression).contains(label), "{legend} shows what {expression} drops");
            }
        }
    }
    assert!(asked > 20, "{asked}");
}

#[test]
fn names_of_other_pickers_are_there_and_no_sample_twice() {
    let text = metrics();
    for line in [
        r#"llm_d_epp_request_total{model_name="m",target_model_name="m",priority="0"} 2"#,
        r#"inference_objective_request_error_total{model_name="m",target_model_name="m",priority="0",error_code="429"} 1"#,
        r#"llm_d_epp_request_ttft_seconds_count{model_name="m",target_model_name="m",priority="0"} 1"#,
        r#"inference_pool_average_queue_size{name="a",namespace="ns"} 1.0"#,
        r#"inference_pool_ready_pods{name="a",namespace="ns"} 1"#,
        r#"llm_d_epp_per_endpoint_queue_size{name="a",namespace="ns",model_server_endpoint="10.0.0.1:8000"} 1"#,
        r#"inference_extension_scheduler_e2e_duration_seconds_count{pool="ns/a"} 1"#,
        r#"signalbox_picker_scrapes_total{result="timeout"} 0"#,
        r#"signalbox_picker_endpoints{pool="ns/a",accelerator="",state="fresh"} 1"#,
        r#"signalbox_picker_decisions_recorded_total{why="sampled"} 0"#,
        r#"signalbox_picker_model_requests_total{pool="ns/a",model="m",priority="0",outcome="refused",reason="full"} 1"#,
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
    }
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "{series} twice");
    }
    let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(
        types.len(),
        types.iter().collect::<BTreeSet<_>>().len(),
        "a family is described twice: {types:?}"
    );
}
