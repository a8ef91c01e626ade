//! From the rename of a manifest to the first answer that shows it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{figures::manifests::redirect, stack::Directory};

/// A change that takes this long is lost.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// Sees what a Gateway does with a path, on one kept connection.
pub(super) struct Eye {
    host: String,
    connection: SendRequest<Empty<Bytes>>,
    _driver: JoinSet<()>,
}

impl Eye {
    /// Connects.
    ///
    /// # Errors
    /// When the Gateway does not accept.
    pub(super) async fn on(gateway: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(gateway).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let mut drivers = JoinSet::new();
        drivers.spawn(async move { drop(driver.await) });
        Ok(Self { host: gateway.to_string(), connection, _driver: drivers })
    }

    async fn status(&mut self, path: &str) -> Result<StatusCode> {
        let request = Request::get(path).header(header::HOST, &self.host).body(Empty::new())?;
        self.connection.ready().await?;
        let response = self.connection.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }
}

/// Makes the route `edits` redirect another path; milliseconds until the Gateway does.
///
/// # Errors
/// When it does not in ten seconds, or did before.
pub(super) async fn edit(manifests: &Directory, eye: &mut Eye, number: usize) -> Result<f64> {
    let path = format!("/edits/{number}");
    ensure!(eye.status(&path).await? != StatusCode::FOUND, "{path} is redirected before it is asked for");
    let start = Instant::now();
    manifests.write("edits.yaml", &redirect("edits", &path))?;
    loop {
        let status = eye.status(&path).await.context("the connection of the eye")?;
        if status == StatusCode::FOUND {
            return Ok(start.elapsed().as_secs_f64() * 1000.0);
        }
        if start.elapsed() > DEADLINE {
            bail!("{path} is answered with {status} {DEADLINE:?} after the file was written");
        }
        sleep(LOOK).await;
    }
}
