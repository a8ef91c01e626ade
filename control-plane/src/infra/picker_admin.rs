//! The admin interface of pickers: the one that runs here, or those of a cluster through the API server.
//!
//! ```text
//! run directory ─ picker/admin (its address) ─▶ GET                      ┐
//! Pods with signalbox.dev/infrastructure=picker ─▶ GET …/pods/NAME:9090/proxy/… ┴▶ Answer of each
//! ```

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::Value;

use super::{
    admin_interface,
    cluster::{INFRASTRUCTURE_LABEL, PICKER_ADMIN},
};

/// How long a picker has to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What one picker answered.
#[derive(Debug)]
pub struct Answer {
    /// Which one: "picker", or the "namespace/name" of its Pod.
    pub picker: String,
    /// Status and document; an error when it did not answer in JSON.
    pub answer: Result<(StatusCode, Value)>,
}

/// The file in which the picker of a run directory writes the address.
pub fn address_file(run_dir: &Path) -> PathBuf {
    run_dir.join("picker").join("admin")
}

/// Asks the picker of a run directory for `path`.
///
/// # Errors
/// When no picker was started there.
pub async fn ask_local(run_dir: &Path, path: &str) -> Result<Answer> {
    let absent = ": no picker runs, because no pool asks for one";
    let address = admin_interface::address(&address_file(run_dir), absent)?;
    let exchange = admin_interface::ask(address, Method::GET, path);
    Ok(Answer { picker: "picker".to_owned(), answer: in_time(exchange).await })
}

/// Asks every managed picker of `namespace`, or of all namespaces, for `path`.
///
/// # Errors
/// When the API server does not list their Pods, or there are none.
pub async fn ask_cluster(client: &kube::Client, namespace: Option<&str>, path: &str) -> Result<Vec<Answer>> {
    let pods: Api<Pod> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let labels = ListParams::default().labels(&format!("{INFRASTRUCTURE_LABEL}=picker"));
    let pods = pods.list(&labels).await.context("the Pods of pickers cannot be listed")?;
    let running = pods.items.into_iter().filter(|pod| {
        pod.metadata.deletion_timestamp.is_none()
            && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
    });
    let asked = running.map(|pod| {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let uri = format!("/api/v1/namespaces/{namespace}/pods/{name}:{PICKER_ADMIN}/proxy{path}");
        let exchange = async {
            let request = Request::get(uri).body(kube::client::Body::empty())?;
            let response = client.send(request).await.context("the API server does not answer")?;
            admin_interface::read(response).await
        };
        async move { Answer { picker: format!("{namespace}/{name}"), answer: in_time(exchange).await } }
    });
    let answers = join_all(asked).await;
    anyhow::ensure!(
        !answers.is_empty(),
        "no managed picker runs {}: there is no running Pod with label {INFRASTRUCTURE_LABEL}=picker",
        namespace.map_or("in the cluster".to_owned(), |namespace| format!("in namespace {namespace}"))
    );
    Ok(answers)
}

/// The document of an exchange, if it comes in time.
async fn in_time(exchange: impl Future<Output = Result<(StatusCode, Bytes)>>) -> Result<(StatusCode, Value)> {
    let (status, body) = tokio::time::timeout(ANSWER, exchange).await.context("it does not answer")??;
    let document = serde_json::from_slice(&body).with_context(|| {
        let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        format!("it answered {status}: {text}")
    })?;
    Ok((status, document))
}
