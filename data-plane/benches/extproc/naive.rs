//! The yardstick: tonic's generated server and envoy-types, answering a constant.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::ext_proc::v3 as pb;
use pb::external_processor_server::{ExternalProcessor, ExternalProcessorServer};
use pb::processing_request::Request as Received;
use pb::processing_response::Response as Reply;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

struct Naive;

pub(crate) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
        crate::announce(incoming.local_addr()?)?;
        let service = ExternalProcessorServer::new(Naive).max_decoding_message_size(64 << 20);
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::select! {
            ended = server.serve_with_incoming(incoming) => ended?,
            ended = tokio::task::spawn_blocking(crate::until_driver_ends) => ended?,
        }
        Ok(())
    })
}

#[tonic::async_trait]
impl ExternalProcessor for Naive {
    type ProcessStream = ReceiverStream<Result<pb::ProcessingResponse, Status>>;

    async fn process(
        &self,
        request: Request<Streaming<pb::ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let (send, receive) = mpsc::channel(16);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(answer(request.into_inner(), send));
        tasks.detach_all();
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}

type Replies = mpsc::Sender<Result<pb::ProcessingResponse, Status>>;

async fn answer(mut messages: Streaming<pb::ProcessingRequest>, replies: Replies) {
    let mut body = Vec::new();
    let mut duplex = false;
    while let Ok(Some(message)) = messages.message().await {
        if let Some(config) = message.protocol_config {
            duplex = config.request_body_mode == 4;
        }
        let sent = match message.request {
            Some(Received::RequestHeaders(_)) if duplex => continue,
            Some(Received::RequestHeaders(_)) => vec![Reply::RequestHeaders(pb::HeadersResponse::default())],
            Some(Received::RequestBody(chunk)) if duplex => {
                body.extend_from_slice(&chunk.body);
                if !chunk.end_of_stream {
                    continue;
                }
                let headers = pb::HeadersResponse { response: Some(destination()) };
                let pieces = std::mem::take(&mut body);
                let count = pieces.chunks(62_000).count();
                let pieces = pieces.chunks(62_000).enumerate();
                let pieces =
                    pieces.map(|(i, piece)| Reply::RequestBody(streamed(piece.to_vec(), i + 1 == count)));
                std::iter::once(Reply::RequestHeaders(headers)).chain(pieces).collect()
            }
            Some(Received::RequestBody(_)) => {
                vec![Reply::RequestBody(pb::BodyResponse { response: Some(destination()) })]
            }
            Some(Received::ResponseHeaders(_)) => {
                vec![Reply::ResponseHeaders(pb::HeadersResponse::default())]
            }
            Some(Received::ResponseBody(chunk)) => {
                vec![Reply::ResponseBody(streamed(chunk.body, chunk.end_of_stream))]
            }
            _ => continue,
        };
        for reply in sent {
            let reply = pb::ProcessingResponse { response: Some(reply), ..Default::default() };
            if replies.send(Ok(reply)).await.is_err() {
                return;
            }
        }
    }
}

fn destination() -> pb::CommonResponse {
    let header = core::HeaderValue {
        key: "x-gateway-destination-endpoint".to_owned(),
        raw_value: b"10.0.0.1:8000".to_vec(),
        ..Default::default()
    };
    let set_headers = vec![core::HeaderValueOption { header: Some(header), ..Default::default() }];
    let header_mutation = Some(pb::HeaderMutation { set_headers, ..Default::default() });
    pb::CommonResponse { header_mutation, ..Default::default() }
}

fn streamed(body: Vec<u8>, end_of_stream: bool) -> pb::BodyResponse {
    let streamed = pb::StreamedBodyResponse { body, end_of_stream, ..Default::default() };
    let mutation = Some(pb::body_mutation::Mutation::StreamedResponse(streamed));
    let body_mutation = Some(pb::BodyMutation { mutation });
    pb::BodyResponse { response: Some(pb::CommonResponse { body_mutation, ..Default::default() }) }
}
