//! The loop of virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::flow::{self, Admission, Gate, Settings, Ticket, Waiting};
use crate::metrics::Metrics;
use crate::outcome::{self, Outcome};
use crate::picker::{Ask, pick};
use crate::pool::{Pool, Pools, Reading};

use super::cache::Cache;
use super::content::{Request, chain};
use super::engine::{Engine, Happened, Job, Speeds};
use super::exchange::Exchange;
use super::fleet::Fleet;
use super::policy::{self, Policy};
use super::report::{Report, Served, Targets};
use super::trace::{Shape, normal, trace};

/// Between scrapes of an engine, in seconds.
const SCRAPE: f64 = 0.05;
/// Standard deviation of estimated over true prompt tokens.
const ESTIMATE: f64 = 0.1;
/// Tokens whose engine the policies we are compared with remember: 31,250 blocks of 64, llm-d-router's default.
const REMEMBERED: u64 = 31_250 * 64;

/// Between looks at what waits at a gate, in seconds, as those that serve have it.
const TICK: f64 = 0.005;

/// How many pickers of ours serve the pool, each a part of the requests at random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pickers {
    /// At least one.
    pub count: usize,
    /// How old, in seconds, what they know of each other is at most; None when they tell each other nothing.
    pub exchange: Option<f64>,
}

impl Pickers {
    /// One.
    pub const ONE: Self = Self { count: 1, exchange: None };
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// The engines.
    pub fleet: &'a Fleet,
    /// The requests, by time.
    pub requests: &'a [Request],
    /// Who decides.
    pub policy: Policy,
    /// Of what is random in the policy.
    pub seed: u64,
    /// Among whom requests are shared, if we decide.
    pub pickers: Pickers,
    /// Seconds at the start whose requests are not reported.
    pub warm_up: f64,
    /// First bytes are first tokens; otherwise response headers come ahead of them, as from vLLM.
    pub first_bytes: bool,
    /// Engines show how full their KV cache is.
    pub kv_shown: bool,
    /// At this second, the engine of this index gets these speeds.
    pub change: Option<(f64, usize, Speeds)>,
    /// Seconds between the moments at which engines let requests begin to run beside others; None: at any.
    pub step: Option<f64>,
    /// What requests are to meet.
    pub targets: Targets,
    /// Requests pass a gate with these settings before we decide; without, they are let through.
    pub gate: Option<Settings>,
}

impl<'a> Run<'a> {
    /// `policy` on `requests` from the first second on, on engines as they are usual.
    #[must_use]
    pub fn new(fleet: &'a Fleet, requests: &'a [Request], policy: Policy, seed: u64) -> Self {
        let (warm_up, first_bytes, kv_shown, change, step) = (0.0, true, true, None, None);
        let targets = Targets::of(fleet.policy());
        let pickers = Pickers::ONE;
        let gate = None;
        Self {
            fleet,
            requests,
            policy,
            seed,
            pickers,
            warm_up,
            first_bytes,
            kv_shown,
            change,
            step,
            targets,
            gate,
        }
    }
}

struct Bed<'a> {
    run: &'a Run<'a>,
    epoch: Instant,
    engines: Vec<Engine>,
    readings: Vec<Reading>,
    /// What each engine was sent. Ours has its own index of it.
    sent: Vec<Cache>,
    in_flight: Vec<usize>,
    /// None of ours when another policy decides.
    pickers: Vec<Picker>,
    exchange: Exchange,
    /// Which picker is asked.
    asked: fastrand::Rng,
    outcomes: Vec<Option<Outcome>>,
    tickets: Vec<Option<Ticket>>,
    /// Requests that wait at the gate of a picker: picker, request.
    waiting: Vec<(usize, usize, Waiting)>,
    tick: f64,
    served: Vec<Served>,
    rng: fastrand::Rng,
}

/// One picker of ours.
struct Picker {
    pool: Arc<Pool>,
    gate: Option<Gate>,
    rng: fastrand::Rng,
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
    let speeds = run.fleet.speeds();
    // Their steps are not at the same moments.
    let engine = |(index, own): (usize, &Speeds)| {
        Engine::new(*own).stepped(run.step, index as f64 / speeds.len() as f64)
    };
    let engines: Vec<Engine> = speeds.iter().enumerate().map(engine).collect();
    let pools = seeds.map_or_else(Vec::new, |seeds| {
        (0..run.pickers.count.max(1)).map(|_| run.fleet.pools(seeds, epoch)).collect::<Vec<_>>()
    });
    // The first one's draws are those of a picker that is alone.
    let seed_of = |index: u64| run.seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let metrics = Metrics::new();
    let picker = |(index, pools): (u64, &Pools)| {
        let pool = pools.only().expect("a fleet is one pool");
        let gate = |settings| Gate::new(Arc::clone(&pool), settings, Arc::default(), metrics.flow("ns/bed"));
        Picker { gate: run.gate.map(gate), rng: fastrand::Rng::with_seed(seed_of(index)), pool }
    };
    let mut bed = Bed {
        run,
        epoch,
        readings: vec![Reading::default(); engines.len()],
        sent: vec![Cache::default(); engines.len()],
        in_flight: vec![0; engines.len()],
        engines,
        pickers: (0..).zip(&pools).map(picker).collect(),
        exchange: Exchange::new(&pools, run.pickers.exchange, epoch),
        asked: fastrand::Rng::with_seed(!run.seed),
        outcomes: (0..count).map(|_| None).collect(),
        tickets: (0..count).map(|_| None).collect(),
        waiting: Vec::new(),
        tick: f64::INFINITY,
        served: vec![Served::default(); count],
        rng: fastrand::Rng::with_seed(run.seed),
    };
    bed.play();
    Report::of(run, &bed.engines, &bed.served)
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
            if now == f64::INFINITY && self.waiting.is_empty() {
                return;
            }
            let now = now.min(scrape).min(self.exchange.next()).min(self.tick);
            if let Some((_, index, speeds)) = change.take_if(|(at, ..)| *at <= now) {
                self.engines[index].become_like(speeds);
            }
            for engine in &mut self.engines {
                engine.advance(now, &mut happened);
            }
            for event in happened.drain(..) {
                self.on(event);
            }
            if self.tick <= now {
                self.tick(now);
            }
            if self.exchange.next() <= now {
                self.exchange.advance(self.instant(now));
            } else if scrape <= now {
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
        for picker in &self.pickers {
            for (reading, endpoint) in self.readings.iter().zip(&picker.pool.snapshot().endpoints) {
                endpoint.slot.store(reading.clone(), at);
            }
        }
    }

    fn on(&mut self, event: Happened) {
        match event {
            Happened::FirstToken(id, at, computed) => {
                self.served[id].first = at;
                self.served[id].computed = computed;
                let now = self.instant(at);
                if let Some(outcome) = self.outcomes[id].as_mut().filter(|_| self.run.first_bytes) {
                    outcome.first_byte(now);
                }
            }
            Happened::Ended(id, at) => {
                self.served[id].end = at;
                self.served[id].ends += 1;
                self.in_flight[self.served[id].engine] -= 1;
                let now = self.instant(at);
                if let Some(mut outcome) = self.outcomes[id].take() {
                    outcome.ended(now, outcome::Usage::default());
                }
                if let Some(ticket) = self.tickets[id].take() {
                    ticket.end(now);
                    self.let_through(at);
                }
            }
        }
    }

    fn tick(&mut self, now: f64) {
        for gate in self.pickers.iter().filter_map(|picker| picker.gate.as_ref()) {
            gate.tick(self.instant(now));
        }
        self.let_through(now);
        self.tick = if self.waiting.is_empty() { f64::INFINITY } else { now + TICK };
    }

    /// Sends those to their engines that the gates have let through since.
    fn let_through(&mut self, at: f64) {
        let now = self.instant(at);
        let mut told = Vec::new();
        self.waiting.retain_mut(|(picker, id, waiting)| {
            let answer = waiting.look(now);
            let waits = answer.is_none();
            told.extend(answer.map(|answer| (*picker, *id, answer)));
            waits
        });
        for (picker, id, answer) in told {
            match answer {
                Ok(ticket) => self.go(picker, id, at, Some(ticket)),
                Err(_) => self.served[id].refused = true,
            }
        }
    }

    fn arrive(&mut self, id: usize) {
        let request = &self.run.requests[id];
        let job = Job::new(id, request);
        let count = self.engines.len();
        let held = |sent: &Cache| sent.held(&request.pieces).min(job.prompt - 1);
        let cached = |bed: &Self| bed.sent.iter().map(held).collect::<Vec<_>>();
        let index = match self.run.policy {
            Policy::Random => self.rng.usize(..count),
            Policy::RoundRobin => id % count,
            Policy::LeastRequest => {
                policy::least_by(count, &mut self.rng, |index| self.in_flight[index] as f64)
            }
            Policy::PrefixOnly => {
                let cached = cached(self);
                policy::least_by(count, &mut self.rng, |index| -f64::from(cached[index]))
            }
            Policy::ScorerSum => {
                let cached = cached(self);
                policy::scorer_sum(&self.readings, &cached, job.prompt, &mut self.rng)
            }
            Policy::Clairvoyant => policy::clairvoyant(&self.engines, &job, &mut self.rng),
            Policy::Ours(_) | Policy::Known => return self.ask(id, request),
        };
        self.sent[index].touch(&request.pieces);
        self.sent[index].evict(REMEMBERED);
        self.send(id, index, job);
    }

    /// The engine at `index` gets the request.
    fn send(&mut self, id: usize, index: usize, job: Job) {
        self.served[id].engine = index;
        if !self.engines[index].takes(&job) {
            // As a model server answers 400 to what is longer than its context.
            self.outcomes[id] = None;
            self.served[id].refused = true;
            return;
        }
        self.in_flight[index] += 1;
        self.engines[index].push(job);
    }

    /// One of our pickers is asked.
    fn ask(&mut self, id: usize, request: &Request) {
        let asked = if self.pickers.len() > 1 { self.asked.usize(..self.pickers.len()) } else { 0 };
        let now = self.instant(request.at);
        let Picker { pool, gate, .. } = &self.pickers[asked];
        let Some(gate) = gate else { return self.go(asked, id, request.at, None) };
        let wanted = flow::Request {
            priority: request.priority,
            tenant: request.tenant,
            tokens: request.prompt() + request.output(),
            ..flow::Request::default()
        };
        match gate.admit(&pool.snapshot(), &wanted, now) {
            Admission::Admitted(ticket) => self.go(asked, id, request.at, Some(ticket)),
            Admission::Shed(_) => self.served[id].refused = true,
            Admission::Waits(waiting) => {
                self.waiting.push((asked, id, waiting));
                self.tick = self.tick.min(request.at + TICK);
            }
        }
        // Those who made place for it are told.
        self.let_through(request.at);
    }

    /// The picker at `asked` chooses at `at`.
    fn go(&mut self, asked: usize, id: usize, at: f64, ticket: Option<Ticket>) {
        let request = &self.run.requests[id];
        self.tickets[id] = ticket;
        match self.ours(asked, id, at) {
            Some(index) => self.send(id, index, Job::new(id, request)),
            None => self.served[id].refused = true,
        }
        if self.served[id].refused
            && let Some(ticket) = self.tickets[id].take()
        {
            ticket.end(self.instant(at));
        }
    }

    fn ours(&mut self, asked: usize, id: usize, at: f64) -> Option<usize> {
        let request = &self.run.requests[id];
        let now = self.instant(at);
        let Picker { pool, rng, .. } = &mut self.pickers[asked];
        let noise = (ESTIMATE * normal(rng)).exp();
        let prompt_tokens = (f64::from(request.prompt()) * noise) as u32;
        let chain = chain(&request.pieces);
        let block_tokens = chain.block_tokens(prompt_tokens);
        let ask = Ask {
            model: "bed",
            prompt_tokens,
            priority: request.priority,
            stream: true,
            policy: Some(self.run.fleet.policy()),
            blocks: chain.blocks(),
            block_tokens,
            ..Ask::default()
        };
        let pick = pick(pool, &ask, now, rng).ok()?;
        let index = pool.peek().find(pick.endpoints[0]).expect("a pick is of the snapshot").0 as usize;
        let mut outcome = pick.outcome;
        outcome.sent(Arc::new(chain.into_blocks()), block_tokens);
        if !self.run.first_bytes {
            outcome.first_byte(now + Duration::from_millis(3));
        }
        self.outcomes[id] = Some(outcome);
        if let Some(ticket) = &mut self.tickets[id] {
            ticket.runs(request.priority, pick.endpoints[0]);
        }
        Some(index)
    }
}

/// Requests of `shape` per second that the engines of `fleet` end when each has always enough of them.
#[must_use]
pub fn capacity(fleet: &Fleet, shape: Shape) -> f64 {
    const COUNT: usize = 600;
    let requests = trace(shape, 1.0, COUNT, 99);
    let one = |speeds: &Speeds| {
        let mut engine = Engine::new(*speeds);
        let jobs = requests.iter().enumerate().map(|(id, request)| {
            // As if nobody had asked before.
            let own = super::content::Piece::after(None, id as u64, request.prompt());
            Job::new(id, &Request::new(0.0, vec![own], id as u64, request.output()))
        });
        let jobs: Vec<Job> = jobs.filter(|job| engine.takes(job)).collect();
        let count = jobs.len();
        jobs.into_iter().for_each(|job| engine.push(job));
        let mut happened = Vec::new();
        while happened.iter().filter(|event| matches!(event, Happened::Ended(..))).count() < count {
            let next = engine.next();
            engine.advance(next, &mut happened);
        }
        if count == 0 { 0.0 } else { count as f64 / engine.now() }
    };
    fleet.speeds().iter().map(one).sum()
}
