//! Admin interfaces over HTTP, of processes that run here or elsewhere.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

/// Answers that are larger than this are refused.
const BODY_LIMIT: usize = 64 << 20;

/// The address in the file that a process writes when it knows where its admin interface is. `absent` says what it means
/// that there is none.
///
/// # Errors
/// When there is no file, or no address in it.
pub(super) fn address(file: &Path, absent: &str) -> Result<SocketAddr> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("{} is not there{absent}", file.display()))?;
    text.trim().parse().with_context(|| format!("{} holds no address", file.display()))
}

/// Asks the one at `admin`.
///
/// # Errors
/// When it does not answer.
pub(super) async fn ask(admin: SocketAddr, method: Method, path: &str) -> Result<(StatusCode, Bytes)> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder().method(method).uri(format!("http://{admin}{path}")).body(Empty::new())?;
    read(client.request(request).await.with_context(|| format!("nothing answers at {admin}"))?).await
}

/// Reads an answer to its end.
///
/// # Errors
/// When it breaks off, or is too large.
pub(super) async fn read<B>(response: Response<B>) -> Result<(StatusCode, Bytes)>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await;
    Ok((status, body.map_err(|error| anyhow!(error))?.to_bytes()))
}
