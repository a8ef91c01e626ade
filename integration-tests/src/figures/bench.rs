//! Figures that are defined by a criterion bench beside the code: run shortly, and read from criterion's files.
//!
//! table (figure ─ bench, criterion id) ─▶ `cargo bench --workspace --bench …` ─▶ `<id>/new/estimates.json` ─▶ median

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use super::{
    context::Context,
    figure::{Aim, Figure},
};

/// A figure and where it is defined.
struct Definition {
    name: &'static str,
    unit: &'static str,
    /// Nanoseconds of a unit.
    nanoseconds: f64,
    bench: &'static str,
    /// The bench's id in criterion.
    id: &'static str,
    aim: Option<Aim>,
    what: &'static str,
}

const MS: (&str, f64) = ("ms", 1e6);
const US: (&str, f64) = ("us", 1e3);

const fn define(
    name: &'static str,
    unit: (&'static str, f64),
    bench: &'static str,
    id: &'static str,
    what: &'static str,
) -> Definition {
    Definition { name, unit: unit.0, nanoseconds: unit.1, bench, id, aim: None, what }
}

const TRANSLATE: &str = "resolve and translate all HTTPRoutes from nothing";
const ROUTE: &str = "one of the HTTPRoutes changes";
const PICK: &str = "one pick";
const FANOUT_ID: &str = "streams: one of 10 route configurations to 1000, until acknowledged";

static DEFINITIONS: &[Definition] = &[
    define("translate_100_routes_ms", MS, "pipeline", "translate/100", TRANSLATE),
    define("translate_1000_routes_ms", MS, "pipeline", "translate/1000", TRANSLATE),
    define("translate_10000_routes_ms", MS, "pipeline", "translate/10000", TRANSLATE),
    define("route_change_10000_routes_ms", MS, "pipeline", "route_change/10000", ROUTE),
    define(
        "endpoint_change_ms",
        MS,
        "pipeline",
        "endpoint_change/100000",
        "one of 100,000 endpoints changes",
    ),
    define(
        "fanout_1000_streams_ms",
        MS,
        "fanout",
        FANOUT_ID,
        "one changed RouteConfiguration of 60 kB to 1,000 ADS streams, until all have acknowledged",
    ),
    define("pick_10_endpoints_us", US, "pick", "pick/all/10", PICK),
    Definition {
        aim: Some(Aim::AtMost(20.0)),
        ..define("pick_100_endpoints_us", US, "pick", "pick/all/100", PICK)
    },
    define("pick_1000_endpoints_us", US, "pick", "pick/all/1000", PICK),
];

/// The benches, one group of figures each.
pub(super) const PIPELINE: &[&str] = &[
    "translate_100_routes_ms",
    "translate_1000_routes_ms",
    "translate_10000_routes_ms",
    "route_change_10000_routes_ms",
    "endpoint_change_ms",
];
/// See [`PIPELINE`].
pub(super) const FANOUT: &[&str] = &["fanout_1000_streams_ms"];
/// See [`PIPELINE`].
pub(super) const PICKS: &[&str] =
    &["pick_10_endpoints_us", "pick_100_endpoints_us", "pick_1000_endpoints_us"];

/// Building and running one bench; the build is most of it.
const DEADLINE: Duration = Duration::from_secs(900);
const SETTINGS: [&str; 7] =
    ["--warm-up-time", "1", "--measurement-time", "3", "--sample-size", "10", "--noplot"];

/// Runs the bench that defines these figures, and reads them.
///
/// # Errors
/// When the bench does not build, fails, or does not measure one of its ids.
pub(super) async fn measure(context: &Context, names: &[&str]) -> Result<Vec<Figure>> {
    let wanted: Vec<_> = DEFINITIONS.iter().filter(|definition| names.contains(&definition.name)).collect();
    let bench = wanted.first().context("a figure without definition")?.bench;
    let home = context.directory(&format!("criterion-{bench}"))?;
    run(bench, &wanted, &home).await?;
    let measured = Measured::below(&home)?;
    wanted
        .into_iter()
        .map(|definition| {
            let median = measured.median(definition.id)?;
            let how = format!(
                "{}: median of criterion's `{}` in bench `{bench}`, short settings",
                definition.what, definition.id
            );
            let value = median / definition.nanoseconds;
            let figure = Figure::new(definition.name, value, definition.unit, how);
            Ok(Figure { aim: definition.aim, ..figure })
        })
        .collect()
}

async fn run(bench: &str, wanted: &[&Definition], home: &Path) -> Result<()> {
    let ids: Vec<_> = wanted.iter().map(|definition| definition.id).collect();
    let filter = format!("^({})$", ids.join("|"));
    let mut command = Command::new("cargo");
    // With `--package` the features of dependencies would differ from those of the build before: all built anew.
    command.args(["bench", "--quiet", "--workspace", "--bench", bench, "--"]).args(SETTINGS).arg(filter);
    command.current_dir(Context::workspace()).env("CRITERION_HOME", home);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.context("the bench takes too long")??;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = errors.lines().filter(|line| !line.trim().is_empty()).collect();
        bail!("cargo bench --bench {bench} failed: {}", lines[lines.len().saturating_sub(6)..].join(" | "));
    }
    Ok(())
}

/// What criterion has written.
struct Measured(Vec<(String, PathBuf)>);

impl Measured {
    /// Finds all `new` directories below criterion's home.
    fn below(home: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Benchmark {
            full_id: String,
        }
        let (mut found, mut open) = (Vec::new(), vec![home.to_owned()]);
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir)? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else if path.ends_with("new/benchmark.json") {
                    let benchmark: Benchmark = serde_json::from_slice(&fs::read(&path)?)?;
                    found.push((benchmark.full_id, dir.clone()));
                }
            }
        }
        Ok(Self(found))
    }

    /// The median of a bench in nanoseconds.
    fn median(&self, id: &str) -> Result<f64> {
        #[derive(Deserialize)]
        struct Estimates {
            median: Estimate,
        }
        #[derive(Deserialize)]
        struct Estimate {
            point_estimate: f64,
        }
        let known: Vec<_> = self.0.iter().map(|(id, _)| id.as_str()).collect();
        let found = self.0.iter().find(|(found, _)| found == id);
        let (_, dir) = found.with_context(|| format!("no bench `{id}` ran; those that did: {known:?}"))?;
        let estimates: Estimates = serde_json::from_slice(&fs::read(dir.join("estimates.json"))?)?;
        ensure!(estimates.median.point_estimate > 0.0, "a bench took no time");
        Ok(estimates.median.point_estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_defined_once_and_each_group_by_one_bench() {
        for (names, bench) in [(PIPELINE, "pipeline"), (FANOUT, "fanout"), (PICKS, "pick")] {
            for name in names {
                let found: Vec<_> =
                    DEFINITIONS.iter().filter(|definition| definition.name == *name).collect();
                assert_eq!(found.len(), 1, "{name}");
                assert_eq!(found[0].bench, bench, "{name}");
            }
        }
        assert_eq!(DEFINITIONS.len(), PIPELINE.len() + FANOUT.len() + PICKS.len());
    }

    #[test]
    fn estimates_are_found_by_id() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("translate/10000/new");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("benchmark.json"), r#"{"full_id": "translate/10000", "group_id": "translate"}"#)
            .unwrap();
        let estimates = r#"{"mean": {"point_estimate": 9.0}, "median": {"point_estimate": 2000000.0}}"#;
        fs::write(dir.join("estimates.json"), estimates).unwrap();
        let measured = Measured::below(home.path()).unwrap();
        assert_eq!(measured.median("translate/10000").unwrap(), 2e6);
        let error = measured.median("translate/9").unwrap_err().to_string();
        assert!(error.contains("translate/10000"), "{error}");
    }
}
