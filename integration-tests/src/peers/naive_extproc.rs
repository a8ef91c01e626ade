//! The least that an ext_proc server can do, in the most ordinary way: tonic with the generated messages, every message
//! answered at once, one endpoint always named. What it costs is what the architecture costs; ours is measured beside it.
//!
//! ```text
//! buffered:    headers ─▶ go on      body ─▶ destination     response headers ─▶ go on
//! full duplex: headers ─▶ destination    body ─▶ the same body, streamed back    … both ways
//! ```

use std::{net::SocketAddr, pin::Pin};

use anyhow::Result;
use clap::Parser;
use envoy_types::pb::{
    envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption},
        extensions::filters::http::ext_proc::v3::processing_mode::BodySendMode,
        service::ext_proc::v3::{
            BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpBody,
            ProcessingRequest, ProcessingResponse, StreamedBodyResponse, TrailersResponse,
            body_mutation::Mutation,
            external_processor_server::{ExternalProcessor, ExternalProcessorServer},
            processing_request::Request as Part,
            processing_response::Response as Answer,
        },
    },
    google::protobuf::{Struct, Value, value::Kind},
};
use futures_util::{Stream, StreamExt};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Identity, Server, ServerTlsConfig},
};

const DESTINATION: &str = "x-gateway-destination-endpoint";
/// Bodies as large as Envoy's limit in our configuration, with room for the rest of the message.
const MESSAGE_LIMIT: usize = 33 << 20;

/// An ext_proc server that names one endpoint for every request.
#[derive(Parser)]
struct Arguments {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Serves TLS, with a certificate of its own; h2c otherwise.
    #[arg(long)]
    tls: bool,
    /// The endpoint it names, ADDRESS:PORT.
    #[arg(long)]
    endpoint: String,
}

struct Naive {
    endpoint: String,
}

#[tonic::async_trait]
impl ExternalProcessor for Naive {
    type ProcessStream = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let mut exchange = Exchange { endpoint: self.endpoint.clone(), duplex: false };
        let answers = request.into_inner().map(move |message| Ok(exchange.answer(message?)));
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One HTTP request.
struct Exchange {
    endpoint: String,
    duplex: bool,
}

impl Exchange {
    fn answer(&mut self, message: ProcessingRequest) -> ProcessingResponse {
        if let Some(config) = message.protocol_config {
            self.duplex = config.request_body_mode() == BodySendMode::FullDuplexStreamed;
        }
        let go_on = |response| Some(HeadersResponse { response });
        let mut decides = false;
        let answer = match message.request {
            Some(Part::RequestHeaders(headers)) => {
                decides = self.duplex || headers.end_of_stream;
                go_on(decides.then(|| self.destination())).map(Answer::RequestHeaders)
            }
            Some(Part::RequestBody(body)) if self.duplex => Some(Answer::RequestBody(streamed(body))),
            Some(Part::RequestBody(_)) => {
                decides = true;
                Some(Answer::RequestBody(BodyResponse { response: Some(self.destination()) }))
            }
            Some(Part::ResponseHeaders(_)) => go_on(None).map(Answer::ResponseHeaders),
            Some(Part::ResponseBody(body)) => Some(Answer::ResponseBody(streamed(body))),
            Some(Part::RequestTrailers(_)) => Some(Answer::RequestTrailers(TrailersResponse::default())),
            Some(Part::ResponseTrailers(_)) => Some(Answer::ResponseTrailers(TrailersResponse::default())),
            None => None,
        };
        let dynamic_metadata = decides.then(|| {
            let endpoint = Value { kind: Some(Kind::StringValue(self.endpoint.clone())) };
            let lb = Value { kind: Some(Kind::StructValue(of_one(DESTINATION, endpoint))) };
            of_one("envoy.lb", lb)
        });
        ProcessingResponse { response: answer, dynamic_metadata, ..Default::default() }
    }

    fn destination(&self) -> CommonResponse {
        let header = HeaderValue {
            key: DESTINATION.to_owned(),
            raw_value: self.endpoint.clone().into_bytes(),
            ..Default::default()
        };
        let set_headers = vec![HeaderValueOption { header: Some(header), ..Default::default() }];
        CommonResponse {
            header_mutation: Some(HeaderMutation { set_headers, ..Default::default() }),
            ..Default::default()
        }
    }
}

fn of_one(key: &str, value: Value) -> Struct {
    Struct { fields: [(key.to_owned(), value)].into() }
}

fn streamed(body: HttpBody) -> BodyResponse {
    let same =
        StreamedBodyResponse { body: body.body, end_of_stream: body.end_of_stream, ..Default::default() };
    let mutation = BodyMutation { mutation: Some(Mutation::StreamedResponse(same)) };
    BodyResponse { response: Some(CommonResponse { body_mutation: Some(mutation), ..Default::default() }) }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<ExternalProcessorServer<Naive>>().await;
    let server = ExternalProcessorServer::new(Naive { endpoint: arguments.endpoint })
        .max_decoding_message_size(MESSAGE_LIMIT);
    let mut builder = Server::builder();
    if arguments.tls {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let identity = Identity::from_pem(own.cert.pem(), own.signing_key.serialize_pem());
        builder = builder.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    builder.add_service(health).add_service(server).serve(arguments.listen).await?;
    Ok(())
}
