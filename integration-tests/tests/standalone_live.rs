//! Changes while requests run: no request may notice.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::StatusCode;
use integration_tests::{
    client::Client,
    load::{Failure, Load, LoadRequest, Pace, Running},
    simulator::{Fleet, PodConfig},
    stack::{Example, Stack, children_of, manifests},
};
use nix::sys::signal::Signal;
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

fn background(stack: &Stack, requests: Vec<LoadRequest>, rate: f64) -> Running {
    let pace = Pace::Constant { rate };
    let mut load = Load::of(&stack.client, requests[0].clone(), pace, Duration::from_secs(300));
    load.requests = requests;
    load.start()
}

fn both_models() -> Vec<LoadRequest> {
    vec![LoadRequest::completion("chatbot", "a", 3), LoadRequest::stream("recommender", "b", 10)]
}

/// The pool that answers a model at present.
async fn pool_of(stack: &Stack, model: &str) -> String {
    let body = json!({"model": model, "prompt": "a"}).to_string();
    let reply =
        stack.client.post("/v1/completions", body, &[("x-echo", "1")]).await.expect("the Gateway answers");
    reply.pod().rsplit_once('-').map_or_else(String::new, |(pool, _)| pool.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn route_edits_and_swapped_pools_lose_no_request() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    // Any Pod answers an echo, whatever its model is called.
    let echo = |model: &str| {
        LoadRequest::post("/v1/completions", json!({"model": model}).to_string()).header("x-echo", "1")
    };
    let load = background(&stack, vec![echo("chatbot"), echo("recommender")], 100.0);
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        let swapped = round % 2 == 0;
        let route = stack.manifests.read("routes-to-llms.yaml").unwrap();
        let text =
            route.replace("name: gemma3", "name: swapped").replace("name: deepseek-r1", "name: gemma3");
        stack
            .manifests
            .write("routes-to-llms.yaml", &text.replace("name: swapped", "name: deepseek-r1"))
            .unwrap();
        let (since, expected) = (Instant::now(), if swapped { "deepseek-r1" } else { "gemma3" });
        stack
            .eventually("the chatbot's pool is the other one", SOON, async || {
                pool_of(&stack, "chatbot").await == expected
            })
            .await
            .unwrap();
        slowest = slowest.max(since.elapsed());
    }
    for round in 0..10 {
        let model = format!("extra-{round}");
        let route = manifests::model_route(&model, &model, &[("gemma3", 1)]);
        stack.manifests.write("extra.yaml", &route).unwrap();
        stack
            .eventually("the added model answers", SOON, async || pool_of(&stack, &model).await == "gemma3")
            .await
            .unwrap();
    }
    stack.manifests.remove("extra.yaml").unwrap();
    stack
        .eventually("the model is gone", SOON, async || pool_of(&stack, "extra-9").await.is_empty())
        .await
        .unwrap();
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    assert!(report.good > 100, "{report}");
    assert!(slowest < Duration::from_secs(2), "a change took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_from_3_to_30_and_back_loses_no_request() {
    let example = Example::relocated().unwrap();
    let (block, template) = (example.block, example.pods[0].clone());
    let fast = example.pods.into_iter().map(|pod| PodConfig { speed: 20.0, ..pod });
    let fleet = Fleet::start(fast).await.unwrap();
    let stack = Stack::start(example.manifests, fleet).await.unwrap();
    let load =
        background(&stack, vec![LoadRequest::completion("chatbot", "a", 3).from_pods("gemma3-")], 100.0);

    let name = |number: u8| format!("gemma3-{number}");
    for number in 3..30 {
        let listen = SocketAddr::new(block.address(100 + number), 8000);
        let pod = PodConfig { name: name(number), listen: vec![listen], speed: 20.0, ..template.clone() };
        stack.fleet.add(pod).await.unwrap();
        let manifest = manifests::pod(&name(number), "gemma3", "l4-node", listen.ip());
        stack.manifests.write(&format!("pod-{number}.yaml"), &manifest).unwrap();
    }
    stack
        .eventually("every new Pod is picked", SOON, async || {
            (3..30).all(|number| stack.fleet.pod(&name(number)).requests() > 0)
        })
        .await
        .unwrap();
    for number in 3..30 {
        stack.manifests.remove(&format!("pod-{number}.yaml")).unwrap();
    }
    let served = || -> u64 { (3..30).map(|number| stack.fleet.pod(&name(number)).requests()).sum() };
    let mut quiet = (served(), Instant::now());
    stack
        .eventually("no removed Pod is picked for half a second", SOON, async || {
            if served() != quiet.0 {
                quiet = (served(), Instant::now());
            }
            quiet.1.elapsed() > Duration::from_millis(500)
        })
        .await
        .unwrap();
    for number in 3..30 {
        assert!(stack.fleet.remove(&name(number)).await);
    }
    load.more(100, SOON).await.unwrap();
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    assert_eq!(report.by_pod.len(), 30, "{:?}", report.by_pod);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_pods_says_so_and_recovers() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    let pods = stack.manifests.read("pods.yaml").unwrap();
    stack.manifests.write("pods.yaml", &pods.replace("app: gemma3", "app: elsewhere")).unwrap();
    stack
        .eventually("the pool is empty", SOON, async || {
            stack.client.completion("chatbot", "a").await.unwrap().status == StatusCode::SERVICE_UNAVAILABLE
        })
        .await
        .unwrap();
    let reply = stack.client.completion("chatbot", "a").await.unwrap();
    let (message, code) = reply.openai_error();
    assert_eq!(code, "no_endpoints", "{message}");
    assert_ne!(reply.header("retry-after"), "", "{message}");
    assert_eq!(stack.client.completion("recommender", "a").await.unwrap().status, StatusCode::OK);
    stack.manifests.write("pods.yaml", &pods).unwrap();
    stack
        .eventually("the pool answers", SOON, async || {
            stack.client.completion("chatbot", "a").await.unwrap().status == StatusCode::OK
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_picker_costs_no_request_when_pools_fail_open() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    let load = background(&stack, both_models(), 60.0);
    load.more(60, SOON).await.unwrap();
    for _ in 0..3 {
        let before = stack.kill_child("signalbox-picke").unwrap();
        stack
            .eventually("another picker runs", SOON, async || {
                stack.child("signalbox-picke").is_ok_and(|pid| pid != before)
            })
            .await
            .unwrap();
        load.more(120, SOON).await.unwrap();
    }
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    let (code, text) = stack.signalbox_status().await.unwrap();
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_picker_is_named_when_pools_fail_closed() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    stack.manifests.replace("pools.yaml", "failureMode: FailOpen", "failureMode: FailClose").unwrap();
    stack.client.completion("chatbot", "a").await.unwrap();
    let mut refused = None;
    stack.kill_child("signalbox-picke").unwrap();
    let until = Instant::now() + SOON;
    while refused.is_none() && Instant::now() < until {
        let reply = stack.client.completion("chatbot", "a").await.unwrap();
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            refused = Some(reply.openai_error().1);
        } else if stack.child("signalbox-picke").is_ok() {
            stack.kill_child("signalbox-picke").unwrap();
        }
    }
    assert_eq!(refused.as_deref(), Some("endpoint_picker_unavailable"));
    stack
        .eventually("requests are answered again", SOON, async || {
            stack.client.completion("chatbot", "a").await.unwrap().status == StatusCode::OK
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_control_plane_leaves_nothing_and_starts_again() {
    let mut stack = Stack::guide_at(20.0).await.unwrap();
    let before = children_of(stack.process().pid());
    assert!(before.len() >= 2, "Envoy and the picker: {before:?}");
    let load = background(&stack, both_models(), 60.0);
    load.more(60, SOON).await.unwrap();
    stack.crash_and_restart().await.unwrap();
    load.more(120, SOON).await.unwrap();
    let report = load.stop().await;
    // Envoy ends with its parent: in between there is nobody to answer, but never a wrong or half answer to a whole one.
    for (failure, count) in &report.failures {
        let expected =
            matches!(failure, Failure::Connect | Failure::Reset | Failure::Truncated | Failure::Status(503));
        assert!(expected, "{count} × {failure}: {report}");
    }
    let after = background(&stack, both_models(), 60.0);
    after.more(120, SOON).await.unwrap();
    let report = after.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    for (pid, name) in before {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(!stat.contains(&format!("({name})")) || stat.contains(") Z"), "{name} {pid} is left over");
    }
    let (code, text) = stack.signalbox_status().await.unwrap();
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_envoy_is_restarted() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    let before = stack.kill_child("envoy").unwrap();
    stack
        .eventually("another Envoy answers", SOON, async || {
            stack.child("envoy").is_ok_and(|pid| pid != before)
                && stack
                    .client
                    .completion("chatbot", "a")
                    .await
                    .is_ok_and(|reply| reply.status == StatusCode::OK)
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn termination_lets_streams_end() {
    let mut stack = Stack::guide().await.unwrap();
    let ask = json!({"model": "chatbot", "prompt": "a", "max_tokens": 40, "stream": true});
    let mut events = stack.client.stream("/v1/completions", &ask, &[]).await.unwrap();
    events.next().await.unwrap().unwrap();
    let children = children_of(stack.process().pid());
    stack.process().signal(Signal::SIGTERM).unwrap();
    let events = events.collect().await.unwrap();
    assert_eq!(events.last().unwrap().data, "[DONE]");
    assert!(stack.process().wait(SOON).await.unwrap().success());
    for (pid, name) in children {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{name} is left over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_manifest_is_named_and_changes_nothing() {
    let mut stack = Stack::guide_at(20.0).await.unwrap();
    let load = background(&stack, both_models(), 60.0);
    let gateway = stack.manifests.read("gateway.yaml").unwrap();
    let line = gateway.lines().position(|line| line.trim_start().starts_with("port:")).unwrap() + 1;
    let port = gateway.lines().nth(line - 1).unwrap();
    for (bad, words) in [
        (
            gateway.replace(port, "    port: eighty"),
            vec![format!("gateway.yaml:{line}"), "spec.listeners[0].port".into()],
        ),
        (gateway.replace(port, "    port: [1"), vec!["gateway.yaml:".into()]),
        (gateway.replace(port, "    port: 99999"), vec![format!("gateway.yaml:{line}"), "port".into()]),
    ] {
        let from = stack.process().lines();
        stack.manifests.write("gateway.yaml", &bad).unwrap();
        // A good change beside a bad one waits for it: all or nothing.
        stack
            .manifests
            .write("late.yaml", &manifests::model_route("late", "late", &[("gemma3", 1)]))
            .unwrap();
        stack.process().wait_for(&words[0], from, SOON).await.unwrap();
        let mut told = String::new();
        stack
            .eventually("the status tells it", SOON, async || {
                let (code, text) = stack.signalbox_status().await.unwrap();
                told = text;
                code == 2 && words.iter().all(|word| told.contains(word.as_str()))
            })
            .await
            .unwrap_or_else(|error| panic!("{words:?} are not all in:\n{told}\n{error:#}"));
        assert_eq!(pool_of(&stack, "late").await, "", "a part of a refused change is in force");
        stack.manifests.write("gateway.yaml", &gateway).unwrap();
        stack
            .eventually("the rest is in force", SOON, async || pool_of(&stack, "late").await == "gemma3")
            .await
            .unwrap();
        stack.manifests.remove("late.yaml").unwrap();
        stack
            .eventually("it is gone", SOON, async || pool_of(&stack, "late").await.is_empty())
            .await
            .unwrap();
    }
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    let (code, text) = stack.signalbox_status().await.unwrap();
    assert_eq!(code, 0, "{text}");
}

/// Very many hostnames are served in parts, few in one piece: the change between the two is Envoy's largest.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_gets_and_loses_very_many_hosts_loses_no_request() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    let echo = |n: usize| {
        let body = json!({"model": format!("team-{n}")}).to_string();
        LoadRequest::post("/v1/completions", body).header("x-echo", "1").header("host", &host_of(n))
    };
    let is_served = async |n: usize| {
        let (body, host) = (json!({"model": format!("team-{n}")}).to_string(), host_of(n));
        let headers = [("x-echo", "1"), ("host", &*host)];
        let reply = stack.client.post("/v1/completions", body, &headers).await;
        reply.expect("the Gateway answers").status == StatusCode::OK
    };
    // Beside the first of the many: the guide's routes, which are for any host.
    let requests = || both_models().into_iter().chain([echo(0)]).collect();
    let mut load = None;
    for (round, many) in [10, 400, 10, 300, 1].into_iter().enumerate() {
        let routes = (0..many).map(team).collect::<Vec<_>>().join("---\n");
        stack.manifests.write("teams.yaml", &routes).unwrap();
        stack
            .eventually("as many are served", SOON, async || {
                is_served(many - 1).await && !is_served(many).await
            })
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error:#}"));
        load.get_or_insert_with(|| background(&stack, requests(), 60.0));
    }
    let report = load.expect("started").stop().await;
    assert_eq!(report.failed(), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sockets_may_have_very_many_hosts() {
    let stack = Stack::guide_at(20.0).await.unwrap();
    let routes: Vec<_> = (0..300).map(team).collect();
    stack.manifests.write("teams.yaml", &routes.join("---\n")).unwrap();
    let answers = async |client: &Client, n: usize| {
        let (body, host) = (json!({"model": format!("team-{n}")}).to_string(), host_of(n));
        let reply = client.post("/v1/completions", body, &[("x-echo", "1"), ("host", &*host)]).await;
        reply.is_ok_and(|reply| reply.status == StatusCode::OK)
    };
    stack.eventually("the first is split", SOON, async || answers(&stack.client, 299).await).await.unwrap();
    let gateway = stack.manifests.read("gateway.yaml").unwrap();
    let second = "  listeners:\n  - name: second\n    protocol: HTTP\n    port: 8081\n";
    stack.manifests.write("gateway.yaml", &gateway.replace("  listeners:\n", second)).unwrap();
    let other = Client::new(SocketAddr::new(stack.address().ip(), 8081));
    stack
        .eventually("the second has them all too", SOON, async || {
            answers(&other, 0).await && answers(&other, 299).await
        })
        .await
        .unwrap();
    assert!(answers(&stack.client, 0).await && answers(&stack.client, 299).await);
}

fn team(n: usize) -> String {
    let route = manifests::model_route(&format!("team-{n}"), &format!("team-{n}"), &[("gemma3", 1)]);
    route.replace("  rules:\n", &format!("  hostnames: [team-{n}.example.com]\n  rules:\n"))
}

fn host_of(team: usize) -> String {
    format!("team-{team}.example.com")
}
