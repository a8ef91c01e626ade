//! Calls over HTTP/2, in memory and in paused time: requests that wait, and what becomes of them.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::ext_proc::v3 as pb;
use h2::client::{ResponseFuture, SendRequest};
use pb::processing_request::Request;
use pb::processing_response::Response;
use prost::Message as _;
use proto::tier::v1;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::decisions::{self, Result as Decided, Why};
use crate::extproc::connection::{Service, serve};
use crate::extproc::health::Health;
use crate::extproc::lane::{Lanes, Policy};
use crate::flow::{Fullness, Settings};
use crate::metrics::Metrics;
use crate::pool::{Pools, Reading};
use crate::prefix::precise::{Event, Medium, Stored, Trust};
use crate::tokenizer::Counter;
use crate::tokenizer::tests::counter;

use super::*;

/// A picker for one endpoint that runs one request at a time, and a connection to it.
struct Run {
    lanes: Arc<Lanes>,
    client: SendRequest<Bytes>,
}

struct Client {
    send: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    received: Option<RecvStream>,
    deframer: Deframer,
}

impl Run {
    async fn start() -> Self {
        Self::counting(None).await
    }

    async fn counting(counter: Option<Arc<Counter>>) -> Self {
        let pools = Pools::new(now());
        let objective = v1::Objective { name: "gold".to_owned(), priority: 100, ..v1::Objective::default() };
        let endpoint = v1::Endpoint {
            address: "10.0.0.1".to_owned(),
            port: 8000,
            state: v1::EndpointState::Ready.into(),
            ..v1::Endpoint::default()
        };
        let pool = v1::PoolSnapshot {
            name: Some(v1::PoolName { namespace: "ns".to_owned(), name: "a".to_owned() }),
            endpoints: vec![endpoint],
            objectives: vec![objective],
            ..v1::PoolSnapshot::default()
        };
        pools.apply(v1::WatchResponse { changed: vec![pool], synced: true, ..Default::default() });
        let policy = Policy {
            body_limit: 1 << 20,
            decision_deadline: Duration::from_secs(2),
            read_answers: 1.0,
            fairness_header: None,
            admission: Settings { fullness: Fullness { queue: 0, kv: 0.9 }, ..Settings::default() },
        };
        let settings = decisions::Settings { header: decisions::Header::Answer, ..Default::default() };
        let lanes = Lanes::new(pools, policy, Arc::new(Metrics::new())).recording(settings);
        let lanes = Arc::new(lanes.counting(counter));
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let service = Service { lanes: Some(Arc::clone(&lanes)), health: Health::default() };
        spawn_local(async move { serve(theirs, &service).await });
        let tended = Arc::clone(&lanes);
        spawn_local(async move { tended.tend().await });
        let (client, connection) = h2::client::handshake(ours).await.unwrap();
        spawn_local(connection);
        let run = Self { lanes, client };
        run.scrape(1, 1);
        run.scrape(1, 1);
        run.scrape(0, 0);
        run
    }

    fn scrape(&self, running: u32, waiting: u32) {
        let reading = Reading { running: Some(running), waiting: Some(waiting), ..Reading::default() };
        self.lanes.pools().only().unwrap().snapshot().endpoints[0].slot.store(reading, now());
    }

    /// Opens a call with a request that has no body.
    async fn request(&self, headers: &[(&str, &str)]) -> Client {
        self.call(headers, None).await
    }

    async fn call(&self, headers: &[(&str, &str)], body: Option<&str>) -> Client {
        let uri = "http://picker/envoy.service.ext_proc.v3.ExternalProcessor/Process";
        let request = http::Request::post(uri).body(()).unwrap();
        let (response, send) =
            self.client.clone().ready().await.unwrap().send_request(request, false).unwrap();
        let deframer = Deframer::new(1 << 20);
        let mut client = Client { send, response: Some(response), received: None, deframer };
        client.message(Request::RequestHeaders(with(headers, body.is_none())));
        if let Some(body) = body {
            let body = body.as_bytes().to_vec();
            let body = pb::HttpBody { body, end_of_stream: true, ..pb::HttpBody::default() };
            client.message(Request::RequestBody(body));
        }
        client
    }

    fn counts(&self) -> (usize, usize) {
        let (_, lane) = self.lanes.of(None).unwrap();
        (lane.gate.in_flight(), lane.gate.waiting())
    }

    fn has(&self, line: &str) {
        let text = self.lanes.metrics.encode();
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

fn with(headers: &[(&str, &str)], end_of_stream: bool) -> pb::HttpHeaders {
    let header = |(name, value): &(&str, &str)| core::HeaderValue {
        key: (*name).to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..core::HeaderValue::default()
    };
    let headers = core::HeaderMap { headers: headers.iter().map(header).collect() };
    pb::HttpHeaders { headers: Some(headers), end_of_stream, ..pb::HttpHeaders::default() }
}

impl Client {
    fn message(&mut self, request: Request) {
        let request = pb::ProcessingRequest { request: Some(request), ..pb::ProcessingRequest::default() };
        let message = request.encode_to_vec();
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        self.send.send_data(frame.into(), false).unwrap();
    }

    /// The next reply; None when nothing comes in a second.
    async fn reply(&mut self) -> Option<Response> {
        let reply = async {
            if let Some(response) = &mut self.response {
                self.received = Some(response.await.unwrap().into_body());
                self.response = None;
            }
            loop {
                if let Some(message) = self.deframer.message().unwrap() {
                    return pb::ProcessingResponse::decode(message).unwrap().response.unwrap();
                }
                let data = self.received.as_mut().unwrap().data().await.expect("a reply before the end");
                self.deframer.push(data.unwrap());
            }
        };
        timeout(Duration::from_secs(1), reply).await.ok()
    }

    async fn is_picked(&mut self) -> bool {
        matches!(self.reply().await, Some(Response::RequestHeaders(_)))
    }

    fn end(mut self) {
        self.send.send_data(Bytes::new(), true).unwrap();
    }
}

fn paused(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_request_that_waited_is_answered_when_there_is_room() {
    paused(async {
        let run = Run::start().await;
        let mut first = run.request(&[]).await;
        assert!(first.is_picked().await);
        let mut standard = run.request(&[]).await;
        sleep(Duration::from_millis(1)).await;
        let mut gold = run.request(&[("x-gateway-inference-objective", "gold")]).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(run.counts(), (1, 2));
        first.end();
        assert!(gold.is_picked().await, "the objective with the higher priority goes first");
        assert_eq!(run.counts(), (1, 1));
        gold.end();
        assert!(standard.is_picked().await);
        standard.end();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(run.counts(), (0, 0));
        run.has(r#"signalbox_picker_requests_total{pool="ns/a",outcome="picked",reason=""} 3"#);
    });
}

#[test]
fn a_scrape_is_noticed_by_those_that_wait() {
    paused(async {
        let run = Run::start().await;
        let mut first = run.request(&[]).await;
        assert!(first.is_picked().await);
        let mut second = run.request(&[]).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(run.counts(), (1, 1));
        // Three run there, and nobody waits: of these two have ended by the next.
        run.scrape(3, 0);
        sleep(Duration::from_millis(20)).await;
        run.scrape(1, 0);
        assert!(second.is_picked().await);
    });
}

#[test]
fn a_request_whose_client_leaves_gives_up_its_place() {
    paused(async {
        let run = Run::start().await;
        let mut first = run.request(&[]).await;
        assert!(first.is_picked().await);
        let mut reset = run.request(&[]).await;
        let closed = run.request(&[]).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(run.counts(), (1, 2));
        reset.send.send_reset(h2::Reason::CANCEL);
        closed.end();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(run.counts(), (1, 0));
        run.has(r#"outcome="cancelled",reason=""} 2"#);
        run.has(r#"signalbox_picker_requests_total{pool="ns/a",outcome="abandoned",reason=""} 2"#);
        run.has(r#"signalbox_picker_streams{pool="ns/a"} 1"#);
    });
}

#[test]
fn a_request_that_waited_too_long_is_told_so() {
    paused(async {
        let run = Run::start().await;
        let mut first = run.request(&[]).await;
        assert!(first.is_picked().await);
        let mut hasty = run.request(&[("x-envoy-upstream-rq-timeout-ms", "500")]).await;
        let Some(Response::ImmediateResponse(refused)) = hasty.reply().await else { panic!("it is refused") };
        assert_eq!(refused.status.unwrap().code, 503);
        assert_eq!(refused.details, "client_deadline");
        let headers = refused.headers.unwrap().set_headers;
        let names: Vec<String> = headers.into_iter().map(|h| h.header.unwrap().key).collect();
        assert!(names.contains(&"retry-after".to_owned()), "{names:?}");
        assert!(refused.body.starts_with(b"{\"error\":{\"message\":"));
        assert_eq!(run.counts(), (1, 0));
        run.has(
            r#"signalbox_picker_requests_total{pool="ns/a",outcome="refused",reason="client_deadline"} 1"#,
        );
    });
}

/// What the answer to a request that waited says of itself reaches all who learn from it.
#[test]
fn usage_is_learned_from() {
    paused(async {
        let run = Run::start().await;
        let mut first = run.request(&[]).await;
        assert!(first.is_picked().await);
        let mut second = run.request(&[]).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(run.counts(), (1, 1));
        first.end();
        assert!(second.is_picked().await);
        let snapshot = run.lanes.pools().only().unwrap().snapshot();
        let usual = snapshot.usual.output();
        let headers = with(&[(":status", "200"), ("content-type", "application/json")], false);
        second.message(Request::ResponseHeaders(headers));
        assert!(matches!(second.reply().await, Some(Response::ResponseHeaders(_))));
        let body = br#"{"usage":{"prompt_tokens":9,"completion_tokens":1000}}"#.to_vec();
        second.message(Request::ResponseBody(pb::HttpBody {
            body,
            end_of_stream: true,
            ..Default::default()
        }));
        assert!(matches!(second.reply().await, Some(Response::ResponseBody(_))));
        assert!(snapshot.usual.output() > usual + 10.0, "{} after {usual}", snapshot.usual.output());
        assert_eq!(run.counts(), (0, 0), "the end of the answer makes room");
    });
}

/// Records say how long a request waited, for whom it made room, and what it was told.
#[test]
fn decisions_are_recorded_with_their_time_in_the_queue() {
    paused(async {
        let run = Run::start().await;
        let named = |id: &str| run.lanes.decisions.of(id).into_iter().next().expect("it is recorded");
        let asks = ("x-signalbox-explain", "true");
        let mut first = run.request(&[("x-request-id", "first"), asks]).await;
        assert!(first.is_picked().await);
        let gold = [("x-request-id", "second"), ("x-gateway-inference-objective", "gold")];
        let mut second = run.request(&gold).await;
        let hasty = [("x-request-id", "third"), ("x-envoy-upstream-rq-timeout-ms", "200")];
        let mut third = run.request(&hasty).await;
        assert!(matches!(third.reply().await, Some(Response::ImmediateResponse(_))));
        let record = named("first");
        assert_eq!((record.why, record.waited, record.endpoints().len()), (Why::Asked, Duration::ZERO, 1));
        assert!(record.happened().end.is_none(), "it runs");
        first.message(Request::ResponseHeaders(with(&[(":status", "200")], true)));
        let Some(Response::ResponseHeaders(answer)) = first.reply().await else { panic!("headers") };
        let set = answer.response.unwrap().header_mutation.unwrap().set_headers;
        let header = set[0].header.clone().unwrap();
        assert_eq!(header.key, "x-signalbox-decision");
        assert!(header.raw_value.starts_with(b"picked=10.0.0.1:8000; "), "{header:?}");
        assert!(second.is_picked().await);
        let record = named("second");
        assert_eq!((record.why, record.asked.priority), (Why::Sampled, 100));
        assert_eq!(record.asked.objective.as_deref(), Some("gold"));
        assert_eq!(record.waited.as_millis() / 10, 20);
        let record = named("third");
        assert_eq!((record.why, record.waited.as_millis() / 10), (Why::Refused, 20));
        assert!(matches!(record.result, Decided::Refused { reason: "client_deadline", status: 503, .. }));
        second.end();
        sleep(Duration::from_millis(1)).await;
        let ends = ["first", "second"].map(|id| named(id).happened().end.unwrap().0.name());
        assert_eq!(ends, ["answered", "cut"]);
    });
}

/// A prompt of text that is counted is matched with what the engine holds, token by token.
#[test]
fn counted_text_is_matched_with_caches() {
    paused(async {
        let run = Run::counting(Some(counter(Duration::from_secs(1)))).await;
        let snapshot = run.lanes.pools().only().unwrap().snapshot();
        let mirror = snapshot.endpoints[0].slot.mirror().unwrap();
        mirror.apply(&[Event::Stored(Stored {
            hashes: vec![1, 2],
            parent: None,
            tokens: [0].into_iter().chain(2..33).collect(),
            block_size: 16,
            adapter: String::new(),
            extra: Vec::new(),
            medium: Medium::Gpu,
        })]);
        mirror.set_trust(Trust::Complete);
        let words: Vec<_> = (2..40).map(|n| format!("w{n}")).collect();
        let text = words.join(" ");
        let other = text.replace("w20", "w2");
        let chat = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
        let plain = |text: &str| format!(r#"{{"model":"m","prompt":"{text}"}}"#);
        for (id, path, body, tokens, cached) in [
            ("a", "/v1/completions", &plain(&text), 39, 32),
            ("b", "/v1/completions", &plain(&other), 39, 16),
            ("c", "/v1/chat/completions", &chat, 38 + 4 + 5, 0),
        ] {
            let headers = [(":path", path), ("x-request-id", id), ("x-signalbox-explain", "true")];
            let mut call = run.call(&headers, Some(body)).await;
            assert!(call.is_picked().await);
            let record = run.lanes.decisions.of(id).into_iter().next().expect("it is recorded");
            let told =
                (record.asked.prompt_tokens, record.asked.counted, record.picked().unwrap().cached_tokens);
            assert_eq!(told, (tokens, true, cached), "{body}");
            call.end();
            sleep(Duration::from_millis(1)).await;
        }
    });
}
