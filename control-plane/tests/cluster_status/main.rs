//! Statuses and leadership against a real API server, the one that KUBECONFIG names; without KUBECONFIG there is
//! nothing to do. The CRDs of Gateway API v1.6 and of InferencePool v1 have to be installed.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![expect(clippy::print_stderr, reason = "says why it does nothing, and what was measured")]

mod bed;
mod replica;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use control_plane::{
    api::{Kind, NamespacedName},
    config::CONTROLLER_NAME,
    gateway::Options,
    leader,
    pipeline::Pipeline,
    source::{AnyObject, Batch},
    status::{
        ClassFacts, Facts, Inputs, Plan, Planner,
        cluster::{Metrics, writer},
    },
    tasks::TaskSet,
    translate,
    world::World,
};
use kube::{Client, api::DeleteParams, config::Config};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use self::{bed::Bed, replica::Replica};

const PATIENCE: Duration = Duration::from_secs(30);

/// The statuses of all objects, with a Gateway whose fleet is reached at `address`.
fn plan(world: &World, address: &str) -> Plan {
    let mut pipeline = Pipeline::new(Options::new(CONTROLLER_NAME), translate::Settings::default());
    let objects = |kind: Kind| -> Vec<AnyObject> {
        match kind {
            Kind::GatewayClass => world.gateway_classes.values().cloned().map(Into::into).collect(),
            Kind::Gateway => world.gateways.values().cloned().map(Into::into).collect(),
            Kind::HTTPRoute => world.http_routes.values().cloned().map(Into::into).collect(),
            _ => world.pools.values().cloned().map(Into::into).collect(),
        }
    };
    let kinds = [Kind::GatewayClass, Kind::Gateway, Kind::HTTPRoute, Kind::InferencePool];
    pipeline.apply(&Batch::replace_all(kinds.into_iter().flat_map(objects).collect()));
    let facts =
        Facts { addresses: vec![address.into()], connected: 1, acknowledged: true, ..Facts::default() };
    let cluster = ClassFacts {
        bundle_versions: BTreeMap::from([("gateways".into(), Some("v1.6.3".into()))]),
        ..ClassFacts::default()
    };
    let inputs = Inputs {
        controller: CONTROLLER_NAME,
        classes: pipeline.classes(),
        cluster: Some(&cluster),
        pickers: &BTreeMap::new(),
    };
    let gateways = pipeline.gateways().map(|(name, reports, _)| (name, reports, facts.clone()));
    Planner::default().plan(inputs, gateways)
}

fn shown(status: &Value) -> String {
    let parents = status["parents"].as_array().unwrap();
    let one = |p: &Value| {
        let condition = &p["conditions"][0];
        format!(
            "{} {} {}",
            p["controllerName"].as_str().unwrap(),
            p["parentRef"]["name"].as_str().unwrap(),
            condition["status"].as_str().unwrap()
        )
    };
    parents.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_are_written_by_the_leader_only_and_only_where_they_differ() {
    let Some(bed) = Bed::new("status").await else { return };
    let mut first = Replica::start(&bed, "first");
    first.leads().await;
    let mut second = Replica::start(&bed, "second");

    // Everything is written once, by the leader.
    let world = bed.world().await;
    let wanted = plan(&world, "192.0.2.1");
    for replica in [&first, &second] {
        replica.writer.set(wanted.clone(), world.clone());
    }
    let started = Instant::now();
    first.has_written([1, 1, 2, 1]).await;
    eprintln!("5 statuses were written in {:?}", started.elapsed());
    let class = bed.status(Kind::GatewayClass, &bed.name).await;
    assert_eq!(class["conditions"].as_array().unwrap().len(), 2);
    assert!(class["supportedFeatures"].as_array().unwrap().len() > 20);
    let gateway = bed.object(Kind::Gateway, "gw").await;
    let status = &gateway.data["status"];
    assert_eq!(status["addresses"], json!([{ "type": "IPAddress", "value": "192.0.2.1" }]));
    assert_eq!(status["listeners"][0]["attachedRoutes"], 2);
    for condition in status["conditions"].as_array().unwrap() {
        assert_eq!(condition["status"], "True", "{condition}");
        assert_eq!(condition["observedGeneration"].as_i64(), gateway.metadata.generation);
    }
    let ours = format!("{CONTROLLER_NAME} gw True");
    assert_eq!(shown(&bed.status(Kind::HTTPRoute, "kept").await), ours);
    assert_eq!(shown(&bed.status(Kind::InferencePool, "llm").await), ours);

    // What was written comes back and is not written again; another address is one write.
    let world = bed.world().await;
    first.writer.set(plan(&world, "192.0.2.1"), world.clone());
    first.writer.set(plan(&world, "192.0.2.2"), world.clone());
    first.has_written([1, 2, 2, 1]).await;

    // Somebody else writes where this replica has not seen it: their entry stays.
    bed.write_as_other("kept").await;
    let mut edited = plan(&world, "192.0.2.2");
    let kept = edited.iter_mut().find(|(object, _)| object.key.name == "kept").unwrap();
    Arc::make_mut(kept.1)["parents"][0]["conditions"][0]["message"] = json!("something else");
    first.writer.set(edited, world.clone());
    first.has_written([1, 2, 3, 1]).await;
    assert_eq!(first.metrics.conflicts(), 1);
    let both = format!("example.com/other elsewhere False, {ours}");
    let status = bed.status(Kind::HTTPRoute, "kept").await;
    assert_eq!(shown(&status), both);
    assert_eq!(status["parents"][1]["conditions"][0]["message"], "something else");

    // The Gateway goes: entries of ours do, theirs stay.
    bed.of(Kind::Gateway).delete("gw", &DeleteParams::default()).await.unwrap();
    let world = bed.world().await;
    let wanted = plan(&world, "192.0.2.2");
    assert!(!wanted.keys().any(|object| object.key == NamespacedName::new(&bed.name, "gw")));
    first.writer.set(wanted.clone(), world);
    first.has_written([1, 2, 5, 2]).await;
    assert_eq!(shown(&bed.status(Kind::HTTPRoute, "kept").await), "example.com/other elsewhere False");
    assert_eq!(bed.status(Kind::HTTPRoute, "pruned").await["parents"], json!([]));
    assert_eq!(bed.status(Kind::InferencePool, "llm").await["parents"], json!([]));

    // The other replica takes over at once. It writes nothing of what is there, and what differs.
    assert_eq!(second.written(), [0; 4]);
    let world = bed.world().await;
    second.writer.set(wanted.clone(), world.clone());
    let started = Instant::now();
    first.candidate.shutdown();
    second.leads().await;
    eprintln!("the other replica led after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "a Lease that is given up is taken at once");
    assert!(!*first.leads.borrow());
    let mut edited = wanted;
    let class = edited.iter_mut().find(|(object, _)| object.key.name == bed.name).unwrap();
    Arc::make_mut(class.1)["conditions"][0]["message"] = json!("something else");
    for replica in [&first, &second] {
        replica.writer.set(edited.clone(), world.clone());
    }
    second.has_written([1, 0, 0, 0]).await;
    assert_eq!((first.written(), second.metrics.conflicts()), ([1, 2, 5, 2], 0));

    for tasks in [&first.tasks, &second.candidate, &second.tasks] {
        tasks.shutdown();
        tasks.wait(PATIENCE).await.unwrap();
    }
    bed.remove().await;
}

/// A counter of the writer, as it is scraped.
fn counted(metrics: &Metrics, line: &str) -> bool {
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text.lines().any(|found| found.starts_with(line))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_does_not_hold_up_the_rest() {
    let Some(bed) = Bed::new("rbac").await else { return };
    let group = "rbac.authorization.k8s.io";
    let rule = json!({ "apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes/status"], "verbs": ["patch"] });
    bed.apply(group, "v1", "ClusterRole", &bed.name, json!({ "rules": [rule] })).await;
    let binding = json!({
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": bed.name },
        "subjects": [{ "apiGroup": group, "kind": "User", "name": bed.name }],
    });
    bed.apply(group, "v1", "ClusterRoleBinding", &bed.name, binding).await;

    let mut config = Config::infer().await.unwrap();
    config.auth_info.impersonate = Some(bed.name.clone());
    let client = Client::try_from(config).unwrap();
    let (_leader, leads) = watch::channel(true);
    let (tasks, metrics) = (TaskSet::default(), Metrics::default());
    let (writer, task) = writer(client, CONTROLLER_NAME, leads, metrics.clone());
    tasks.spawn("status", task.run(tasks.token().clone()));
    let world = bed.world().await;
    writer.set(plan(&world, "192.0.2.1"), world);
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    // Three objects are refused, and tried again.
    let refused = "signalbox_status_errors_total{reason=\"Forbidden\"} ";
    while metrics.writes(Kind::HTTPRoute) < 2
        || !(6..=9).any(|count| counted(&metrics, &format!("{refused}{count}")))
    {
        assert!(started.elapsed() < PATIENCE);
        tick.tick().await;
    }
    assert_eq!(metrics.writes(Kind::Gateway), 0);
    assert_eq!(bed.status(Kind::HTTPRoute, "kept").await["parents"].as_array().unwrap().len(), 1);
    tasks.shutdown();
    tasks.wait(PATIENCE).await.unwrap();
    for kind in ["ClusterRoleBinding", "ClusterRole"] {
        bed.api(group, "v1", kind).delete(&bed.name, &DeleteParams::default()).await.unwrap();
    }
    bed.remove().await;
}

/// Passes connections on to the API server, until it goes silent.
async fn passage(tasks: &TaskSet, to: String, silent: watch::Receiver<bool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = tasks.clone();
    tasks.spawn_brief("passage", async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (to, mut silent) = (to.clone(), silent.clone());
            connections.spawn_brief("connection", async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let hushed = async move { drop(silent.wait_for(|silent| *silent).await.unwrap()) };
                tokio::select! {
                    biased;
                    // Both ends stay open.
                    () = hushed => std::future::pending().await,
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_stops_when_the_api_server_goes_silent_and_before_another_leads() {
    let Some(bed) = Bed::new("silent").await else { return };
    let (tasks, connections) = (TaskSet::default(), TaskSet::default());
    let (hush, silent) = watch::channel(false);
    let mut config = Config::infer().await.unwrap();
    let host = config.cluster_url.host().unwrap().to_owned();
    let server = format!("{host}:{}", config.cluster_url.port_u16().unwrap_or(443));
    // What the certificate names.
    config.tls_server_name.get_or_insert(host);
    let port = passage(&connections, server, silent).await;
    config.cluster_url = format!("https://127.0.0.1:{port}").parse().unwrap();
    let client = Client::try_from(config).unwrap();
    let (candidate, mut first) = leader::candidate(client, &bed.name, "first");
    tasks.spawn("first", candidate.run(tasks.token().clone()));
    tokio::time::timeout(PATIENCE, first.wait_for(|leads| *leads)).await.unwrap().unwrap();
    let (candidate, mut second) = leader::candidate(bed.client.clone(), &bed.name, "second");
    tasks.spawn("second", candidate.run(tasks.token().clone()));

    hush.send_replace(true);
    let started = Instant::now();
    tokio::time::timeout(PATIENCE, first.wait_for(|leads| !*leads)).await.unwrap().unwrap();
    eprintln!("the leader stopped after {:?}", started.elapsed());
    assert!(!*second.borrow(), "two lead at once");
    tokio::time::timeout(PATIENCE, second.wait_for(|leads| *leads)).await.unwrap().unwrap();
    eprintln!("the other one led after {:?}", started.elapsed());
    assert!(!*first.borrow());

    tasks.shutdown();
    tasks.wait(PATIENCE).await.unwrap();
    bed.remove().await;
}
