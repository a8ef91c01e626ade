//! The loop of virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::outcome::{Outcome, Usage};
use crate::picker::{Ask, pick};
use crate::pool::{Pool, Reading};
use crate::prefix::{BLOCK, Chain};

use super::engine::{Engine, Happened, Job, Speeds};
use super::policy::{self, Policy};
use super::report::{Quantiles, Report};
use super::trace::{Request, Shape, normal, trace};

/// Between scrapes of an engine, in seconds.
const SCRAPE: f64 = 0.05;
/// Bytes of a token.
const TOKEN_BYTES: usize = 4;
/// Standard deviation of estimated over true prompt tokens.
const ESTIMATE: f64 = 0.1;

/// One run.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// The engines.
    pub fleet: &'a [Speeds],
    /// The requests.
    pub requests: &'a [Request],
    /// Who decides.
    pub policy: Policy,
    /// Of what is random in the policy.
    pub seed: u64,
    /// Seconds at the start whose requests are not reported.
    pub warm_up: f64,
    /// First bytes are first tokens; otherwise response headers come ahead of them, as from vLLM.
    pub first_bytes: bool,
    /// Engines show how full their KV cache is.
    pub kv_shown: bool,
    /// At this second, the engine of this index gets these speeds.
    pub change: Option<(f64, usize, Speeds)>,
}

struct Bed<'a> {
    run: &'a Run<'a>,
    epoch: Instant,
    engines: Vec<Engine>,
    readings: Vec<Reading>,
    /// What each engine was sent: session → tokens. Ours has its own index of it.
    sent: Vec<std::collections::BTreeMap<u32, u32>>,
    in_flight: Vec<usize>,
    pool: Option<Arc<Pool>>,
    outcomes: Vec<Option<Outcome>>,
    picks: Vec<usize>,
    first: Vec<f64>,
    end: Vec<f64>,
    rng: fastrand::Rng,
    cached: Vec<u32>,
}

/// Plays a run to its last answer.
#[must_use]
pub fn run(run: &Run<'_>) -> Report {
    let epoch = Instant::now();
    let count = run.requests.len();
    let seeds = match run.policy {
        Policy::Ours(seeds) => Some(Some(seeds)),
        Policy::Known => Some(None),
        _ => None,
    };
    let mut bed = Bed {
        run,
        epoch,
        engines: run.fleet.iter().map(|speeds| Engine::new(*speeds)).collect(),
        readings: vec![Reading::default(); run.fleet.len()],
        sent: vec![std::collections::BTreeMap::new(); run.fleet.len()],
        in_flight: vec![0; run.fleet.len()],
        pool: seeds.map(|seeds| policy::pool(run.fleet, seeds, epoch)),
        outcomes: (0..count).map(|_| None).collect(),
        picks: vec![0; count],
        first: vec![0.0; count],
        end: vec![0.0; count],
        rng: fastrand::Rng::with_seed(run.seed),
        cached: Vec::new(),
    };
    bed.play();
    bed.report()
}

impl Bed<'_> {
    fn instant(&self, at: f64) -> Instant {
        self.epoch + Duration::from_secs_f64(at)
    }

    fn play(&mut self) {
        let mut next = 0;
        let mut scrape = 0.0;
        let mut change = self.run.change;
        let mut happened = Vec::new();
        loop {
            let arrival = self.run.requests.get(next).map_or(f64::INFINITY, |request| request.at);
            let engine = self.engines.iter().map(Engine::next).fold(f64::INFINITY, f64::min);
            let now = arrival.min(engine);
            if now == f64::INFINITY {
                return;
            }
            let now = now.min(scrape);
            if let Some((_, index, speeds)) = change.take_if(|(at, ..)| *at <= now) {
                self.engines[index].become_like(speeds);
            }
            for engine in &mut self.engines {
                engine.advance(now, &mut happened);
            }
            for event in happened.drain(..) {
                self.on(event);
            }
            if scrape <= now {
                self.scrape(now);
                scrape += SCRAPE;
            } else if arrival <= now {
                self.arrive(next);
                next += 1;
            }
        }
    }

    fn scrape(&mut self, now: f64) {
        for (reading, engine) in self.readings.iter_mut().zip(&self.engines) {
            *reading = engine.reading();
            reading.kv_usage = reading.kv_usage.filter(|_| self.run.kv_shown);
        }
        let at = self.instant(now);
        if let Some(pool) = &self.pool {
            for (reading, endpoint) in self.readings.iter().zip(&pool.snapshot().endpoints) {
                endpoint.slot.store(reading.clone(), at);
            }
        }
    }

    fn on(&mut self, event: Happened) {
        match event {
            Happened::FirstToken(id, at) => {
                self.first[id] = at;
                let now = self.instant(at);
                if let Some(outcome) = self.outcomes[id].as_mut().filter(|_| self.run.first_bytes) {
                    outcome.first_byte(now);
                }
            }
            Happened::Ended(id, at) => {
                self.end[id] = at;
                self.in_flight[self.picks[id]] -= 1;
                let now = self.instant(at);
                if let Some(mut outcome) = self.outcomes[id].take() {
                    outcome.ended(now, Usage::default());
                }
            }
        }
    }

    fn arrive(&mut self, id: usize) {
        let request = self.run.requests[id];
        let Request { at, session, prompt, shared, output } = request;
        let job = Job { id, at, session, prompt, shared, output };
        let mut cached = std::mem::take(&mut self.cached);
        cached.clear();
        let holds = |sent: &std::collections::BTreeMap<u32, u32>| {
            sent.get(&session).map_or(0, |held| shared.min(*held))
        };
        cached.extend(self.sent.iter().map(holds));
        let count = self.engines.len();
        let rng = &mut self.rng;
        let index = match self.run.policy {
            Policy::Random => rng.usize(..count),
            Policy::RoundRobin => id % count,
            Policy::LeastRequest => policy::least_by(count, rng, |index| self.in_flight[index] as f64),
            Policy::ScorerSum => policy::scorer_sum(&self.readings, &cached, prompt, rng),
            Policy::Clairvoyant => policy::clairvoyant(&self.engines, job, rng),
            Policy::Ours(_) | Policy::Known => self.ours(id, request),
        };
        self.cached = cached;
        self.sent[index].insert(session, prompt);
        self.in_flight[index] += 1;
        self.picks[id] = index;
        self.engines[index].push(job);
    }

    fn ours(&mut self, id: usize, request: Request) -> usize {
        let pool = self.pool.as_ref().expect("our policies have a pool");
        let now = self.epoch + Duration::from_secs_f64(request.at);
        let noise = (ESTIMATE * normal(&mut self.rng)).exp();
        let prompt_tokens = (f64::from(request.prompt) * noise) as u32;
        let chain = text(request.session, request.prompt);
        let ask = Ask {
            model: "bed",
            prompt_tokens,
            stream: true,
            blocks: chain.blocks(),
            block_tokens: chain.block_tokens(prompt_tokens),
            ..Ask::default()
        };
        let pick = pick(pool, &ask, now, &mut self.rng).expect("engines are ready and large enough");
        let index = pool.peek().find(pick.endpoints[0]).expect("a pick is of the snapshot").0 as usize;
        let mut outcome = pick.outcome;
        if !self.run.first_bytes {
            outcome.first_byte(now + Duration::from_millis(3));
        }
        self.outcomes[id] = Some(outcome);
        index
    }

    fn report(self) -> Report {
        let mut picks = vec![0; self.engines.len()];
        let (mut ttft, mut total) = (Vec::new(), Vec::new());
        for (id, request) in self.run.requests.iter().enumerate() {
            if request.at >= self.run.warm_up {
                ttft.push(self.first[id] - request.at);
                total.push(self.end[id] - request.at);
                picks[self.picks[id]] += 1;
            }
        }
        Report { ttft: Quantiles::of(ttft), total: Quantiles::of(total), picks }
    }
}

/// The prompt of `tokens` tokens of a session: each of its prompts begins with those before.
fn text(session: u32, tokens: u32) -> Chain {
    let (text, bytes) = (session.to_le_bytes().repeat(BLOCK / 4), tokens as usize * TOKEN_BYTES);
    let mut chain = Chain::new(&[b"bed"], bytes);
    (0..bytes / BLOCK).for_each(|_| chain.push(&text));
    chain.push(&text[..bytes % BLOCK]);
    chain
}

/// Requests of `shape` per second that the engines of `fleet` end when each has always enough of them.
#[must_use]
pub fn capacity(fleet: &[Speeds], shape: Shape) -> f64 {
    const COUNT: usize = 600;
    let requests = trace(shape, 1.0, COUNT, 99);
    let one = |speeds: &Speeds| {
        let mut engine = Engine::new(*speeds);
        for (id, request) in requests.iter().enumerate() {
            let Request { session, prompt, output, .. } = *request;
            engine.push(Job { id, at: 0.0, session, prompt, shared: 0, output });
        }
        let mut happened = Vec::new();
        while happened.iter().filter(|event| matches!(event, Happened::Ended(..))).count() < COUNT {
            let next = engine.next();
            engine.advance(next, &mut happened);
        }
        COUNT as f64 / engine.now()
    };
    fleet.iter().map(one).sum()
}
