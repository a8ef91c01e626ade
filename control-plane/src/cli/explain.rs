//! `signalbox explain`: why a request went to its endpoint, or to none.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::output::print;
use crate::{
    infra::picker_admin::{Answer, ask_cluster, ask_local},
    source::cluster::ClusterConfig,
    status::decisions,
};

/// Shows what the pickers decided on a request, and why: every endpoint with its verdict and its expected seconds.
///
/// The id is the request's header `x-request-id`; answers and access logs have it, too. Without one, the newest decisions
/// are listed. Pickers keep some decisions only: all refusals, all requests with the header `x-signalbox-explain: true`
/// where that is allowed (`--explain-header` of the picker, or the annotation `signalbox.dev/explain-header: record` of
/// the InferencePool), and ten others a second.
///
/// The picker of `signalbox standalone` in this directory is asked; the managed pickers of the cluster that kubectl would
/// speak to, when none runs here.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The request's `x-request-id`.
    request: Option<String>,
    /// The directory that `signalbox standalone` was given [default: .].
    #[arg(long, conflicts_with = "cluster")]
    dir: Option<PathBuf>,
    /// Its run directory [default: DIR/.signalbox].
    #[arg(long, conflicts_with = "cluster")]
    run_dir: Option<PathBuf>,
    /// Ask the cluster's pickers, also when `signalbox standalone` runs here.
    #[arg(long)]
    cluster: bool,
    /// Only pickers of this namespace of the cluster.
    #[arg(long, short, conflicts_with_all = ["dir", "run_dir"])]
    namespace: Option<String>,
    /// List decisions of this pool only, as NAMESPACE/NAME.
    #[arg(long, conflicts_with = "request")]
    pool: Option<String>,
    /// How many decisions to list.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

impl Explain {
    /// Prints decisions.
    ///
    /// # Errors
    /// When no picker can be asked, or none has the decision; the error says how to have it recorded.
    pub(super) fn run(self) -> Result<ExitCode> {
        let path = match &self.request {
            Some(request) => format!("/explain/{}", encode(request)),
            None => {
                let pool = self.pool.as_ref().map(|pool| format!("&pool={}", encode(pool)));
                format!("/explain?limit={}{}", self.limit, pool.unwrap_or_default())
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answers = runtime.block_on(self.ask(&path))?;
        let (mut found, problems) = gather(answers);
        if self.request.is_some() && found.is_empty() {
            bail!("{}", problems.join("\n"));
        }
        found.sort_by(|a, b| time(b).total_cmp(&time(a)));
        if self.request.is_none() {
            found.truncate(self.limit);
        }
        let text = match self.output {
            Format::Json => serde_json::to_string_pretty(&json!({ "decisions": found }))? + "\n",
            Format::Yaml => serde_saphyr::to_string(&json!({ "decisions": found }))?,
            Format::Table if self.request.is_some() => found.iter().map(decisions::explain).collect(),
            Format::Table => decisions::list(&found, &problems),
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self, path: &str) -> Result<Vec<Answer>> {
        let dir = self.dir.as_deref().unwrap_or(Path::new("."));
        let run_dir = self.run_dir.clone().unwrap_or_else(|| dir.join(".signalbox"));
        let local = self.dir.is_some() || self.run_dir.is_some() || run_dir.join("overview.json").exists();
        if local && !self.cluster && self.namespace.is_none() {
            return Ok(vec![ask_local(&run_dir, path).await?]);
        }
        let client = ClusterConfig::default().connect().await?;
        ask_cluster(&client, self.namespace.as_deref(), path).await
    }
}

/// The decisions of all answers, each with the picker that made it; and what there is to say of the others, once each.
fn gather(answers: Vec<Answer>) -> (Vec<Value>, Vec<String>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let several = answers.len() > 1;
    for Answer { picker, answer } in answers {
        match answer {
            Ok((status, mut document)) if status.is_success() => {
                let decisions = document["decisions"].as_array_mut().map(std::mem::take).unwrap_or_default();
                found.extend(decisions.into_iter().map(|mut decision| {
                    decision["picker"] = picker.as_str().into();
                    decision
                }));
            }
            Ok((status, document)) => {
                let message =
                    document["message"].as_str().map_or_else(|| document.to_string(), str::to_owned);
                let problem = match several {
                    true => format!("{picker}: {message}"),
                    false => message,
                };
                problems.push(if status == 404 { problem } else { format!("{problem} ({status})") });
            }
            Err(error) => problems.push(format!("{picker}: {error:#}")),
        }
    }
    (found, problems)
}

fn time(decision: &Value) -> f64 {
    decision["unixTime"].as_f64().unwrap_or_default()
}

/// Percent-encodes everything that is not unreserved (RFC 3986, 2.3).
fn encode(text: &str) -> String {
    const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, &RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_whatever_a_client_sends() {
        assert_eq!(encode("3f2a-9_~."), "3f2a-9_~.");
        assert_eq!(encode("../a b?ä"), "..%2Fa%20b%3F%C3%A4");
    }

    #[test]
    fn decisions_of_all_pickers_are_gathered_and_the_others_heard() {
        let answer = |picker: &str, status: u16, document: Value| Answer {
            picker: picker.to_owned(),
            answer: Ok((http::StatusCode::from_u16(status).unwrap(), document)),
        };
        let (found, problems) = gather(vec![
            answer("ns/a", 200, json!({ "decisions": [{ "requestId": "r", "unixTime": 1.5 }] })),
            answer("ns/b", 404, json!({ "message": "It has none." })),
            Answer { picker: "ns/c".to_owned(), answer: Err(anyhow::anyhow!("it does not answer")) },
        ]);
        assert_eq!(found, [json!({ "requestId": "r", "unixTime": 1.5, "picker": "ns/a" })]);
        assert_eq!(problems, ["ns/b: It has none.", "ns/c: it does not answer"]);
        assert_eq!(gather(vec![answer("picker", 404, json!({ "message": "None." }))]).1, ["None."]);
    }
}
