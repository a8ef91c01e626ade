//! Manifests in; status, reports' problems and xDS out. `UPDATE=1 cargo test --test golden` rewrites the files.
//!
//! `cases/NAME.in.yaml` → `cases/NAME.out.yaml`. Every xDS document is what `signalbox translate` prints.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use control_plane::{
    cli::{problems, resolve},
    config::CONTROLLER_NAME,
    source::FileSource,
    status::{self, Facts, Inputs},
    translate,
};
use serde_json::{Map, Value, json};

fn cases() -> BTreeSet<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.to_string_lossy().ends_with(".in.yaml")).collect()
}

/// What becomes of one file of manifests when an Envoy of every Gateway has acknowledged.
fn outcome(input: &Path) -> Value {
    let loaded = match FileSource::load(input) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            let root = input.parent().unwrap().display().to_string();
            let lines: Vec<_> =
                diagnostics.iter().map(|d| d.to_string().replace(&format!("{root}/"), "")).collect();
            return json!({ "refused": lines });
        }
    };
    let (pipeline, output) = resolve(loaded.batch);
    let facts =
        Facts { addresses: vec!["192.0.2.1".into()], connected: 1, acknowledged: true, ..Facts::default() };
    let gateways = pipeline.gateways().map(|(name, reports, _)| (name, reports, facts.clone()));
    let inputs = Inputs {
        controller: CONTROLLER_NAME,
        classes: pipeline.classes(),
        cluster: None,
        pickers: &BTreeMap::new(),
    };
    let plan = status::Planner::default().plan(inputs, gateways);
    let statuses: Map<String, Value> =
        plan.into_iter().map(|(object, status)| (object.to_string(), Value::clone(&status))).collect();
    let xds: Map<String, Value> = output
        .snapshots
        .iter()
        .map(|(name, snapshot)| (name.to_string(), translate::view(snapshot)))
        .collect();
    let pools: BTreeMap<String, Value> =
        output.pools.iter().map(|(name, snapshot)| (name.to_string(), json!(pool_lines(snapshot)))).collect();
    json!({ "status": statuses, "problems": problems(&pipeline), "pools": pools, "xds": xds })
}

/// One line for each endpoint, objective and rewrite.
fn pool_lines(snapshot: &proto::tier::v1::PoolSnapshot) -> Vec<String> {
    let endpoints = snapshot.endpoints.iter().map(|e| {
        let accelerator = e.accelerator.clone().unwrap_or_default();
        format!(
            "endpoint {}:{} {} rank {} engine {:?} accelerator {:?} × {}",
            e.address,
            e.port,
            e.state().as_str_name(),
            e.rank,
            e.engine,
            accelerator.class,
            accelerator.count
        )
    });
    let objectives = snapshot
        .objectives
        .iter()
        .map(|o| format!("objective {} priority {} models {:?}", o.name, o.priority, o.models));
    let rewrites = snapshot.rewrites.iter().map(|r| {
        let targets: Vec<_> = r.targets.iter().map(|t| format!("{}={}", t.model, t.weight)).collect();
        format!("rewrite {:?} → {} (from {})", r.models, targets.join(" "), r.source)
    });
    endpoints.chain(objectives).chain(rewrites).collect()
}

#[test]
fn every_case_becomes_what_is_written() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(!cases.is_empty(), "there are no cases");
    for input in cases {
        let text = serde_saphyr::to_string(&outcome(&input)).unwrap();
        let expected = PathBuf::from(input.to_string_lossy().replace(".in.yaml", ".out.yaml"));
        if env::var_os("UPDATE").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(expected.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "these differ (UPDATE=1 rewrites them):\n{}", wrong.join("\n"));
}

#[test]
fn the_order_of_objects_does_not_matter() {
    for input in cases() {
        let text = fs::read_to_string(&input).unwrap();
        let mut documents: Vec<&str> = text.split("\n---\n").collect();
        documents.reverse();
        let dir = tempfile::tempdir().unwrap();
        let reversed = dir.path().join(input.file_name().unwrap());
        fs::write(&reversed, documents.join("\n---\n")).unwrap();
        let (straight, reversed) = (outcome(&input), outcome(&reversed));
        if straight.get("refused").is_none() {
            assert_eq!(straight, reversed, "{}", input.display());
        }
    }
}
