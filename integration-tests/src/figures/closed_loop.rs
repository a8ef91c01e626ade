//! A closed loop: a few kept-alive connections, each sending its next request when it has read the last answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::samples::Samples;

/// No answer takes this long.
const DEADLINE: Duration = Duration::from_secs(20);

/// Connections to one address.
pub(super) struct ClosedLoop {
    host: String,
    path: &'static str,
    bodies: Arc<[Bytes]>,
    connections: Vec<SendRequest<Full<Bytes>>>,
    _drivers: JoinSet<()>,
}

/// When a loop ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many requests of each connection.
    Requests(usize),
}

/// What one connection has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Milliseconds from sending a request to the end of its answer.
    pub latencies: Samples,
    /// The Pods that have answered.
    pub pods: Vec<String>,
}

impl ClosedLoop {
    /// Connects. Requests are POSTs of these bodies in turn.
    ///
    /// # Errors
    /// When the address does not accept.
    pub(super) async fn connect(
        address: SocketAddr,
        connections: usize,
        path: &'static str,
        bodies: Arc<[Bytes]>,
    ) -> Result<Self> {
        let mut drivers = JoinSet::new();
        let mut open = Vec::new();
        for _ in 0..connections {
            let stream =
                TcpStream::connect(address).await.with_context(|| format!("no connection to {address}"))?;
            stream.set_nodelay(true)?;
            let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
            drivers.spawn(async move {
                // What breaks is seen by the request under way.
                drop(driver.await);
            });
            open.push(sender);
        }
        Ok(Self { host: address.to_string(), path, bodies, connections: open, _drivers: drivers })
    }

    /// Loads the address.
    ///
    /// # Errors
    /// When an answer is missing or not 200: a figure of failed requests means nothing.
    pub(super) async fn run(&mut self, until: Until) -> Result<Seen> {
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for (index, connection) in self.connections.drain(..).enumerate() {
            let (host, path, bodies) = (self.host.clone(), self.path, Arc::clone(&self.bodies));
            tasks.spawn(async move {
                let mut connection = connection;
                let mut seen = Seen::default();
                loop {
                    let done = match until {
                        Until::Elapsed(span) => start.elapsed() >= span,
                        Until::Requests(count) => seen.pods.len() >= count,
                    };
                    if done {
                        return anyhow::Ok((connection, seen));
                    }
                    let body = bodies[(index * 7 + seen.pods.len()) % bodies.len()].clone();
                    let ask = ask(&mut connection, &host, path, body, &mut seen);
                    timeout(DEADLINE, ask).await.context("no answer in time")??;
                }
            });
        }
        let mut all = Seen::default();
        while let Some(ended) = tasks.join_next().await {
            let (connection, seen) = ended??;
            self.connections.push(connection);
            all.latencies.append(seen.latencies);
            all.pods.extend(seen.pods);
        }
        Ok(all)
    }
}

async fn ask(
    connection: &mut SendRequest<Full<Bytes>>,
    host: &str,
    path: &str,
    body: Bytes,
    seen: &mut Seen,
) -> Result<()> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let start = Instant::now();
    connection.ready().await.context("the connection is closed")?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let pod = response
        .headers()
        .get("x-inference-pod")
        .map(|pod| String::from_utf8_lossy(pod.as_bytes()).into_owned());
    let body = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
    let took = start.elapsed();
    ensure!(status == StatusCode::OK, "{status}: {}", String::from_utf8_lossy(&body));
    seen.latencies.push(took.as_secs_f64() * 1000.0);
    seen.pods.push(pod.unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        loopback::Block,
        simulator::{Fleet, PodConfig},
    };

    #[tokio::test]
    async fn every_request_is_counted() {
        let address = SocketAddr::new(Block::claim().address(10), 8000);
        let fleet = Fleet::start([PodConfig::new("pod", address, "m")]).await.unwrap();
        let bodies = ["a", "b"].map(|prompt| {
            Bytes::from(serde_json::json!({"model": "m", "prompt": prompt, "max_tokens": 1}).to_string())
        });
        let bodies: Arc<[Bytes]> = bodies.into();
        let mut load = ClosedLoop::connect(address, 3, "/v1/completions", bodies.clone()).await.unwrap();
        for _ in 0..2 {
            let seen = load.run(Until::Requests(5)).await.unwrap();
            assert_eq!((seen.latencies.len(), seen.pods.len()), (15, 15));
            assert!(seen.pods.iter().all(|pod| pod == "pod"));
        }
        assert_eq!(fleet.pod("pod").requests(), 30);
        let mut wrong = ClosedLoop::connect(address, 1, "/v1/chat/completions", bodies).await.unwrap();
        assert!(wrong.run(Until::Requests(1)).await.is_err());
    }
}
