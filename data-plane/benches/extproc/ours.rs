//! This picker, as `signalbox-picker` runs it, with one pool of 10 endpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use data_plane::extproc::connection::Service;
use data_plane::extproc::health::Health;
use data_plane::extproc::lane::{Lanes, Policy};
use data_plane::extproc::server::{self, Connections, Options};
use data_plane::flow::Settings;
use data_plane::pool::Pools;
use proto::tier::v1;

pub(crate) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let pools = Pools::new(Instant::now());
        let endpoint = |n: u32| v1::Endpoint {
            address: format!("10.0.0.{n}"),
            port: 8000,
            state: v1::EndpointState::Ready.into(),
            ..Default::default()
        };
        let pool = v1::PoolSnapshot {
            name: Some(v1::PoolName { namespace: "ns".to_owned(), name: "pool".to_owned() }),
            endpoints: (1..=10).map(endpoint).collect(),
            ..Default::default()
        };
        pools.apply(v1::WatchResponse { changed: vec![pool], synced: true, ..Default::default() });
        let policy = Policy {
            read_answers: 0.0,
            body_limit: 32 << 20,
            decision_deadline: Duration::from_secs(2),
            fairness_header: None,
            admission: Settings::default(),
        };
        let service = Service {
            lanes: Some(Arc::new(Lanes::new(pools, policy, Arc::default()))),
            health: Health::default(),
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let options =
            Options { service: Arc::new(service), tls: None, workers, connections: Connections::default() };
        let listener = server::bind("127.0.0.1:0".parse()?).await?;
        crate::announce(listener.local_addr()?)?;
        tokio::select! {
            ended = server::run(listener, options) => ended?,
            ended = tokio::task::spawn_blocking(crate::until_driver_ends) => ended?,
        }
        Ok(())
    })
}
