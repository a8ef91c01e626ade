//! Model servers that misbehave: what they do hurts no request of others.

use std::time::Duration;

use integration_tests::{
    load::{Failure, Load, LoadRequest, Pace, Report},
    simulator::{Faults, faults::MetricsFault},
    stack::Stack,
};

const WHILE: Duration = Duration::from_secs(3);
/// Within this time a Pod whose fault has gone takes requests again. Until then, the next fault would meet none.
const RECOVERY: Duration = Duration::from_secs(30);

/// Asks both pools for a while, with a fault in `gemma3-1`; returns what came of the chatbot's requests, and
/// how many of them have met the fault. Those of the
/// recommender must all be good, and so must all be after the fault has gone.
async fn with_fault(stack: &Stack, faults: Faults) -> (Report, u64) {
    let pod = stack.fleet.pod("gemma3-1");
    let what = format!("{faults:?}");
    let before = pod.requests();
    pod.set_faults(faults);
    let load = |model: &str, pods: &str| {
        let request = LoadRequest::completion(model, "a", 3).from_pods(pods);
        let mut load = Load::of(&stack.client, request, Pace::Poisson { rate: 40.0, seed: 1 }, WHILE);
        load.deadline = Duration::from_secs(3);
        load
    };
    let (chatbot, recommender) =
        tokio::join!(load("chatbot", "gemma3-").run(), load("recommender", "deepseek-r1-").run());
    assert_eq!(recommender.failed(), 0, "another pool suffers from {what}: {recommender}");
    assert!(recommender.good > 60, "{recommender}");
    assert!(chatbot.good > 60, "with {what}, two of three Pods are sound: {chatbot}");
    let met = pod.requests() - before;
    pod.set_faults(Faults::default());
    stack
        .eventually("all is well again, and the Pod is picked again", RECOVERY, async || {
            let before = pod.requests();
            let report =
                Load { duration: Duration::from_millis(500), ..load("chatbot", "gemma3-") }.run().await;
            report.failed() == 0 && pod.requests() > before
        })
        .await
        .unwrap_or_else(|error| panic!("after {what}: {error:#}"));
    (chatbot, met)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_cannot_be_reached_costs_no_request() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    let (report, _) = with_fault(&stack, Faults { refuse: true, ..Faults::default() }).await;
    assert_eq!(report.failed(), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fails_hurts_its_own_requests_only() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    for (faults, expected) in [
        (Faults { status: Some(503), ..Faults::default() }, Failure::Status(503)),
        (Faults { reset: true, ..Faults::default() }, Failure::Status(502)),
        // The proxy may have sent the request by then, and does not replay what may have been begun.
        (Faults { reset_on_accept: true, ..Faults::default() }, Failure::Status(502)),
        (Faults { hang: true, ..Faults::default() }, Failure::Timeout),
        (Faults { delay_ms: 10_000, ..Faults::default() }, Failure::Timeout),
    ] {
        let (report, met) = with_fault(&stack, faults.clone()).await;
        for (failure, count) in &report.failures {
            assert_eq!(*failure, expected, "{count} times with {faults:?}: {report}");
        }
        assert!(met > 0, "no request has met {faults:?}: {report}");
        // Counted at the Pod: a busy machine alone makes no request meet the fault.
        let failed = report.failed();
        assert!(failed <= met, "{failed} fail, {met} have met {faults:?}: {report}");
        // A Pod that fails fast looks idle: it must not draw more than its fair share of requests.
        let share = met as f64 / report.sent as f64;
        assert!(share <= 0.4, "{share:.2} of all requests are sent to the Pod with {faults:?}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_are_wrong_cost_no_request() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    for metrics in [
        MetricsFault::Missing,
        MetricsFault::Nan,
        MetricsFault::Extreme,
        MetricsFault::Garbage,
        MetricsFault::Empty,
        MetricsFault::Frozen,
        MetricsFault::Error,
        MetricsFault::Huge,
        MetricsFault::Slow,
        MetricsFault::Hang,
    ] {
        let (report, _) = with_fault(&stack, Faults { metrics, ..Faults::default() }).await;
        assert_eq!(report.failed(), 0, "{metrics:?}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_end_at_once_and_alone() {
    let stack = Stack::guide().await.unwrap();
    let pod = stack.fleet.pod("gemma3-1");
    pod.set_faults(Faults { reset_after: Some(5), ..Faults::default() });
    let request = LoadRequest::stream("chatbot", "a", 20).from_pods("gemma3-");
    let load = Load::of(&stack.client, request, Pace::Poisson { rate: 10.0, seed: 2 }, WHILE);
    let report = load.run().await;
    for (failure, count) in &report.failures {
        assert_eq!(*failure, Failure::Truncated, "{count} times: {report}");
    }
    assert!(report.failed() > 0 && report.good > 0, "{report}");
    assert_eq!(report.by_pod.get("gemma3-1"), None, "a broken stream looks whole: {report}");
}
