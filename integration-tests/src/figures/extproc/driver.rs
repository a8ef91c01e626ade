//! Asks an ext_proc server as Envoy does: one stream for each request, several at a time, every answer checked.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use envoy_types::pb::envoy::service::ext_proc::v3::{
    CommonResponse, ProcessingRequest, ProcessingResponse, body_mutation::Mutation,
    external_processor_client::ExternalProcessorClient, processing_response::Response as Answer,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, metadata::AsciiMetadataValue, transport::Endpoint};

use super::messages::{Messages, Shape};

type Client = ExternalProcessorClient<tonic::transport::Channel>;

/// No server takes this long for a request.
const DEADLINE: Duration = Duration::from_secs(20);
/// Messages of a request that may wait to be sent.
const AHEAD: usize = 64;
/// Tells the picker which pool is asked for.
const POOL: &str = "x-signalbox-pool";
const DESTINATION: &str = "x-gateway-destination-endpoint";

/// Connections to one server.
pub(super) struct Driver {
    clients: Vec<Client>,
    pool: AsciiMetadataValue,
}

impl Driver {
    /// Connects, h2c.
    ///
    /// # Errors
    /// When the server does not accept.
    pub(super) async fn connect(address: SocketAddr, pool: &str, connections: usize) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let mut clients = Vec::new();
        for _ in 0..connections {
            let channel = endpoint.connect().await.with_context(|| format!("no connection to {address}"))?;
            clients.push(Client::new(channel));
        }
        Ok(Self { clients, pool: pool.parse().context("a pool's name is metadata")? })
    }

    /// Makes requests on `streams` streams at a time, with these messages in turn.
    ///
    /// # Errors
    /// When an answer is not the one that a picked endpoint gives.
    pub(super) async fn run(
        &self,
        shape: Shape,
        messages: &[Arc<Messages>],
        streams: usize,
        requests: usize,
    ) -> Result<()> {
        let mut tasks = JoinSet::new();
        for stream in 0..streams {
            let mut client = self.clients[stream % self.clients.len()].clone();
            let pool = self.pool.clone();
            let mine: Vec<_> =
                (stream..requests).step_by(streams).map(|n| messages[n % messages.len()].clone()).collect();
            tasks.spawn(async move {
                for messages in mine {
                    let exchange = exchange(&mut client, &pool, shape, &messages);
                    timeout(DEADLINE, exchange).await.context("no answer in time")??;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// One request on a stream of its own.
async fn exchange(
    client: &mut Client,
    pool: &AsciiMetadataValue,
    shape: Shape,
    messages: &Messages,
) -> Result<()> {
    let (sender, queue) = mpsc::channel(AHEAD);
    let send = async |message: &ProcessingRequest| {
        sender.send(message.clone()).await.context("the server has ended the stream")
    };
    send(&messages.headers).await?;
    let mut request = Request::new(ReceiverStream::new(queue));
    request.metadata_mut().insert(POOL, pool.clone());
    let mut answers = Answers(client.process(request).await?.into_inner());
    match shape {
        Shape::FullDuplex => {
            for chunk in &messages.body {
                send(chunk).await?;
            }
            answers.until_streamed().await?;
        }
        Shape::Buffered => {
            ensure!(matches!(answers.next().await?, Answer::RequestHeaders(_)), "headers are not answered");
            for body in &messages.body {
                send(body).await?;
            }
            let Answer::RequestBody(answer) = answers.next().await? else {
                bail!("the body is not answered")
            };
            ensure!(answer.response.as_ref().is_some_and(names_endpoint), "no endpoint is named");
        }
    }
    send(&messages.response_headers).await?;
    ensure!(matches!(answers.next().await?, Answer::ResponseHeaders(_)), "response headers are not answered");
    if let Some(body) = &messages.response_body {
        send(body).await?;
        let Answer::ResponseBody(answer) = answers.next().await? else {
            bail!("the response's body is not answered")
        };
        ensure!(answer.response.as_ref().is_some_and(ends), "the response's body is not passed on");
    }
    drop(sender);
    while answers.0.message().await?.is_some() {}
    Ok(())
}

struct Answers(Streaming<ProcessingResponse>);

impl Answers {
    async fn next(&mut self) -> Result<Answer> {
        let message = self.0.message().await?.context("the stream ended before an answer")?;
        match message.response.context("an answer without content")? {
            Answer::ImmediateResponse(refusal) => {
                bail!("refused: {:?} {}", refusal.status, String::from_utf8_lossy(&refusal.body))
            }
            answer => Ok(answer),
        }
    }

    /// Reads the answers to headers and body in full duplex, up to the end of the body.
    async fn until_streamed(&mut self) -> Result<()> {
        let mut named = false;
        loop {
            match self.next().await? {
                Answer::RequestHeaders(answer) => {
                    named |= answer.response.as_ref().is_some_and(names_endpoint);
                }
                Answer::RequestBody(answer) if answer.response.as_ref().is_some_and(ends) => {
                    ensure!(named, "no endpoint is named");
                    return Ok(());
                }
                Answer::RequestBody(_) => {}
                other => bail!("an answer that was not asked for: {other:?}"),
            }
        }
    }
}

fn names_endpoint(response: &CommonResponse) -> bool {
    let headers = response.header_mutation.iter().flat_map(|mutation| &mutation.set_headers);
    headers
        .filter_map(|option| option.header.as_ref())
        .any(|header| header.key == DESTINATION && !(header.raw_value.is_empty() && header.value.is_empty()))
}

fn ends(response: &CommonResponse) -> bool {
    let mutation = response.body_mutation.as_ref().and_then(|mutation| mutation.mutation.as_ref());
    matches!(mutation, Some(Mutation::StreamedResponse(streamed)) if streamed.end_of_stream)
}
