//! The gate of one pool: the thin edge over the queue.
//!
//! ```text
//! admit ─ nobody waits, it fits ─▶ Ticket                     (no lock, no allocation)
//!   └─ else ─▶ lock: push, dispatch ─▶ Waiting ─▶ Ticket or Shed
//! a Ticket ends, a tick, a Waiting leaves ─▶ lock: dispatch ─▶ tickets for as many as fit
//! ```
//! Two requests on two threads that both find the last place may both take it; with that exception no request passes
//! one that waits. The lock is held while the endpoints are counted and the queue is changed, never over an await, and
//! answers are sent after it.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::capacity::{self, BLIND, State, Stock, Wanted};
use super::door::{Door, bound, over};
use super::eviction::{Claim, Evictable};
use super::pace::Pace;
use super::queue::{Due, Key, Left, Queue};
use super::request::{Admission, Request};
use super::residence::Residence;
use super::settings::{Eviction, Settings};
use super::shed::Shed;
use super::ticket::Ticket;
use super::waiter::Waiter;
use super::waiting::Waiting;
use crate::metrics::{Ended, FlowMetrics};
use crate::pool::{Pool, Snapshot};

/// Through which a waiting request is answered.
pub(super) type Reply = oneshot::Sender<Result<Ticket, Shed>>;

/// Admits requests of one pool.
#[derive(Debug)]
pub struct Gate(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pool: Arc<Pool>,
    base: Settings,
    current: ArcSwap<Current>,
    pub(super) in_flight: AtomicUsize,
    /// Tickets whose request is not counted at an endpoint yet.
    pub(super) pending: AtomicU32,
    /// Requests that wait; written under the lock.
    pub(super) waiting: AtomicUsize,
    /// Nanoseconds from `epoch` since which no endpoint has told anything; 0: not so.
    blind_since: AtomicU64,
    closed: AtomicBool,
    epoch: Instant,
    /// Guards the order of requests and the count of what is free.
    line: Mutex<Line>,
    /// Guards those that may have to end; taken after `line` where both are.
    pub(super) evictable: Mutex<Evictable<oneshot::Sender<Shed>>>,
    bell: Arc<Notify>,
    pub(super) residence: Residence,
    pub(super) metrics: FlowMetrics,
}

/// The settings of a snapshot. The snapshot itself is not kept alive.
#[derive(Debug)]
struct Current {
    of: Weak<Snapshot>,
    settings: Settings,
}

#[derive(Debug)]
struct Line {
    queue: Queue<Reply>,
    stock: Stock,
    granted: Vec<Left<Reply>>,
    pace: Pace,
}

/// Answers to send when the lock is released.
#[derive(Default)]
struct Answers {
    granted: Vec<(Left<Reply>, Ticket)>,
    shed: Vec<(Left<Reply>, Shed)>,
    evicted: Vec<(oneshot::Sender<Shed>, Shed)>,
}

impl Gate {
    /// A gate with nobody inside. `bell` is rung when a request begins to wait: see [`Gate::tick`].
    pub fn new(pool: Arc<Pool>, base: Settings, bell: Arc<Notify>, metrics: FlowMetrics) -> Self {
        let line = Line {
            queue: Queue::new(base.bounds),
            stock: Stock::default(),
            granted: Vec::new(),
            pace: Pace::default(),
        };
        Self(Arc::new(Inner {
            pool,
            base,
            current: ArcSwap::from_pointee(Current { of: Weak::new(), settings: base }),
            in_flight: AtomicUsize::new(0),
            pending: AtomicU32::new(0),
            waiting: AtomicUsize::new(0),
            blind_since: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            epoch: Instant::now(),
            line: Mutex::new(line),
            evictable: Mutex::default(),
            bell,
            residence: Residence::default(),
            metrics,
        }))
    }

    /// Requests that were admitted and have not ended.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Relaxed)
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Relaxed)
    }

    /// Admits a request of the pool as `snapshot` shows it, lets it wait, or says why not.
    pub fn admit(&self, snapshot: &Arc<Snapshot>, request: &Request<'_>, now: Instant) -> Admission {
        let inner = &self.0;
        let settings = inner.settings(snapshot);
        if inner.waiting.load(Relaxed) == 0 || !settings.queue {
            let in_flight = inner.enter();
            let within = bound(&settings.limits, request.priority);
            if in_flight < within && (!settings.queue || inner.fits(snapshot, request, &settings, now)) {
                return Admission::Admitted(Ticket::entered(inner, now));
            }
            inner.turn_back();
            if !settings.queue {
                return Admission::Shed(over(&settings.limits, in_flight));
            }
        }
        inner.queue_up(snapshot, request, &settings, now)
    }

    /// Lets go whom the pool has room for. To be called every few milliseconds while requests wait, because nothing
    /// else tells of a scrape or a new snapshot.
    pub fn tick(&self, now: Instant) {
        if self.waiting() > 0 {
            self.0.dispatch(now);
        }
    }

    /// Refuses those that wait and all that would have to: the picker ends.
    pub fn close(&self) {
        self.0.closed.store(true, SeqCst);
        let mut answers = Answers::default();
        let mut line = self.0.line.lock();
        answers.shed.extend(line.queue.drain().into_iter().map(|left| (left, Shed::ShuttingDown)));
        self.0.waiting.store(0, SeqCst);
        drop(line);
        self.0.send(answers, now());
    }

    /// Brings the gauges up to date.
    pub fn observe(&self, now: Instant) {
        let inner = &self.0;
        let snapshot = inner.pool.snapshot();
        let fullness = inner.settings(&snapshot).fullness;
        let mut stock = Stock::default();
        let saturation = match stock.take(snapshot, &fullness, now) {
            State::Open => 0.0,
            State::Empty => 1.0,
            State::Counted | State::Blind => stock.saturation(),
        };
        let line = inner.line.lock();
        let sizes: Vec<_> = line.queue.sizes().map(|(p, size)| (p, size.requests, size.bytes)).collect();
        drop(line);
        inner.metrics.observe(saturation, &sizes);
    }
}

/// The time, as the runtime has it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Inner {
    /// The settings of `snapshot`: annotations are read once per snapshot.
    fn settings(&self, snapshot: &Arc<Snapshot>) -> Settings {
        let current = self.current.load();
        // A snapshot that is gone keeps its address as long as `of` refers to it.
        if std::ptr::eq(current.of.as_ptr(), Arc::as_ptr(snapshot)) {
            return current.settings;
        }
        let settings = self.base.with(&snapshot.annotations, |problem| {
            tracing::warn!(pool = %self.pool.key(), %problem, "a setting of a pool cannot be used");
        });
        self.current.store(Arc::new(Current { of: Arc::downgrade(snapshot), settings }));
        settings
    }

    /// Counts one more; answers how many were in flight before. Counted first and taken back when it does not fit, so
    /// that concurrent callers never exceed a bound together.
    fn enter(&self) -> usize {
        self.pending.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed)
    }

    /// Takes back what [`Inner::enter`] counted.
    fn turn_back(&self) {
        self.pending.fetch_sub(1, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Whether a request fits that is counted already.
    fn fits(&self, snapshot: &Snapshot, request: &Request<'_>, settings: &Settings, now: Instant) -> bool {
        // It is the last of the pending itself.
        let ahead = self.pending.load(Relaxed).saturating_sub(1);
        let wanted = Wanted { tokens: request.tokens, among: request.among, ahead };
        let from = self.in_flight.load(Relaxed);
        match capacity::fits(snapshot, &wanted, &settings.fullness, now, from) {
            Ok(true) | Err(State::Open) => true,
            Ok(false) | Err(State::Counted | State::Empty) => false,
            Err(State::Blind) => self.is_blind(now),
        }
    }

    /// Whether the pool is blind for so long that it is taken as open.
    fn is_blind(&self, now: Instant) -> bool {
        let at =
            u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX).max(1);
        let since = match self.blind_since.compare_exchange(0, at, Relaxed, Relaxed) {
            Ok(_) => at,
            Err(since) => since,
        };
        Duration::from_nanos(at.saturating_sub(since)) >= BLIND
    }

    fn queue_up(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        request: &Request<'_>,
        settings: &Settings,
        now: Instant,
    ) -> Admission {
        let empty = !(0..snapshot.endpoints.len()).any(|index| snapshot.serves(index));
        let Request { priority, .. } = *request;
        let times = settings.times;
        let waiter = Waiter::of(request, times, now);
        let mut answers = Answers::default();
        let mut shed = Vec::new();
        let (reply, answer) = oneshot::channel();
        let mut line = self.line.lock();
        line.queue.set_bounds(settings.bounds);
        line.queue.set_empty(empty, now);
        line.pace.comes(priority, now);
        let refused = if self.closed.load(SeqCst) {
            Some(Shed::ShuttingDown)
        } else if empty && times.endpoints.is_zero() {
            Some(Shed::NoEndpoints {
                waited: Duration::ZERO,
                retry_after: line.queue.retry_after(priority, now),
            })
        } else {
            None
        };
        if let Some(refused) = refused {
            drop(line);
            self.metrics.ended(priority, Ended::Refused, refused.reason(), Duration::ZERO);
            return Admission::Shed(refused);
        }
        let until = waiter.expires(None, empty);
        let pushed = line.queue.push(waiter, reply, now, &mut shed);
        answers.shed = shed;
        // Who frees a place after this sees that somebody waits, and who freed one before is seen by `dispatch`.
        self.waiting.store(line.queue.size().requests, SeqCst);
        fence(SeqCst);
        if pushed.is_ok() {
            self.dispatch_in(&mut line, now, &mut answers);
        }
        let first = line.queue.size().requests > 0;
        drop(line);
        self.send(answers, now);
        match pushed {
            Err((_, refused)) => {
                self.metrics.ended(priority, Ended::Refused, refused.reason(), Duration::ZERO);
                Admission::Shed(refused)
            }
            Ok(key) => {
                if first {
                    self.bell.notify_one();
                }
                Waiting::new(Arc::clone(self), key, answer, until).into_admission()
            }
        }
    }

    /// Lets go whom the pool has room for.
    pub(super) fn dispatch(self: &Arc<Self>, now: Instant) {
        let mut answers = Answers::default();
        let mut line = self.line.lock();
        self.dispatch_in(&mut line, now, &mut answers);
        drop(line);
        self.send(answers, now);
    }

    fn dispatch_in(self: &Arc<Self>, line: &mut Line, now: Instant, answers: &mut Answers) {
        let Line { queue, stock, granted, pace } = line;
        let snapshot = self.pool.snapshot();
        let settings = self.settings(&snapshot);
        let state = stock.take(snapshot, &settings.fullness, now);
        queue.set_empty(state == State::Empty, now);
        if state != State::Blind {
            self.blind_since.store(0, Relaxed);
        }
        let open = !settings.queue || state == State::Open || (state == State::Blind && self.is_blind(now));
        if state != State::Empty {
            let pending = self.pending.load(Relaxed);
            let in_flight = self.in_flight.load(Relaxed);
            pace.set(stock.limit(), stock.total().saturating_sub(pending), self.residence.seconds());
            let mut door = Door { stock, pace, open, pending, in_flight, limits: settings.limits, now };
            queue.dispatch(now, &mut door, granted);
        }
        stock.put_away();
        for left in granted.drain(..) {
            self.enter();
            answers.granted.push((left, Ticket::entered(self, now)));
        }
        self.waiting.store(queue.size().requests, SeqCst);
        if settings.eviction != Eviction::Off && state != State::Empty {
            self.evict(queue, pace.lacking(), now, answers);
        }
    }

    /// What ends, as the settings of the last snapshot say.
    pub(super) fn eviction(&self) -> Eviction {
        self.current.load().settings.eviction
    }

    /// Tells requests in flight to end for those that wait in `queue`, as far as they are more important and of `least`
    /// priority.
    fn evict(&self, queue: &Queue<Reply>, least: i32, now: Instant, answers: &mut Answers) {
        let Some(first) = queue.first() else { return };
        let requests = queue.sizes().filter(|(p, _)| *p >= least.max(0)).map(|(_, size)| size.requests).sum();
        let claim = Claim { priority: first.priority, requests };
        let snapshot = self.pool.peek();
        let of_use = |endpoint| {
            snapshot.find(endpoint).is_some_and(|index| first.among().allows(snapshot.endpoint(index)))
        };
        for (priority, tell) in self.evictable.lock().choose(claim, now, of_use) {
            self.metrics.evicted(priority);
            let retry_after = queue.retry_after(priority, now);
            answers.evicted.push((tell, Shed::Evicted { retry_after }));
        }
    }

    /// Sends answers; the lock is not held, because a ticket that nobody takes comes back here.
    fn send(&self, answers: Answers, now: Instant) {
        for (left, shed) in answers.shed {
            self.metrics.ended(left.priority, Ended::Shed, shed.reason(), waited(&left, now));
            // Who has left has no use for it.
            drop(left.payload.send(Err(shed)));
        }
        for (tell, shed) in answers.evicted {
            if tell.send(shed).is_err() {
                tracing::debug!("a request that was to end for another one had ended");
            }
        }
        for (left, ticket) in answers.granted {
            self.metrics.ended(left.priority, Ended::Dispatched, "", waited(&left, now));
            drop(left.payload.send(Ok(ticket)));
        }
    }

    /// Whether the request at `key` waits on, and until when; else what it is told, None when that is on its way.
    pub(super) fn due(&self, key: &Key, now: Instant) -> Result<Instant, Option<Shed>> {
        let mut line = self.line.lock();
        let due = line.queue.due(key, now);
        self.waiting.store(line.queue.size().requests, SeqCst);
        drop(line);
        match due {
            Due::Until(until) => Ok(until),
            Due::Gone => Err(None),
            Due::Expired(left, shed) => {
                self.metrics.ended(left.priority, Ended::Shed, shed.reason(), waited(&left, now));
                Err(Some(shed))
            }
        }
    }

    /// The request at `key` does not wait any more. Those behind it may fit where it did not.
    pub(super) fn leave(self: &Arc<Self>, key: &Key, now: Instant) {
        let mut answers = Answers::default();
        let mut line = self.line.lock();
        let Some(left) = line.queue.remove(key) else { return };
        self.dispatch_in(&mut line, now, &mut answers);
        drop(line);
        self.metrics.ended(left.priority, Ended::Cancelled, "", waited(&left, now));
        self.send(answers, now);
    }
}

fn waited(left: &Left<Reply>, now: Instant) -> Duration {
    now.saturating_duration_since(left.arrived)
}

#[cfg(test)]
mod tests;
