//! One endpoint's events, from connection to connection.
//!
//! ```text
//! connect ─▶ join: the last known batch is replayed and equal? ─ yes ─▶ the rest of it ─▶ live batches ─ gap ─▶ replay
//!    ▲                     │ no, or nobody tells                                             │ end, error      │ not filled
//!    │                     └▶ another engine: forget, replay from 0                          │                 └▶ forget
//!    └──────────────────────────── pause, trust off ─────────────────────────────────────────┘
//! ```

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::counters::EventCounters;
use super::wire::Decoder;
use super::zmtp::{Kind, Socket};
use crate::pool::{Publisher, Slot};
use crate::prefix::precise::{Sequence, Step, Trust, extra_of};

const CONNECT: Duration = Duration::from_secs(5);
/// Between attempts to connect: doubled from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// A replay ends when nothing comes for the first, and in any case after the second.
const REPLAY_IDLE: Duration = Duration::from_secs(2);
const REPLAY: Duration = Duration::from_secs(30);
/// The engine publishes nothing while it replays, so it is not asked for gaps more often than this.
const REPLAY_PAUSE: Duration = Duration::from_secs(10);
/// The number that ends a replay.
const END: u64 = u64::MAX;

/// Follows one endpoint.
#[derive(Debug)]
pub(super) struct Follow {
    slot: Arc<Slot>,
    publisher: Publisher,
    counters: EventCounters,
    /// Replays at the same time.
    replays: Arc<Semaphore>,
    sequence: Sequence,
    decoder: Decoder,
    /// The last batch and its hash, by which the same engine is known again.
    last: Option<(u64, u64)>,
    /// A replay has told all there was, even if that was nothing.
    told: bool,
    rank: Option<u32>,
    replayed_at: Option<Instant>,
}

impl Follow {
    pub(super) fn new(
        slot: Arc<Slot>,
        publisher: Publisher,
        counters: EventCounters,
        replays: Arc<Semaphore>,
    ) -> Self {
        Self {
            slot,
            publisher,
            counters,
            replays,
            sequence: Sequence::default(),
            decoder: Decoder::default(),
            last: None,
            told: false,
            rank: None,
            replayed_at: None,
        }
    }

    /// Follows until dropped.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let started = Instant::now();
            let Err(error) = self.connection().await;
            self.trust(Trust::Off);
            self.counters.disconnects.inc();
            tracing::debug!(endpoint = %self.slot.address(), events = %self.publisher.events, %error, "KV events ended");
            if started.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            sleep(pause).await;
            let next = (pause * 2).min(PAUSES.1);
            if next == PAUSES.1 && pause < next {
                tracing::warn!(endpoint = %self.slot.address(), events = %self.publisher.events, %error,
                    "KV events cannot be heard; the picker estimates from what it sent, and goes on trying");
            }
            pause = next;
        }
    }

    async fn connection(&mut self) -> io::Result<std::convert::Infallible> {
        let mut socket = timeout(CONNECT, Socket::connect(self.publisher.events, Kind::Sub)).await??;
        self.join().await;
        self.settle();
        loop {
            let (number, payload) = batch(socket.receive().await?)?;
            let mut step = self.sequence.live(number);
            if let Step::Replay { from } = step {
                self.counters.gaps.inc();
                self.trust(Trust::Off);
                tracing::debug!(endpoint = %self.slot.address(), from, number, "KV events are missing");
                if self.replayed_at.is_none_or(|at| at.elapsed() >= REPLAY_PAUSE) {
                    self.replay_or_tell(from).await;
                    self.replayed_at = Some(Instant::now());
                }
                step = self.sequence.replayed(number);
            }
            self.take(number, &payload, step);
            self.settle();
        }
    }

    /// Catches up with what was published before the connection, as far as the engine can tell.
    async fn join(&mut self) {
        self.sequence.connected();
        self.told = false;
        if self.publisher.replay.is_none() {
            // It may be another process, and nothing would tell.
            if self.last.is_some() {
                self.restarted(false);
            }
            return;
        }
        let Some((last, _)) = self.last else { return self.replay_or_tell(0).await };
        self.replay_or_tell(last).await;
        if self.last.is_none() {
            self.told = false;
            self.replay_or_tell(0).await;
        } else if !self.told {
            self.restarted(false);
        }
    }

    async fn replay_or_tell(&mut self, from: u64) {
        let asked =
            timeout(REPLAY, self.replay(from)).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        match asked {
            Ok(()) => self.told = true,
            Err(error) => {
                tracing::debug!(endpoint = %self.slot.address(), from, %error, "replay of KV events failed");
            }
        }
    }

    /// Takes in all batches from `from` on that the engine has kept. When `from` was taken before and is another batch
    /// now, the engine is another one: then everything is forgotten, `last` too.
    async fn replay(&mut self, from: u64) -> io::Result<()> {
        let Some(at) = self.publisher.replay else { return Err(ErrorKind::Unsupported.into()) };
        let permit = Arc::clone(&self.replays).acquire_owned().await.map_err(io::Error::other)?;
        self.counters.replays.inc();
        let mut socket = timeout(CONNECT, Socket::connect(at, Kind::Dealer)).await??;
        socket.send(&[b"", &from.to_be_bytes()]).await?;
        let mut known = self.last.filter(|(number, _)| *number == from);
        loop {
            let (number, payload) = batch(timeout(REPLAY_IDLE, socket.receive()).await??)?;
            if let Some(last) = known.take()
                && (number, extra_of(0, &payload)) != last
            {
                self.restarted(true);
                break;
            }
            if number == END {
                break;
            }
            let step = self.sequence.replayed(number);
            self.take(number, &payload, step);
        }
        drop(permit);
        Ok(())
    }

    fn take(&mut self, number: u64, payload: &[u8], step: Step) {
        match step {
            Step::Apply => {}
            Step::Old | Step::Replay { .. } => return,
            Step::Lost => self.forget(),
            Step::Restarted => {
                self.forget();
                self.slot.emptied();
            }
        }
        self.last = Some((number, extra_of(0, payload)));
        self.apply(payload);
    }

    fn apply(&mut self, payload: &[u8]) {
        let batch = match self.decoder.decode(payload) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::debug!(endpoint = %self.slot.address(), %error, "KV events could not be read");
                self.counters.malformed.inc();
                self.forget();
                self.sequence.incomplete();
                return;
            }
        };
        // A socket is one rank's: what another one holds is of no use here.
        if batch.rank.is_some()
            && *self.rank.get_or_insert(batch.rank.unwrap_or(0)) != batch.rank.unwrap_or(0)
        {
            self.counters.malformed.inc();
            return;
        }
        let Some(mirror) = self.slot.mirror() else { return };
        let applied = mirror.apply(&batch.events);
        self.counters.events.inc_by(applied.events);
        self.counters.dropped.inc_by(applied.dropped);
        if applied.cleared {
            self.slot.emptied();
            self.sequence.emptied();
        }
        if applied.dropped > 0 || batch.missed {
            self.sequence.incomplete();
        }
        if let Some(held) = self.slot.held().filter(|_| applied.stored_tokens > 0) {
            held.stored(applied.stored_tokens);
        }
    }

    /// The engine is another process, or may be.
    fn restarted(&mut self, surely: bool) {
        self.forget();
        self.sequence = Sequence::default();
        (self.last, self.rank, self.decoder) = (None, None, Decoder::default());
        if surely {
            self.slot.emptied();
        }
    }

    fn forget(&self) {
        self.counters.resyncs.inc();
        if let Some(mirror) = self.slot.mirror() {
            mirror.clear();
        }
    }

    fn settle(&self) {
        let whole = self.sequence.is_complete() && (self.told || self.sequence.next() > 0);
        self.trust(if whole { Trust::Complete } else { Trust::Partial });
    }

    fn trust(&self, trust: Trust) {
        if let Some(mirror) = self.slot.mirror() {
            mirror.set_trust(trust);
        }
    }
}

/// Number and payload of a message, whatever is before them: a topic, or the delimiter of a reply.
fn batch(mut parts: Vec<Vec<u8>>) -> io::Result<(u64, Vec<u8>)> {
    let wrong = || io::Error::new(ErrorKind::InvalidData, "a message is no event batch");
    let payload = parts.pop().ok_or_else(wrong)?;
    let number = parts.pop().ok_or_else(wrong)?;
    Ok((u64::from_be_bytes(number.try_into().map_err(|_| wrong())?), payload))
}
