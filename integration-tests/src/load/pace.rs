//! Decides when requests begin.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Load, Report, once};

/// When requests begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each of so many clients asks again as soon as it is answered.
    Closed {
        /// Clients.
        clients: usize,
    },
    /// At a constant rate, whether there are answers or not.
    Constant {
        /// Requests a second.
        rate: f64,
    },
    /// As a Poisson process, whether there are answers or not.
    Poisson {
        /// Requests a second, in the mean.
        rate: f64,
        /// Seed of the arrivals.
        seed: u64,
    },
}

/// Requests of an open loop that may be under way at once; beyond that the load waits, and its report shows a lower
/// rate than was asked for.
const OPEN_LIMIT: usize = 2000;

pub(super) async fn drive(load: Load, report: Arc<Mutex<Report>>, stop: CancellationToken) {
    let load = Arc::new(load);
    let start = Instant::now();
    let end = start + load.duration;
    let mut tasks = JoinSet::new();
    match load.pace {
        Pace::Closed { clients } => {
            for client in 0..clients {
                let (load, report, stop) = (Arc::clone(&load), Arc::clone(&report), stop.clone());
                tasks.spawn(async move {
                    let mut number = client as u64;
                    while !stop.is_cancelled() && Instant::now() < end {
                        once(Arc::clone(&load), number, start, Arc::clone(&report)).await;
                        number += clients as u64;
                    }
                });
            }
        }
        Pace::Constant { rate } => {
            let gap = Duration::from_secs_f64(1.0 / rate);
            open(&mut tasks, &load, &report, &stop, start, || gap).await;
        }
        Pace::Poisson { rate, seed } => {
            let mut random = fastrand::Rng::with_seed(seed);
            let gap = || Duration::from_secs_f64(-(1.0 - random.f64()).ln() / rate);
            open(&mut tasks, &load, &report, &stop, start, gap).await;
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a request's task does not panic");
    }
}

async fn open(
    tasks: &mut JoinSet<()>,
    load: &Arc<Load>,
    report: &Arc<Mutex<Report>>,
    stop: &CancellationToken,
    start: Instant,
    mut gap: impl FnMut() -> Duration,
) {
    let mut next = start;
    for number in 0.. {
        next += gap();
        if next > start + load.duration {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        while tasks.len() >= OPEN_LIMIT || tasks.try_join_next().is_some() {
            if tasks.len() >= OPEN_LIMIT {
                tasks.join_next().await;
            }
        }
        tasks.spawn(once(Arc::clone(load), number, start, Arc::clone(report)));
    }
}
