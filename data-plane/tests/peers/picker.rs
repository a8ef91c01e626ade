//! A picker process, its clients, and certificates.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::ext_proc::v3 as pb;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::external_processor_client::ExternalProcessorClient;
use pb::processing_request::Request;
use pb::processing_response::Response;
use proto::peers::v1::FollowRequest;
use proto::peers::v1::peers_client::PeersClient;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

const HOST: &str = "picker.ns.svc";
const BUFFERED: i32 = 2;

pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap()
}

/// Waits for `is`.
pub(crate) async fn until(what: &str, is: impl AsyncFn() -> bool) {
    for _ in 0..800 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not within 20 s: {what}");
}

/// Signs certificates.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A directory with the certificate of a picker that names `identities`.
    pub(crate) fn leaf(&self, identities: &[&str]) -> TempDir {
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
        params.subject_alt_names.extend(identities.iter().map(uri));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
        write("tls.crt", params.signed_by(&key, &self.issuer).unwrap().pem());
        write("tls.key", key.serialize_pem());
        write("ca.crt", self.pem.clone());
        directory
    }

    /// Whether the picker at `address`, believed by this authority, tells the holder of `directory` something.
    pub(crate) async fn follow(
        &self,
        directory: &TempDir,
        address: SocketAddr,
        pool: &str,
    ) -> Result<(), String> {
        let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.pem))
            .identity(Identity::from_pem(read("tls.crt"), read("tls.key")))
            .domain_name(HOST);
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
        let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
        let request = FollowRequest { pools: vec![pool.to_owned()], ..FollowRequest::default() };
        let told =
            PeersClient::new(channel).follow(request).await.map_err(|status| status.message().to_owned())?;
        let first = told.into_inner().message().await.map_err(|status| status.message().to_owned())?;
        first.map(drop).ok_or_else(|| "it told nothing".to_owned())
    }
}

/// A picker of pool ns/pool; killed when dropped.
pub(crate) struct Picker {
    child: Child,
    ext_proc: SocketAddr,
    metrics: SocketAddr,
    _directories: [Option<TempDir>; 2],
}

/// A request that is in flight until this is dropped.
pub(crate) struct Asked {
    pub(crate) endpoint: String,
    _stream: mpsc::Sender<pb::ProcessingRequest>,
    _replies: tonic::Streaming<pb::ProcessingResponse>,
}

impl Picker {
    /// The one that tells at `listen[at]`, among those at `listen`.
    pub(crate) fn start(
        listen: &[SocketAddr],
        at: usize,
        endpoints: &[SocketAddr],
        authority: Option<&Authority>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pools.yaml");
        let list: String = endpoints.iter().map(|address| format!("  - address: {address}\n")).collect();
        fs::write(&file, format!("pools:\n- name: ns/pool\n  endpoints:\n{list}")).unwrap();
        let (ext_proc, metrics) = (free(), free());
        let peers: Vec<String> = listen.iter().map(ToString::to_string).collect();
        let certificates =
            authority.map(|authority| authority.leaf(&["spiffe://signalbox.dev/ns/ns/pool/pool"]));
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox-picker"));
        command
            .args(["--listen", &ext_proc.to_string(), "--metrics-listen", &metrics.to_string()])
            .args(["--health-listen", "127.0.0.1:0", "--secure-serving=false", "--workers", "1"])
            .args(["--pools-file".as_ref(), file.as_os_str()])
            .args(["--peers", &peers.join(","), "--peers-listen", &listen[at].to_string()])
            .args(["--explain-header", "record", "--die-with-parent", "--log-level", "warn"])
            .stdin(Stdio::null());
        if let Some(certificates) = &certificates {
            command.args([Path::new("--peers-tls-dir"), certificates.path()]);
        }
        let child = command.spawn().unwrap();
        Self { child, ext_proc, metrics, _directories: [Some(directory), certificates] }
    }

    pub(crate) async fn ready(&self) {
        until("ready", async || self.text("/readyz").await.is_some_and(|text| text.ends_with("ready\n")))
            .await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    async fn text(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.metrics).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.ok()?;
        response.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    /// JSON of the admin port.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let text = self.text(path).await.expect("the admin port answers");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// A metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.text("/metrics").await?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Asks where a completion of `prompt` goes. Its decision can be explained by `id`.
    pub(crate) async fn ask(&self, id: &str, prompt: &str) -> Asked {
        let (send, receive) = mpsc::channel(4);
        let endpoint = Endpoint::from_shared(format!("http://{}", self.ext_proc)).unwrap();
        let mut client = ExternalProcessorClient::new(endpoint.connect().await.unwrap());
        let body =
            serde_json::json!({ "model": "llama", "prompt": prompt, "max_tokens": 100, "stream": true });
        let headers = [
            (":method", "POST"),
            (":path", "/v1/completions"),
            ("content-type", "application/json"),
            ("x-request-id", id),
            ("x-signalbox-explain", "true"),
        ];
        let header = |(key, value): (&str, &str)| HeaderValue {
            key: key.to_owned(),
            raw_value: value.as_bytes().to_vec(),
            ..Default::default()
        };
        let headers = HeaderMap { headers: headers.into_iter().map(header).collect() };
        let headers = pb::HttpHeaders { headers: Some(headers), ..Default::default() };
        let protocol_config =
            Some(pb::ProtocolConfiguration { request_body_mode: BUFFERED, ..Default::default() });
        let headers = Request::RequestHeaders(headers);
        let first = pb::ProcessingRequest { request: Some(headers), protocol_config, ..Default::default() };
        send.send(first).await.unwrap();
        let mut replies = client.process(ReceiverStream::new(receive)).await.unwrap().into_inner();
        let body =
            pb::HttpBody { body: body.to_string().into_bytes(), end_of_stream: true, ..Default::default() };
        let body = Request::RequestBody(body);
        replies.message().await.unwrap().expect("a reply to the headers");
        send.send(pb::ProcessingRequest { request: Some(body), ..Default::default() }).await.unwrap();
        let reply = replies.message().await.unwrap().expect("a reply to the body");
        let Some(Response::RequestBody(decided)) = &reply.response else { panic!("{reply:?}") };
        let mutation = decided.response.as_ref().and_then(|common| common.header_mutation.as_ref());
        let mut set =
            mutation.expect("headers are set").set_headers.iter().filter_map(|one| one.header.as_ref());
        let named = set.rfind(|header| header.key == "x-gateway-destination-endpoint");
        let list = String::from_utf8(named.expect("a destination").raw_value.clone()).unwrap();
        let endpoint = list.split(',').next().unwrap().to_owned();
        Asked { endpoint, _stream: send, _replies: replies }
    }
}

impl Drop for Picker {
    fn drop(&mut self) {
        // As when a node dies: nobody is told.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
