//! `signalbox translate`: shows the Envoy configuration that manifests become.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::output::print;
use crate::{config::CONTROLLER_NAME, gateway, pipeline::Pipeline, source::FileSource, translate};

/// Prints the Envoy configuration (xDS) of each Gateway in a directory of manifests.
#[derive(Debug, Args)]
pub(super) struct Translate {
    /// Directory of manifests.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only this Gateway, as NAMESPACE/NAME.
    #[arg(long)]
    gateway: Option<String>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

impl Translate {
    /// Prints the configuration.
    ///
    /// # Errors
    /// When the manifests have problems, or the Gateway that was asked for is not there.
    pub(super) fn run(self) -> Result<ExitCode> {
        let loaded = match FileSource::load(&self.dir) {
            Ok(loaded) => loaded,
            Err(diagnostics) => {
                let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
                bail!("the manifests have problems:\n{}", lines.join("\n"));
            }
        };
        let mut pipeline =
            Pipeline::new(gateway::Options::new(CONTROLLER_NAME), translate::Settings::default());
        let output = pipeline.apply(&loaded.batch);
        let mut documents = Map::new();
        for (name, snapshot) in &output.snapshots {
            if self.gateway.as_ref().is_none_or(|wanted| *wanted == name.to_string()) {
                documents.insert(name.to_string(), translate::view(snapshot));
            }
        }
        if documents.is_empty() {
            bail!(
                "no Gateway of ours here{}: `signalbox check` says why",
                self.gateway.map(|g| format!(" named {g}")).unwrap_or_default()
            );
        }
        let document = Value::Object(documents);
        let text = match self.output {
            Format::Yaml => serde_saphyr::to_string(&document)?,
            Format::Json => serde_json::to_string_pretty(&document)? + "\n",
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
