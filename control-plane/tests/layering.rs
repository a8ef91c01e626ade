//! Who may use whom: reads the `use` lines and inline paths of every source file and holds them against the table.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Module → modules of this crate that it may name. A module that is not listed fails the test, so that the table stays
/// whole.
const MAY_USE: &[(&str, &[&str])] = &[
    // The core: no edge is named here.
    ("api", &[]),
    ("world", &["api", "source::batch"]),
    ("kept", &[]),
    ("gateway", &["api", "kept", "world"]),
    ("translate", &["api", "gateway", "kept", "xds::core"]),
    ("xds", &["api", "identity", "tasks"]),
    ("pipeline", &["api", "world", "gateway", "translate", "xds::core", "pools", "source::batch"]),
    // Edges.
    ("identity", &["api", "tasks"]),
    ("source", &["api", "tasks"]),
    ("pools", &["api", "gateway", "identity", "replicas", "tasks", "world", "xds::core"]),
    ("replicas", &["api", "identity", "world", "xds"]),
    ("status", &["api", "gateway", "kept", "world"]),
    ("leader", &[]),
    ("infra", &["api", "gateway", "world", "translate", "tasks", "status", "source"]),
    (
        "cli",
        &[
            "api",
            "app",
            "config",
            "gateway",
            "infra",
            "pipeline",
            "world",
            "source",
            "status",
            "telemetry",
            "translate",
        ],
    ),
    ("admin", &[]),
    ("config", &[]),
    ("telemetry", &["config"]),
    ("process_metrics", &[]),
    ("tasks", &[]),
    (
        "app",
        &[
            "admin",
            "api",
            "cli",
            "config",
            "gateway",
            "identity",
            "infra",
            "leader",
            "pipeline",
            "pools",
            "process_metrics",
            "replicas",
            "source",
            "status",
            "tasks",
            "translate",
            "world",
            "xds",
        ],
    ),
];

/// Crates that only some modules may name.
const CRATES: &[(&str, &[&str])] = &[
    ("envoy_types", &["translate", "xds"]),
    ("tonic", &["identity", "xds", "pools", "replicas"]),
    ("kube", &["identity", "source", "status", "infra", "leader"]),
    ("rcgen", &["identity"]),
    // `gateway` checks that the keys of listeners fit their certificates.
    ("rustls", &["gateway", "identity"]),
    ("notify", &["source"]),
    ("nix", &["infra", "cli"]),
];

fn source_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
            found.push(path);
        }
    }
}

/// Tests may use what they like.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

/// The top-level module of a file, and its text without tests and comments.
fn read(root: &Path, path: &Path) -> (String, String) {
    let relative = path.strip_prefix(root).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    (first.trim_end_matches(".rs").to_owned(), code.join("\n"))
}

/// Modules named after `crate::`, alone or in a braced list.
fn used_modules(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(entries(list).into_iter().map(word)),
            None => drop(found.insert(word(rest))),
        }
    }
    found.retain(|word| word.chars().next().is_some_and(char::is_lowercase));
    found
}

/// The entries of a braced list, up to its closing brace; inner lists stay whole.
fn entries(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                found.push(&list[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Whether `name::` stands in the code as a word of its own (`unix::` does not name `nix`).
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
    })
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let known: BTreeSet<&str> = table.keys().copied().collect();
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let (module, code) = read(&root, &path);
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            wrong.push(format!("{}: module {module} is not in the table", path.display()));
            continue;
        };
        for used in used_modules(&code) {
            let permitted = used == module || allowed.iter().any(|a| a.split("::").next() == Some(&used));
            if known.contains(used.as_str()) && !permitted {
                wrong.push(format!("{}: {module} may not use {used}", path.display()));
            }
        }
        for (name, allowed) in CRATES {
            if names_crate(&code, name) && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{}: {module} may not use the crate {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_in_use_lines_are_found() {
    let code = "use crate::{\n    api::{A, B},\n    gateway::{self, ir::C},\n    world::World,\n};\nlet x = crate::tasks::TaskSet;";
    let found: Vec<_> = used_modules(code).into_iter().collect();
    assert_eq!(found, ["api", "gateway", "tasks", "world"]);
}
