//! The client: what Envoy sends for one request, in both shapes.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::ext_proc::v3 as pb;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pb::external_processor_client::ExternalProcessorClient;
use pb::processing_request::Request;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

/// How bodies are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// FULL_DUPLEX_STREAMED both ways.
    Duplex,
    /// BUFFERED request body, response headers only.
    Buffered,
}

/// Envoy forwards bodies as its HTTP/2 codec reads them.
const PIECE: usize = 16 * 1024;

pub(crate) struct Run {
    pub(crate) address: SocketAddr,
    pub(crate) shape: Shape,
    pub(crate) prompt: usize,
    pub(crate) at_once: usize,
}

impl Run {
    /// What `measure` grows by over `requests`, after `warm_up` requests.
    pub(crate) fn warm_up_then(
        &self,
        warm_up: usize,
        requests: usize,
        measure: impl Fn() -> anyhow::Result<f64>,
    ) -> anyhow::Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
            let endpoint =
                endpoint.initial_stream_window_size(1 << 20).initial_connection_window_size(16 << 20);
            let channel = endpoint.tcp_nodelay(true).connect().await?;
            self.requests(&channel, warm_up).await?;
            let before = measure()?;
            self.requests(&channel, requests).await?;
            Ok(measure()? - before)
        })
    }

    async fn requests(&self, channel: &Channel, count: usize) -> anyhow::Result<()> {
        let body = body(self.prompt);
        let mut running = FuturesUnordered::new();
        for _ in 0..count {
            if running.len() == self.at_once {
                running.next().await.expect("some are running")?;
            }
            running.push(self.request(channel.clone(), &body));
        }
        while let Some(ended) = running.next().await {
            ended?;
        }
        Ok(())
    }

    async fn request(&self, channel: Channel, body: &[u8]) -> anyhow::Result<()> {
        let (send, receive) = mpsc::channel(64);
        let mut client = ExternalProcessorClient::new(channel).max_decoding_message_size(64 << 20);
        let duplex = self.shape == Shape::Duplex;
        let mode = if duplex { (4, 4) } else { (2, 0) };
        send.send(headers(Request::RequestHeaders, ":method", "POST", Some(mode))).await?;
        let mut replies = client.process(ReceiverStream::new(receive)).await?.into_inner();
        if duplex {
            let pieces = body.chunks(PIECE).count();
            for (i, piece) in body.chunks(PIECE).enumerate() {
                send.send(chunk(Request::RequestBody, piece, i + 1 == pieces)).await?;
            }
            expect(&mut replies, false).await?;
            let mut echoed = 0;
            while echoed < body.len() {
                echoed += expect(&mut replies, true).await?;
            }
            send.send(headers(Request::ResponseHeaders, ":status", "200", None)).await?;
            send.send(chunk(Request::ResponseBody, &body[..1000], true)).await?;
            expect(&mut replies, false).await?;
            expect(&mut replies, true).await?;
        } else {
            expect(&mut replies, false).await?;
            send.send(chunk(Request::RequestBody, body, true)).await?;
            expect(&mut replies, false).await?;
            send.send(headers(Request::ResponseHeaders, ":status", "200", None)).await?;
            expect(&mut replies, false).await?;
        }
        drop(send);
        anyhow::ensure!(replies.message().await?.is_none(), "one reply too many");
        Ok(())
    }
}

/// The next reply; `body`: the bytes that it streams on.
async fn expect(replies: &mut tonic::Streaming<pb::ProcessingResponse>, body: bool) -> anyhow::Result<usize> {
    use pb::processing_response::Response;
    let Some(reply) = replies.message().await? else { anyhow::bail!("the stream ended early") };
    let streamed = match reply.response {
        Some(Response::RequestBody(r) | Response::ResponseBody(r)) => {
            r.response.and_then(|c| c.body_mutation).and_then(|m| m.mutation)
        }
        Some(Response::ImmediateResponse(r)) => {
            anyhow::bail!("refused: {}", String::from_utf8_lossy(&r.body))
        }
        _ => None,
    };
    match streamed {
        Some(pb::body_mutation::Mutation::StreamedResponse(s)) if body => Ok(s.body.len()),
        None if !body => Ok(0),
        other => anyhow::bail!("unexpected reply {other:?}"),
    }
}

/// A chat request with about `len` bytes of prompt.
fn body(len: usize) -> Vec<u8> {
    let text: String = "All happy families are alike; each unhappy family is unhappy in its own way.\n"
        .chars()
        .cycle()
        .take(len)
        .collect();
    let body = serde_json::json!({
        "messages": [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": text}],
        "model": "llama-3-70b", "stream": true, "max_tokens": 256,
    });
    body.to_string().into_bytes()
}

fn message(request: Request, modes: Option<(i32, i32)>) -> pb::ProcessingRequest {
    let protocol_config = modes.map(|(request_body_mode, response_body_mode)| pb::ProtocolConfiguration {
        request_body_mode,
        response_body_mode,
        ..Default::default()
    });
    pb::ProcessingRequest { request: Some(request), protocol_config, ..Default::default() }
}

fn headers(
    kind: fn(pb::HttpHeaders) -> Request,
    name: &str,
    value: &str,
    modes: Option<(i32, i32)>,
) -> pb::ProcessingRequest {
    let usual = [
        (name, value),
        (":path", "/v1/chat/completions"),
        (":authority", "inference.example.com"),
        ("content-type", "application/json"),
        ("user-agent", "OpenAI/Python 1.99.0"),
        ("accept", "application/json"),
        ("authorization", "Bearer sk-0123456789012345678901234567890123456789"),
        ("x-request-id", "5f2b0f3e-7f64-4b43-9a0f-0d9d4c2f7f11"),
        ("x-forwarded-for", "10.1.2.3"),
        ("x-forwarded-proto", "https"),
        ("x-stainless-lang", "python"),
        ("x-gateway-model-name", "llama-3-70b"),
    ];
    let header = |(key, value): (&str, &str)| core::HeaderValue {
        key: key.to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..Default::default()
    };
    let headers = core::HeaderMap { headers: usual.into_iter().map(header).collect() };
    message(kind(pb::HttpHeaders { headers: Some(headers), ..Default::default() }), modes)
}

fn chunk(kind: fn(pb::HttpBody) -> Request, data: &[u8], end_of_stream: bool) -> pb::ProcessingRequest {
    message(kind(pb::HttpBody { body: data.to_vec(), end_of_stream, ..Default::default() }), None)
}
