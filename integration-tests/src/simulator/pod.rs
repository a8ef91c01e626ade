//! One simulated Pod: its engine driven by time, its faults, and what its requests have met.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use super::{
    config::PodConfig,
    engine::{Engine, Event, Job, SequenceId},
    faults::Faults,
};

/// A Pod.
pub struct Pod {
    config: PodConfig,
    started: Instant,
    /// The engine and who listens to its sequences; locked for single steps and submissions, never over an await.
    state: Mutex<State>,
    work: Notify,
    faults: watch::Sender<Faults>,
    /// The metrics page as it was when `frozen` was switched on.
    pub(super) frozen_metrics: Mutex<Option<String>>,
    requests: AtomicU64,
}

struct State {
    engine: Engine,
    listeners: HashMap<SequenceId, mpsc::Sender<Event>>,
}

impl Pod {
    /// A Pod with this configuration; [`Pod::run`] makes it work.
    ///
    /// # Errors
    /// When the configuration's profile is not known.
    pub fn new(config: PodConfig) -> Result<Arc<Self>> {
        let engine = Engine::new(&config, config.speed()?);
        Ok(Arc::new(Self {
            config,
            started: Instant::now(),
            state: Mutex::new(State { engine, listeners: HashMap::new() }),
            work: Notify::new(),
            faults: watch::Sender::default(),
            frozen_metrics: Mutex::default(),
            requests: AtomicU64::new(0),
        }))
    }

    /// Its configuration.
    pub fn config(&self) -> &PodConfig {
        &self.config
    }

    /// The faults in force.
    pub fn faults(&self) -> Faults {
        self.faults.borrow().clone()
    }

    /// Follows the faults in force.
    pub(super) fn watch_faults(&self) -> watch::Receiver<Faults> {
        self.faults.subscribe()
    }

    /// Replaces the faults in force.
    pub fn set_faults(&self, faults: Faults) {
        *self.frozen_metrics.lock() = None;
        self.faults.send_replace(faults);
    }

    /// The faults that apply to one more request; counts it when they are limited to some.
    pub(super) fn take_faults(&self) -> Faults {
        let mut taken = Faults::default();
        self.faults.send_if_modified(|faults| {
            taken = match faults.times {
                Some(0) => faults.without_request_faults(),
                _ => faults.clone(),
            };
            faults.times = faults.times.map(|times| times.saturating_sub(1));
            false
        });
        taken
    }

    /// Requests answered or begun, connections reset on accept among them; those for metrics and administration left out.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Looks at the engine, or changes its adapters.
    pub fn with_engine<T>(&self, look: impl FnOnce(&mut Engine) -> T) -> T {
        look(&mut self.state.lock().engine)
    }

    /// Begins to generate. `None` when the KV cache could never hold the job.
    pub fn generate(self: &Arc<Self>, job: Job) -> Option<Generation> {
        // Tokens and the end: the channel never overflows.
        let (sender, events) = mpsc::channel(job.max_tokens.min(job.natural_end) + 1);
        let mut state = self.state.lock();
        let id = state.engine.submit(job, self.started.elapsed())?;
        state.listeners.insert(id, sender);
        drop(state);
        self.work.notify_one();
        Some(Generation { pod: Arc::clone(self), id, events })
    }

    /// Drives the engine for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            let step = self.state.lock().engine.begin_step(self.started.elapsed());
            match step {
                None => self.work.notified().await,
                Some(ends) => {
                    self.wait_until(ends).await;
                    self.end_step();
                }
            }
        }
    }

    async fn wait_until(&self, ends: Duration) {
        let deadline = self.started + ends;
        if deadline > Instant::now() {
            tokio::time::sleep_until(deadline).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    fn end_step(&self) {
        let mut state = self.state.lock();
        for (id, event) in state.engine.end_step(self.started.elapsed()) {
            let sent = state.listeners.get(&id).is_some_and(|listener| listener.try_send(event).is_ok());
            if !sent || matches!(event, Event::Finished(_)) {
                state.listeners.remove(&id);
            }
        }
    }
}

/// The tokens of one answer as they come. Dropping it stops the generation.
pub struct Generation {
    pod: Arc<Pod>,
    id: SequenceId,
    events: mpsc::Receiver<Event>,
}

impl Generation {
    /// The next event; `None` after [`Event::Finished`].
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        let mut state = self.pod.state.lock();
        state.listeners.remove(&self.id);
        state.engine.cancel(self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::simulator::config::parse_pod;

    fn job(seed: u32, max_tokens: usize) -> Job {
        let prompt = (0..100).map(|i| seed * 1000 + i).collect();
        Job { prompt, max_tokens, natural_end: usize::MAX, adapter: None, salt: 0, seed: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn time_passes_as_the_engine_says() {
        let pod = Pod::new(parse_pod("name=p,listen=127.0.0.1:1,model=m,profile=h100").unwrap()).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&pod).run());
        let start = Instant::now();
        let mut generation = pod.generate(job(0, 11)).unwrap();
        generation.next().await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(55));
        while generation.next().await.is_some() {}
        assert_eq!(start.elapsed(), Duration::from_millis(55 + 120));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_generation_stops() {
        let pod = Pod::new(parse_pod("name=p,listen=127.0.0.1:1,model=m,profile=h100").unwrap()).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&pod).run());
        let mut generation = pod.generate(job(0, 10_000)).unwrap();
        generation.next().await.unwrap();
        assert_eq!(pod.with_engine(|engine| engine.running().0), 1);
        drop(generation);
        assert_eq!(pod.with_engine(|engine| (engine.running().0, engine.blocks().used())), (0, 0));
        assert!(pod.state.lock().listeners.is_empty());
    }
}
