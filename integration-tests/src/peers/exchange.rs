//! Our gateway's dialogue with an ext_proc server that only names an endpoint: tonic with the generated messages, every
//! message answered at once.
//!
//! ```text
//! buffered:    headers ─▶ go on      body ─▶ destination     response headers ─▶ go on
//! full duplex: headers ─▶ destination    body ─▶ the same body, streamed back    … both ways
//! ```

use std::{net::SocketAddr, pin::Pin};

use anyhow::Result;
use envoy_types::pb::{
    envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption},
        extensions::filters::http::ext_proc::v3::processing_mode::BodySendMode,
        service::ext_proc::v3::{
            BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpBody,
            HttpHeaders, ProcessingRequest, ProcessingResponse, StreamedBodyResponse, TrailersResponse,
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

/// Names the endpoint of one request; dropped when the request's answer has ended.
pub(crate) trait Chooser: Send + 'static {
    /// The request's headers; comes first.
    fn hear(&mut self, _: &HttpHeaders) {}

    /// The endpoint, ADDRESS:PORT; asked once.
    fn choose(&mut self) -> String;
}

/// Where and how a server listens.
#[derive(clap::Args)]
pub(crate) struct Listen {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Serves TLS, with a certificate of its own; h2c otherwise.
    #[arg(long)]
    tls: bool,
}

/// Serves for ever. `chooser` makes the chooser of each request.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn serve<C: Chooser>(
    Listen { listen, tls }: Listen,
    chooser: impl Fn() -> C + Send + Sync + 'static,
) -> Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<ExternalProcessorServer<Processor<C>>>().await;
    let processor = Processor { chooser: Box::new(chooser) };
    let server = ExternalProcessorServer::new(processor).max_decoding_message_size(MESSAGE_LIMIT);
    let mut builder = Server::builder();
    if tls {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let identity = Identity::from_pem(own.cert.pem(), own.signing_key.serialize_pem());
        builder = builder.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    builder.add_service(health).add_service(server).serve(listen).await?;
    Ok(())
}

struct Processor<C> {
    chooser: Box<dyn Fn() -> C + Send + Sync>,
}

#[tonic::async_trait]
impl<C: Chooser> ExternalProcessor for Processor<C> {
    type ProcessStream = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let mut exchange = Exchange { chooser: (self.chooser)(), duplex: false };
        let answers = request.into_inner().map(move |message| Ok(exchange.answer(message?)));
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One HTTP request.
struct Exchange<C> {
    chooser: C,
    duplex: bool,
}

impl<C: Chooser> Exchange<C> {
    fn answer(&mut self, message: ProcessingRequest) -> ProcessingResponse {
        if let Some(config) = message.protocol_config {
            self.duplex = config.request_body_mode() == BodySendMode::FullDuplexStreamed;
        }
        let go_on = |response| Some(HeadersResponse { response });
        let mut chosen = None;
        let answer = match message.request {
            Some(Part::RequestHeaders(headers)) => {
                self.chooser.hear(&headers);
                let decides = self.duplex || headers.end_of_stream;
                chosen = decides.then(|| self.chooser.choose());
                go_on(chosen.as_deref().map(destination)).map(Answer::RequestHeaders)
            }
            Some(Part::RequestBody(body)) if self.duplex => Some(Answer::RequestBody(streamed(body))),
            Some(Part::RequestBody(_)) => {
                let response = chosen.insert(self.chooser.choose());
                Some(Answer::RequestBody(BodyResponse { response: Some(destination(response)) }))
            }
            Some(Part::ResponseHeaders(_)) => go_on(None).map(Answer::ResponseHeaders),
            Some(Part::ResponseBody(body)) => Some(Answer::ResponseBody(streamed(body))),
            Some(Part::RequestTrailers(_)) => Some(Answer::RequestTrailers(TrailersResponse::default())),
            Some(Part::ResponseTrailers(_)) => Some(Answer::ResponseTrailers(TrailersResponse::default())),
            None => None,
        };
        let dynamic_metadata = chosen.map(|endpoint| {
            let endpoint = Value { kind: Some(Kind::StringValue(endpoint)) };
            let lb = Value { kind: Some(Kind::StructValue(of_one(DESTINATION, endpoint))) };
            of_one("envoy.lb", lb)
        });
        ProcessingResponse { response: answer, dynamic_metadata, ..Default::default() }
    }
}

fn destination(endpoint: &str) -> CommonResponse {
    let header = HeaderValue {
        key: DESTINATION.to_owned(),
        raw_value: endpoint.as_bytes().to_vec(),
        ..Default::default()
    };
    let set_headers = vec![HeaderValueOption { header: Some(header), ..Default::default() }];
    CommonResponse {
        header_mutation: Some(HeaderMutation { set_headers, ..Default::default() }),
        ..Default::default()
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
