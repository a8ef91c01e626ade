//! The messages that Envoy 1.40 sends to an ext_proc server for one inference request.

use envoy_types::pb::envoy::{
    config::core::v3::{HeaderMap, HeaderValue},
    extensions::filters::http::ext_proc::v3::processing_mode::BodySendMode,
    service::ext_proc::v3::{
        HttpBody, HttpHeaders, ProcessingRequest, ProtocolConfiguration, processing_request::Request as Part,
    },
};

/// How bodies are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Both bodies in chunks, each answered with the chunk itself: what any picker is asked with.
    FullDuplex,
    /// The request's body whole, the response's not at all: what our control plane configures for our picker.
    Buffered,
}

/// Bytes of a chunk in full duplex: what Envoy reads from a socket at once.
const CHUNK: usize = 16 << 10;

/// The messages of one request, in order.
pub(super) struct Messages {
    /// The request's headers.
    pub headers: ProcessingRequest,
    /// The request's body.
    pub body: Vec<ProcessingRequest>,
    /// The response's headers.
    pub response_headers: ProcessingRequest,
    /// The response's body.
    pub response_body: Option<ProcessingRequest>,
}

impl Messages {
    /// For a request with this body.
    pub(super) fn of(shape: Shape, body: &[u8]) -> Self {
        let (request_mode, response_mode) = match shape {
            Shape::FullDuplex => (BodySendMode::FullDuplexStreamed, BodySendMode::FullDuplexStreamed),
            Shape::Buffered => (BodySendMode::Buffered, BodySendMode::None),
        };
        let mut headers = message(Part::RequestHeaders(request_headers(body.len())));
        headers.protocol_config = Some(ProtocolConfiguration {
            request_body_mode: request_mode.into(),
            response_body_mode: response_mode.into(),
            send_body_without_waiting_for_header_response: false,
        });
        let chunk = if shape == Shape::FullDuplex { CHUNK } else { body.len() };
        let count = body.len().div_ceil(chunk);
        let chunks = body.chunks(chunk).enumerate().map(|(index, chunk)| {
            message(Part::RequestBody(HttpBody {
                body: chunk.to_vec(),
                end_of_stream: index + 1 == count,
                ..Default::default()
            }))
        });
        let answer = HttpBody { body: ANSWER.to_vec(), end_of_stream: true, ..Default::default() };
        Self {
            headers,
            body: chunks.collect(),
            response_headers: message(Part::ResponseHeaders(response_headers())),
            response_body: (shape == Shape::FullDuplex).then(|| message(Part::ResponseBody(answer))),
        }
    }
}

fn message(part: Part) -> ProcessingRequest {
    ProcessingRequest { request: Some(part), ..Default::default() }
}

fn headers(of: &[(&str, &str)]) -> HttpHeaders {
    let header = |&(key, value): &(&str, &str)| HeaderValue {
        key: key.to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..Default::default()
    };
    let headers = HeaderMap { headers: of.iter().map(header).collect() };
    HttpHeaders { headers: Some(headers), ..Default::default() }
}

fn request_headers(length: usize) -> HttpHeaders {
    headers(&[
        (":authority", "models.example.com"),
        (":path", "/v1/chat/completions"),
        (":method", "POST"),
        (":scheme", "http"),
        ("user-agent", "OpenAI/Python 1.99.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate"),
        ("content-type", "application/json"),
        ("content-length", &length.to_string()),
        ("x-forwarded-for", "10.1.2.3"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "1b7a3f0e-6a52-4b0c-9a57-3f1e2d4c5b6a"),
        ("x-gateway-model-name", MODEL),
    ])
}

fn response_headers() -> HttpHeaders {
    headers(&[
        (":status", "200"),
        ("date", "Mon, 05 Jan 2026 10:00:00 GMT"),
        ("server", "uvicorn"),
        ("content-type", "application/json"),
        ("content-length", &ANSWER.len().to_string()),
    ])
}

/// The model of all requests.
pub(super) const MODEL: &str = "chatbot";

const ANSWER: &[u8] = br#"{"id":"chatcmpl-7f3a","object":"chat.completion","created":1767607200,"model":"chatbot","choices":[{"index":0,"message":{"role":"assistant","content":"The sky is blue because air scatters short wavelengths more."},"finish_reason":"stop"}],"usage":{"prompt_tokens":210,"total_tokens":224,"completion_tokens":14}}"#;

/// A chat body whose prompt has this many bytes, different for every `seed` from its first words on.
pub(in crate::figures) fn chat_body(seed: u64, prompt_bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut prompt = String::with_capacity(prompt_bytes + 16);
    while prompt.len() < prompt_bytes {
        for _ in 0..random.usize(2..10) {
            prompt.push(random.lowercase());
        }
        prompt.push(' ');
    }
    prompt.truncate(prompt_bytes);
    let body = serde_json::json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 16,
        "temperature": 0,
    });
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_sent_in_chunks_only_in_full_duplex() {
        let body = chat_body(1, 50_000);
        assert!((50_000..50_200).contains(&body.len()), "{}", body.len());
        assert_ne!(body, chat_body(2, 50_000));
        let duplex = Messages::of(Shape::FullDuplex, &body);
        assert_eq!((duplex.body.len(), duplex.response_body.is_some()), (4, true));
        let buffered = Messages::of(Shape::Buffered, &body);
        assert_eq!((buffered.body.len(), buffered.response_body.is_some()), (1, false));
    }
}
