//! Who may use whom: reads the paths of every source file and holds them against the table.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Module → modules of this crate that it may name.
const MAY_USE: &[(&str, &[&str])] = &[
    // The core: synchronous, no I/O. (`pool::source` and `scrape` are the edges that feed it.)
    ("accelerator", &[]),
    ("decisions", &["outcome", "picker", "pool"]),
    ("flow", &["accelerator", "metrics", "picker", "pool"]),
    ("outcome", &["accelerator", "picker", "pool", "prefix"]),
    ("picker", &["accelerator", "outcome", "pool", "prefix"]),
    ("pool", &["accelerator", "prefix", "tls"]),
    ("prefix", &[]),
    ("request", &["accelerator", "pool"]),
    // The core in virtual time; feeds pools as a control plane does.
    ("simulate", &["accelerator", "flow", "metrics", "outcome", "peers", "picker", "pool", "prefix"]),
    // Edges.
    ("scrape", &["accelerator", "pool"]),
    (
        "extproc",
        &[
            "accelerator",
            "decisions",
            "flow",
            "metrics",
            "outcome",
            "picker",
            "pool",
            "prefix",
            "request",
            "spans",
            "tls",
            "tokenizer",
        ],
    ),
    ("spans", &["decisions", "outcome", "request"]),
    ("tokenizer", &["request"]),
    ("events", &["pool", "prefix"]),
    ("peers", &["pool", "prefix", "tls"]),
    ("learned", &["accelerator", "pool"]),
    ("admin", &["decisions", "extproc", "pool"]),
    (
        "app",
        &[
            "admin",
            "cli",
            "config",
            "decisions",
            "events",
            "extproc",
            "learned",
            "metrics",
            "peers",
            "pool",
            "scrape",
            "spans",
            "tasks",
            "tls",
            "tokenizer",
        ],
    ),
    ("cli", &["config", "decisions", "flow", "pool", "simulate", "telemetry", "tokenizer"]),
    ("config", &["cli", "decisions", "extproc", "flow", "peers", "pool", "tls"]),
    ("metrics", &[]),
    ("tasks", &[]),
    ("telemetry", &["cli"]),
    ("tls", &[]),
];

/// Crates that only some modules may name.
const CRATES: &[(&str, &[&str])] = &[
    ("envoy_types", &["extproc"]),
    ("h2", &["extproc"]),
    ("tonic", &["peers", "pool", "tls"]),
    ("proto", &["peers", "pool", "simulate"]),
    ("axum", &["admin", "app"]),
    ("rmp_serde", &["events"]),
    ("tokenizers", &["tokenizer"]),
    ("opentelemetry", &["spans"]),
    ("opentelemetry_sdk", &["spans"]),
];

fn source_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let is_test = matches!(path.file_name().and_then(|n| n.to_str()), Some("tests" | "tests.rs"));
        if path.is_dir() && !is_test {
            source_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test {
            found.push(path);
        }
    }
}

/// The words that follow `prefix` where it stands as a path of its own.
fn named<'c>(code: &'c str, prefix: &str) -> Vec<&'c str> {
    let own = |at: usize| {
        !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
    };
    let word = |at: usize| {
        let rest = &code[at + prefix.len()..];
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
    };
    code.match_indices(prefix).filter(|(at, _)| own(*at)).map(|(at, _)| word(at)).collect()
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        let module = first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            wrong.push(format!("{}: module {module} is not in the table", path.display()));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code: String =
            code.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        assert!(!code.contains("crate::{"), "{}: name modules one by one", path.display());
        for used in named(&code, "crate::") {
            if table.contains_key(used) && used != module && !allowed.contains(&used) {
                wrong.push(format!("{}: {module} may not use {used}", path.display()));
            }
        }
        for (name, allowed) in CRATES {
            if !named(&code, &format!("{name}::")).is_empty() && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{}: {module} may not use the crate {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
