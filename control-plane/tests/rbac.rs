//! What the chart allows is what the code asks for: no more, no less.
//!
//! `deploy/kustomize/signalbox.yaml` is the chart with its default values; that it is up to date, and what other values
//! allow, is looked at where helm is found: on PATH, or among the test cluster's binaries.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use control_plane::{identity, infra, leader, source, status};
use serde_json::Value;

/// API group, resource, verb.
type Right = (String, String, String);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn right(group: &str, resource: &str, verb: &str) -> Right {
    (group.to_owned(), resource.to_owned(), verb.to_owned())
}

fn rights<'a>(group: &'a str, resource: &'a str, verbs: &'a [&str]) -> impl Iterator<Item = Right> {
    verbs.iter().map(move |verb| right(group, resource, verb))
}

/// What the code asks for in the whole cluster.
fn asked(statuses: bool) -> BTreeSet<Right> {
    let mut asked = BTreeSet::new();
    for rule in source::cluster::rbac_rules() {
        asked.extend(rights(rule.group, rule.resource, rule.verbs));
    }
    for (group, resource, verbs) in infra::cluster::rights() {
        asked.extend(rights(group, resource, verbs));
    }
    let (group, resource, verbs) = identity::secrets::RIGHTS;
    asked.extend(rights(group, resource, verbs));
    if statuses {
        asked.extend(status::cluster::rights().map(|(group, resource, verb)| right(group, &resource, verb)));
    }
    asked
}

/// What objects of a kind in a manifest allow.
fn allowed(manifest: &str, kind: &str) -> BTreeSet<Right> {
    let mut allowed = BTreeSet::new();
    for document in manifest.split("\n---") {
        let object: Value = serde_saphyr::from_str(document).unwrap();
        if object["kind"] != kind {
            continue;
        }
        let list = |rule: &Value, name: &str| -> Vec<String> {
            rule[name].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
        };
        for rule in object["rules"].as_array().unwrap() {
            assert!(rule.get("resourceNames").is_none() && rule.get("nonResourceURLs").is_none(), "{rule}");
            for group in list(rule, "apiGroups") {
                for resource in list(rule, "resources") {
                    allowed.extend(list(rule, "verbs").iter().map(|verb| right(&group, &resource, verb)));
                }
            }
        }
    }
    allowed
}

#[track_caller]
fn same(asked: &BTreeSet<Right>, allowed: &BTreeSet<Right>) {
    let missing: Vec<_> = asked.difference(allowed).collect();
    let needless: Vec<_> = allowed.difference(asked).collect();
    assert!(missing.is_empty() && needless.is_empty(), "missing: {missing:#?}, needless: {needless:#?}");
}

fn same_as_asked(manifest: &str, statuses: bool) {
    same(&asked(statuses), &allowed(manifest, "ClusterRole"));
    let (group, resource, verbs) = leader::RIGHTS;
    same(&rights(group, resource, verbs).collect(), &allowed(manifest, "Role"));
}

/// PATH with helm on it, if there is one.
fn path_with_helm() -> Option<String> {
    let path = env::var("PATH").unwrap_or_default();
    let cache = env::var_os("CACHE").map(PathBuf::from).or_else(|| {
        let user = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        Some(
            user.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?
                .join("signalbox/cluster"),
        )
    });
    let modules = cache.and_then(|cache| fs::read_dir(cache.join("modules")).ok());
    let built = modules.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut directories = env::split_paths(&path).chain(built);
    let found = directories.find(|directory| directory.join("helm").is_file())?;
    Some(format!("{path}:{}", found.display()))
}

#[test]
fn the_rendered_manifests_allow_what_the_code_asks_for() {
    let manifest = fs::read_to_string(root().join("deploy/kustomize/signalbox.yaml")).unwrap();
    same_as_asked(&manifest, true);
}

#[test]
fn the_chart_is_what_is_rendered() {
    let Some(path) = path_with_helm() else {
        eprintln!(
            "SKIPPED the_chart_is_what_is_rendered: no helm on PATH, nor among the test cluster's binaries"
        );
        return;
    };
    let check = Command::new(root().join("deploy/kustomize/render.sh"))
        .arg("--check")
        .env("PATH", &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "run deploy/kustomize/render.sh:\n{text}");

    let mut pools_only = Command::new("helm");
    pools_only.args(["template", "signalbox", "deploy/helm/signalbox", "--set", "poolsOnly=true"]);
    let rendered = pools_only.current_dir(root()).env("PATH", &path).output().unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    same_as_asked(&String::from_utf8(rendered.stdout).unwrap(), false);
}
