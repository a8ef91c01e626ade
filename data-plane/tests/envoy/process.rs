//! The picker as a process: readiness, health, draining, and its parent's end.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::envoy::free;

struct Addresses {
    ext_proc: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
}

/// A picker with one pool; `wrap` may start it another way.
fn command(directory: &Path, addresses: &Addresses) -> Vec<String> {
    let file = directory.join("pools.yaml");
    std::fs::write(&file, "pools:\n- name: ns/pool\n  endpoints:\n  - address: 127.0.0.1:9\n").unwrap();
    let flags = format!(
        "--listen {} --health-listen {} --metrics-listen {} --pools-file {} --drain-delay 1s --die-with-parent \
         --log-format json",
        addresses.ext_proc,
        addresses.health,
        addresses.metrics,
        file.display()
    );
    let flags = flags.split(' ').map(str::to_owned);
    std::iter::once(env!("CARGO_BIN_EXE_signalbox-picker").to_owned()).chain(flags).collect()
}

fn addresses() -> Addresses {
    Addresses { ext_proc: free(), health: free(), metrics: free() }
}

/// Status line and body of a GET.
async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await.ok()?;
    Some(response)
}

async fn until_ready(address: SocketAddr) {
    for _ in 0..400 {
        if get(address, "/readyz").await.is_some_and(|r| r.starts_with("HTTP/1.1 200")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not ready");
}

async fn channel(address: SocketAddr) -> tonic::transport::Channel {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

async fn ended(child: &mut Child) -> std::process::ExitStatus {
    for _ in 0..400 {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the process does not end");
}

#[tokio::test]
async fn sigterm_tells_health_first_and_ends_with_zero() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = addresses();
    let command = command(directory.path(), &addresses);
    let mut child = Command::new(&command[0]).args(&command[1..]).stderr(Stdio::null()).spawn().unwrap();
    until_ready(addresses.metrics).await;
    let pools = get(addresses.metrics, "/debug/pools").await.unwrap();
    assert!(pools.contains("\"ns/pool\"") && pools.contains("127.0.0.1:9"), "{pools}");
    assert!(get(addresses.metrics, "/metrics").await.unwrap().contains("signalbox_picker_connections"));

    let mut health = HealthClient::new(channel(addresses.health).await);
    let request = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for (service, status) in [
        ("", Ok(1)),
        ("liveness", Ok(1)),
        ("inference-extension", Ok(1)),
        ("envoy.service.ext_proc.v3.ExternalProcessor", Ok(1)),
        ("other", Err(tonic::Code::NotFound)),
    ] {
        let checked = health.check(request(service)).await;
        assert_eq!(checked.map(|r| r.into_inner().status).map_err(|e| e.code()), status, "{service}");
    }
    let mut watch = health.watch(request("readiness")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    let mut unknown = health.watch(request("other")).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status, 3);

    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2, "NOT_SERVING while draining");
    assert!(get(addresses.metrics, "/readyz").await.unwrap().starts_with("HTTP/1.1 503"));
    assert_eq!(health.check(request("liveness")).await.unwrap().into_inner().status, 1);
    assert_eq!(ended(&mut child).await.code(), Some(0));
}

#[tokio::test]
async fn a_picker_ends_with_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = addresses();
    let command = command(directory.path(), &addresses);
    let script = "\"$@\" & wait";
    let mut shell =
        Command::new("sh").args(["-c", script, "sh"]).args(&command).stderr(Stdio::null()).spawn().unwrap();
    until_ready(addresses.metrics).await;
    shell.kill().unwrap();
    shell.wait().unwrap();
    for _ in 0..400 {
        if get(addresses.metrics, "/healthz").await.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the picker outlives its parent");
}
