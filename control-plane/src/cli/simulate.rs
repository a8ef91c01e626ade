//! `signalbox simulate`: what the endpoint picker would do with a trace. Runs `signalbox-picker simulate`, which gets the
//! pools of manifests as it gets those of a cluster: resolved, as the message of the tier API.
//!
//! ```text
//! --pool MANIFESTS ─▶ source (Deployments count as their Pods) ─▶ resolve ─▶ PoolSnapshots ─ stdin ─▶ picker
//! other arguments, and --pool with a pools file of the picker's own ─────────────────────────────────▶ picker
//! ```

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use prost::Message as _;
use proto::tier::v1::{EndpointState, PoolSnapshot, WatchResponse};

use super::offline::resolve;
use crate::{
    api::{Kind, NamespacedName, ObjectRef},
    app,
    source::{Diagnostic, Planned, load_planned},
};

/// Plays a trace against a model of a pool: times, goodput, cost and use of accelerators, for planning.
///
/// Reads Kubernetes manifests with `--pool PATH` (files and directories, also several) and passes its other arguments to
/// `signalbox-picker simulate`; `signalbox simulate --help` shows what that takes.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Simulate {
    /// Arguments of `signalbox-picker simulate`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
    /// The picker binary [default: `signalbox-picker` beside this binary, else on PATH].
    #[arg(long)]
    picker: Option<PathBuf>,
}

impl Simulate {
    /// Runs to the end of the picker, whose exit code it answers.
    ///
    /// # Errors
    /// What is wrong with the manifests, with file, line, object, field and remedy; when there is no picker, or it does not
    /// run.
    pub(super) fn run(self) -> Result<ExitCode> {
        let picker = app::picker_binary(self.picker)?;
        let mut command = Command::new(&picker);
        command.arg("simulate");
        let (manifests, others) = split(&self.arguments);
        if manifests.is_empty() {
            command.args(&self.arguments);
        } else {
            command.args(others).arg("--pool-from-stdin").stdin(Stdio::piped());
        }
        let message = match manifests.is_empty() {
            true => None,
            false => {
                let (pools, notes) = pools(&manifests)?;
                for note in notes {
                    writeln!(io::stderr(), "note: {note}")?;
                }
                Some(
                    WatchResponse { changed: pools, synced: true, ..WatchResponse::default() }
                        .encode_to_vec(),
                )
            }
        };
        let does_not_run = || format!("{} does not run", picker.display());
        let mut child = command.spawn().with_context(does_not_run)?;
        if let (Some(mut stdin), Some(message)) = (child.stdin.take(), message) {
            // One that refuses its other arguments does not read, and says why itself.
            let written = stdin.write_all(&message);
            drop(stdin);
            if let Err(error) = written.or_else(unless_broken) {
                return Err(error).context("telling the picker the pools");
            }
        }
        let status = child.wait().with_context(does_not_run)?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

fn unless_broken(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Paths of manifests that `--pool` names, and all other arguments.
fn split(arguments: &[OsString]) -> (Vec<PathBuf>, Vec<&OsString>) {
    let (mut paths, mut others) = (Vec::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let inline = argument.to_str().and_then(|text| text.strip_prefix("--pool="));
        let separate = if argument == "--pool" { rest.as_slice().first() } else { None };
        match inline.map(OsStr::new).or(separate.map(OsString::as_os_str)).map(PathBuf::from) {
            Some(path) if !is_pools_file(&path) => {
                paths.push(path);
                if separate.is_some() {
                    rest.next();
                }
            }
            _ => others.push(argument),
        }
    }
    (paths, others)
}

/// Whether this is the picker's own format: `pools` at the top, and no Kubernetes object.
fn is_pools_file(path: &PathBuf) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let document: Result<serde_json::Value, _> = serde_saphyr::from_str(&text);
    document.is_ok_and(|document| document.get("pools").is_some() && document.get("kind").is_none())
}

/// The pools of manifests, and what was assumed.
fn pools(paths: &[PathBuf]) -> Result<(Vec<PoolSnapshot>, Vec<String>)> {
    let refuse = |diagnostics: &[Diagnostic]| {
        let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the manifests have problems:\n{}", lines.join("\n"))
    };
    let planned = load_planned(paths).map_err(|diagnostics| refuse(&diagnostics))?;
    let Planned { batch, pools: places, mut notes } = planned;
    if places.is_empty() {
        bail!("--pool: there is no InferencePool in these manifests; give the file that has it");
    }
    let (_, output) = resolve(batch);
    let (mut pools, mut empty) = (Vec::new(), Vec::new());
    for (name, mut pool) in output.pools {
        pool.endpoints.retain(|endpoint| endpoint.state == i32::from(EndpointState::Ready));
        if pool.endpoints.is_empty() {
            empty.push(without_endpoints(&name, places.get(&name)));
        } else {
            notes.extend(unknown_accelerators(&name, &pool));
            pools.push(pool);
        }
    }
    if pools.is_empty() {
        return Err(refuse(&empty));
    }
    notes.extend(empty.iter().map(|diagnostic| format!("{diagnostic}; the pool is left out")));
    Ok((pools, notes))
}

fn without_endpoints(name: &NamespacedName, place: Option<&(String, u32)>) -> Diagnostic {
    Diagnostic {
        file: place.map(|(file, _)| file.clone()).unwrap_or_default(),
        line: place.map(|(_, line)| *line),
        object: Some(ObjectRef::new(Kind::InferencePool, name.clone())),
        field: Some("spec.selector.matchLabels".into()),
        message: format!("no Pod or Deployment of namespace {} has these labels and is Ready", name.namespace),
        remedy: "give their manifests to --pool too, in the pool's namespace and with these labels in the Pod template".into(),
        ..Diagnostic::default()
    }
}

/// Which Pods have an accelerator of which only the vendor is known, or none.
fn unknown_accelerators(name: &NamespacedName, pool: &PoolSnapshot) -> Option<String> {
    let unknown = pool.endpoints.iter().filter(|endpoint| {
        let class = endpoint.accelerator.as_ref().map_or("", |accelerator| accelerator.class.as_str());
        !class.contains('-')
    });
    let pods: BTreeSet<&str> = unknown.map(|endpoint| endpoint.pod.as_str()).collect();
    let first = pods.first()?;
    Some(format!(
        "InferencePool {name}: nothing tells which accelerator {} of its Pods have ({first}, …), so usual speeds are assumed; add \
         the annotation signalbox.dev/accelerator to the Pod template, a nodeSelector that names it, or the Nodes' manifests",
        pods.len()
    ))
}

#[cfg(test)]
mod tests;
