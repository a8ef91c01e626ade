//! Manifests in; the objects that should exist in the cluster out. `UPDATE=1 cargo test --test cluster_desired`
//! rewrites `cluster_infra_cases/NAME.out.yaml`.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{collections::BTreeMap, env, fs, path::Path};

use control_plane::{
    config::CONTROLLER_NAME,
    gateway::Options,
    infra::cluster::{
        Action, Desired, Fleet, HostPort, INFRASTRUCTURE_LABEL, IdentityConfig, InfraConfig, Manifest,
        Observed, Owner, desired, plan,
    },
    source::FileSource,
    world::World,
};
use serde_json::{Value, json};

fn config(identity: bool) -> InfraConfig {
    InfraConfig {
        installation: "signalbox-system".to_owned(),
        envoy_image: "envoyproxy/envoy:distroless-v1.40.0".to_owned(),
        picker_image: "signalbox-picker:test".to_owned(),
        ads: HostPort { host: "signalbox.signalbox-system.svc".to_owned(), port: 18000 },
        tier_api: HostPort { host: "signalbox.signalbox-system.svc".to_owned(), port: 18001 },
        endpoint_removal_seconds: 10,
        identity: identity.then(|| IdentityConfig {
            server_name: "signalbox.signalbox-system.svc".to_owned(),
            gateway_secret: |gateway| format!("{}-identity", gateway.name),
            picker_secret: |service| format!("{}-identity", service.name),
            picker_args: vec!["--identity-dir=/etc/signalbox/identity".to_owned()],
        }),
    }
}

fn world(case: &str) -> World {
    let input =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cluster_infra_cases/{case}.in.yaml"));
    let loaded = FileSource::load(&input).unwrap();
    World::default().apply(&loaded.batch).0
}

fn desired_of(case: &str, identity: bool) -> Desired {
    desired(&world(case), &Options::new(CONTROLLER_NAME), &config(identity))
}

fn objects(desired: &Desired) -> impl Iterator<Item = (&Owner, &Manifest)> {
    desired.fleets.iter().flat_map(|(owner, fleet)| {
        let objects = match fleet {
            Fleet::Managed(managed) => managed.objects.as_slice(),
            _ => &[],
        };
        objects.iter().map(move |object| (owner, object))
    })
}

fn shown(fleet: &Fleet) -> Value {
    match fleet {
        Fleet::External(asked) => json!({ "external": asked }),
        Fleet::Held(why) => json!({ "held": why }),
        Fleet::Managed(managed) => {
            let objects: BTreeMap<_, _> =
                managed.objects.iter().map(|m| (m.to_string(), m.object.clone())).collect();
            json!({ "objects": objects, "reach": managed.reach, "asked": managed.asked })
        }
    }
}

fn compare(case: &str) {
    let desired = desired_of(case, true);
    let fleets: BTreeMap<_, _> =
        desired.fleets.iter().map(|(owner, fleet)| (owner.to_string(), shown(fleet))).collect();
    let expected = serde_saphyr::to_string(&serde_json::to_value(fleets).unwrap()).unwrap();
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cluster_infra_cases/{case}.out.yaml"));
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        held == expected,
        "{case} differs: run UPDATE=1 cargo test --test cluster_desired and look at the difference"
    );
}

#[test]
fn the_guide() {
    compare("guide");
}

#[test]
fn pools_share_a_picker() {
    compare("shared-picker");
}

#[test]
fn all_parameters() {
    compare("parameters");
}

#[test]
fn everything_is_labelled_owned_and_named_briefly() {
    for (case, identity) in [("guide", true), ("guide", false), ("parameters", true)] {
        let desired = desired_of(case, identity);
        assert!(objects(&desired).count() >= 6);
        for (owner, manifest) in objects(&desired) {
            let meta = &manifest.object["metadata"];
            let name = meta["name"].as_str().unwrap();
            assert!(name.len() <= 63, "{manifest}");
            assert_eq!(meta["labels"][INFRASTRUCTURE_LABEL], owner.word(), "{manifest}");
            assert_eq!(meta["labels"]["app.kubernetes.io/managed-by"], "signalbox", "{manifest}");
            assert_eq!(meta["namespace"], owner.key().namespace.as_str(), "{manifest}");
            assert!(!meta["ownerReferences"][0]["uid"].is_null(), "{manifest}");
            if let Owner::Gateway(gateway) = owner {
                let label = &meta["labels"]["gateway.networking.k8s.io/gateway-name"];
                assert_eq!(label, gateway.name.as_str(), "{manifest}");
            }
            for label in meta["labels"].as_object().unwrap().values() {
                assert!(label.as_str().unwrap().len() <= 63, "{manifest}");
            }
        }
    }
}

#[test]
fn infrastructure_labels_reach_pods_and_objects() {
    let desired = desired_of("parameters", true);
    for (owner, manifest) in objects(&desired) {
        if matches!(owner, Owner::Gateway(_)) {
            let object = &manifest.object;
            let template = &object["spec"]["template"]["metadata"];
            for meta in [&object["metadata"], template].into_iter().filter(|meta| !meta.is_null()) {
                assert_eq!(meta["labels"]["cost-centre"], "42", "{manifest}");
                assert_eq!(meta["annotations"]["example.com/contact"], "edge-team", "{manifest}");
                assert_eq!(meta["labels"]["app.kubernetes.io/managed-by"], "signalbox", "{manifest}");
            }
        }
    }
}

/// The observed objects as the server would have them, with what it adds.
fn served(desired: &Desired) -> Observed {
    let mut observed = Observed::default();
    for (_, manifest) in objects(desired) {
        let mut object = manifest.object.clone();
        object["metadata"]["uid"] = json!("u");
        object["metadata"]["resourceVersion"] = json!("5");
        observed.put(manifest.key.0, object);
    }
    observed
}

#[test]
fn only_what_differs_is_done() {
    let whole = desired_of("guide", true);
    assert_eq!(plan(&whole, &Observed::default()).values().map(Vec::len).sum::<usize>(), 10);
    let mut observed = served(&whole);
    assert_eq!(plan(&whole, &observed), BTreeMap::new());
    // Somebody scales by hand; older news do not count.
    let (_, deployment) = objects(&whole).find(|(_, m)| m.to_string().contains("Deployment")).unwrap();
    let mut scaled = deployment.object.clone();
    scaled["spec"]["replicas"] = json!(7);
    scaled["metadata"]["resourceVersion"] = json!("4");
    observed.put(deployment.key.0, scaled.clone());
    assert_eq!(plan(&whole, &observed), BTreeMap::new());
    scaled["metadata"]["resourceVersion"] = json!("6");
    observed.put(deployment.key.0, scaled.clone());
    let actions: Vec<_> = plan(&whole, &observed).into_values().flatten().collect();
    assert_eq!(actions, [Action::Apply(deployment.clone())]);
    // A server that words our field in another way is asked once.
    scaled["metadata"]["resourceVersion"] = json!("7");
    observed.applied(deployment, scaled);
    assert_eq!(plan(&whole, &observed), BTreeMap::new());
}

#[test]
fn what_is_not_wanted_goes_unless_it_is_held() {
    let whole = desired_of("guide", true);
    let observed = served(&whole);
    let count = |desired: &Desired| plan(desired, &observed).values().map(Vec::len).sum::<usize>();
    let none = Desired { installation: whole.installation.clone(), ..Desired::default() };
    assert_eq!(count(&none), 10);
    assert_eq!(count(&Desired::default()), 0, "another installation made it");
    let mut held = whole;
    for fleet in held.fleets.values_mut() {
        *fleet = Fleet::Held("a mistake".to_owned());
    }
    assert_eq!(count(&held), 0);
    for fleet in held.fleets.values_mut() {
        *fleet = Fleet::External(Vec::new());
    }
    assert_eq!(count(&held), 10);
}

#[test]
fn only_pods_wait() {
    let mut whole = desired_of("shared-picker", true);
    for fleet in whole.fleets.values_mut() {
        let Fleet::Managed(managed) = fleet else { continue };
        managed.waits_for = Some("a certificate".to_owned());
    }
    let kinds = |observed: &Observed| -> Vec<String> {
        let actions = plan(&whole, observed).into_values().flatten();
        actions.map(|action| format!("{action:?}")).collect()
    };
    let first = kinds(&Observed::default());
    assert!(!first.is_empty() && first.iter().all(|action| !action.contains("\"Deployment\"")), "{first:?}");
    // What runs is neither changed nor deleted.
    let mut observed = served(&whole);
    for (_, manifest) in objects(&whole).filter(|(_, m)| m.to_string().contains("Deployment")) {
        let mut older = manifest.object.clone();
        older["spec"]["replicas"] = json!(7);
        older["metadata"]["resourceVersion"] = json!("9");
        observed.put(manifest.key.0, older);
    }
    assert_eq!(kinds(&observed), [""; 0]);
}
