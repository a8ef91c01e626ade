//! Pickers, asked by a real Envoy.

use std::{pin::Pin, time::Duration};

use control_plane::{api::FailureMode, gateway::ir::*, translate::Settings};
use envoy_types::pb::{
    envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption},
        service::ext_proc::v3::{
            BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, ImmediateResponse,
            ProcessingRequest, ProcessingResponse,
            external_processor_server::{ExternalProcessor, ExternalProcessorServer},
            processing_request::Request as Asked,
            processing_response::Response as Answered,
        },
        r#type::v3::{HttpStatus, StatusCode},
    },
    google::protobuf::{Struct, Value, value::Kind},
};
use futures_util::{Stream, StreamExt};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    building::*,
    stack::{PORT, Stack, Upstreams, address},
};

/// Picks `endpoint` in buffered mode, or sheds when the path says so. It tells the pool it was asked for.
#[derive(Clone)]
struct Fixed {
    endpoint: String,
}

#[tonic::async_trait]
impl ExternalProcessor for Fixed {
    type ProcessStream = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let pool = request.metadata().get("x-signalbox-pool").unwrap().to_str().unwrap().to_owned();
        let picker = self.clone();
        let answers = request.into_inner().map(move |message| Ok(picker.answer(message?, &pool)));
        Ok(Response::new(Box::pin(answers)))
    }
}

impl Fixed {
    fn answer(&self, asked: ProcessingRequest, pool: &str) -> ProcessingResponse {
        let response = match asked.request.unwrap() {
            Asked::RequestHeaders(headers) => {
                let headers = headers.headers.unwrap().headers;
                let path = headers.iter().find(|h| h.key == ":path").unwrap();
                if path.raw_value.starts_with(b"/shed") {
                    Answered::ImmediateResponse(ImmediateResponse {
                        status: Some(HttpStatus { code: StatusCode::TooManyRequests.into() }),
                        body: b"{\"shed\":true}".to_vec(),
                        ..Default::default()
                    })
                } else {
                    Answered::RequestHeaders(HeadersResponse::default())
                }
            }
            Asked::RequestBody(_) => Answered::RequestBody(BodyResponse {
                response: Some(CommonResponse {
                    header_mutation: Some(HeaderMutation {
                        set_headers: vec![
                            set("x-gateway-destination-endpoint", &self.endpoint),
                            set("x-pool", pool),
                        ],
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
            }),
            Asked::ResponseHeaders(_) => {
                let metadata = asked.metadata_context.unwrap_or_default().filter_metadata;
                let served = metadata["envoy.lb"].fields["x-gateway-destination-endpoint-served"].clone();
                let Some(Kind::StringValue(served)) = served.kind else { panic!("no endpoint served") };
                Answered::ResponseHeaders(HeadersResponse {
                    response: Some(CommonResponse {
                        header_mutation: Some(HeaderMutation {
                            set_headers: vec![set("x-served", &served)],
                            ..Default::default()
                        }),
                        ..Default::default()
                    }),
                })
            }
            other => panic!("not asked for: {other:?}"),
        };
        let metadata = matches!(response, Answered::RequestBody(_)).then(|| {
            let text = |t: &str| Value { kind: Some(Kind::StringValue(t.to_owned())) };
            let picked = ("x-gateway-destination-endpoint".to_owned(), text(&self.endpoint));
            let lb = Value { kind: Some(Kind::StructValue(Struct { fields: [picked].into() })) };
            Struct { fields: [("envoy.lb".to_owned(), lb)].into() }
        });
        ProcessingResponse { response: Some(response), dynamic_metadata: metadata, ..Default::default() }
    }
}

fn set(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            raw_value: value.as_bytes().to_vec(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Serves a picker and its health.
async fn serve(tasks: &mut JoinSet<()>, picker: Fixed) -> String {
    let listener = TcpListener::bind((address(), 0)).await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<ExternalProcessorServer<Fixed>>().await;
    tasks.spawn(async move {
        let server = tonic::transport::Server::builder()
            .add_service(ExternalProcessorServer::new(picker))
            .add_service(health);
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_share_asks_its_own_picker_and_the_pick_is_served() {
    let (mut upstreams, at, mut tasks) = (Upstreams::default(), address(), JoinSet::new());
    let (a, b, c) = (upstreams.echo("a").await, upstreams.echo("b").await, upstreams.echo("c").await);
    let picks_b = serve(&mut tasks, Fixed { endpoint: b.clone() }).await;
    let picks_c = serve(&mut tasks, Fixed { endpoint: c.clone() }).await;
    let split = forward(vec![to(Ok(pool("apps/blue")), 1), to(Ok(pool("apps/green")), 1)]);
    let hosts = vec![host("*", vec![route("split", "/", Action::Forward(split))])];
    let http = HttpListener { uses_pickers: true, ..http(hosts) };
    let buffered = |service| asks(service, FailureMode::FailClose, PickerMode::Buffered);
    let case = case(vec![listener(PORT, &[&at], http)])
        .pool("apps/blue", buffered("apps/one"), Protocol::Http1, &[&a, &b])
        .pool("apps/green", buffered("apps/two"), Protocol::Http1, &[&a, &c])
        .picker("apps/one", PickerSecurity::Cleartext, &[&picks_b])
        .picker("apps/two", PickerSecurity::Cleartext, &[&picks_c]);
    let stack = Stack::start(&case, &at, &Settings::default()).await;
    let healthy = async {
        while stack.post("/", "{}").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), healthy).await.expect("pickers become healthy");

    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..40 {
        let answer = stack.post("/", "{}").await;
        let backend = answer.json()["backend"].as_str().unwrap().to_owned();
        let (pool, endpoint) = if backend == "b" { ("apps/blue", &b) } else { ("apps/green", &c) };
        assert_eq!(answer.received("x-pool").as_deref(), Some(pool));
        assert_eq!(answer.headers["x-served"], endpoint.as_str());
        *seen.entry(backend).or_default() += 1;
    }
    assert!(seen.keys().map(String::as_str).eq(["b", "c"]), "{seen:?}");

    let answer = stack.post("/shed", "{}").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (429, &b"{\"shed\":true}"[..]),
        "the picker's own answer"
    );
}
