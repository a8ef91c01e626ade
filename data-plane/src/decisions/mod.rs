//! Decisions that are kept for people who ask why: which endpoint a request got, or why none.
//!
//! ```text
//! decide ─ want? ─▶ pick, explained ─▶ Record ─▶ ring (bounded) ◀─ GET /explain, /explain/{request id}
//!                                        ▲ Follow: served, first byte, end
//! ```
//!
//! | Recorded | Which requests | How many |
//! |---|---|---|
//! | `asked` | that carry `x-signalbox-explain: true`, where `--explain-header`, or the pool's annotation `signalbox.dev/explain-header`, is `record` or `answer` | all |
//! | `refused` | that get no endpoint | all; the table of endpoints for 10 a second |
//! | `sampled` | all others | 10 a second, and 50 at once after a pause |
//!
//! The header is `off` by default: any client can send it, each of its requests then costs the picker more (every
//! endpoint is written down), and with `answer` it reads names and addresses of Pods. Requests that are not recorded cost one look at a clock's word, and allocate nothing.
//!
//! The ring holds at most `--explain-decisions` records and [`BYTES`] bytes. Beyond either, the kind that holds the most
//! of it gives up its oldest, so that a flood of one kind does not push out the others.

mod budget;
mod collector;
mod record;
mod ring;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::picker::explain::Want;

use budget::Budget;
use ring::Ring;

pub use collector::DecisionCollector;
pub use record::{Asked, End, Follow, Happened, Record, Result};
pub use view::{decision, line, row};

/// The request header that asks for a record.
pub const HEADER: &str = "x-signalbox-explain";
/// The response header with the decision in one line.
pub const ANSWER: &str = "x-signalbox-decision";
/// The annotation of an InferencePool that replaces `--explain-header`.
pub const ANNOTATION: &str = "signalbox.dev/explain-header";
/// Bytes of all records.
pub const BYTES: usize = 8 << 20;
/// Records of requests that nothing else asks to record, and tables of refused ones, per second and at once.
const RATE: (u32, u32) = (10, 50);

/// What the header `x-signalbox-explain` does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Header {
    /// Nothing.
    #[default]
    Off,
    /// The request's decision is recorded.
    Record,
    /// And told in the response's header `x-signalbox-decision`.
    Answer,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Records; 0: none, nothing is recorded.
    pub decisions: usize,
    /// What the header does, where a pool does not say.
    pub header: Header,
}

impl Default for Settings {
    fn default() -> Self {
        Self { decisions: 256, header: Header::Off }
    }
}

/// Why a decision is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Its request asked for it.
    Asked,
    /// It is a refusal.
    Refused,
    /// By rate.
    Sampled,
}

impl Why {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Asked, Self::Refused, Self::Sampled];

    /// Its name in documents and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Refused => "refused",
            Self::Sampled => "sampled",
        }
    }
}

/// The recorded decisions of a process.
#[derive(Debug)]
pub struct Decisions {
    settings: Settings,
    sampled: Budget,
    tables: Budget,
    recorded: [AtomicU64; Why::ALL.len()],
    /// Guards the ring; held to add a record, and to list them.
    ring: Mutex<Ring<Record>>,
}

/// What is kept at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Records.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Age of the oldest.
    pub oldest: Option<Duration>,
}

impl Decisions {
    /// Nothing recorded yet. `epoch` is the time from which rates count.
    #[must_use]
    pub fn new(settings: Settings, epoch: Instant) -> Self {
        let budget = || Budget::new(epoch, RATE.0, RATE.1);
        Self {
            sampled: budget(),
            tables: budget(),
            recorded: Default::default(),
            ring: Mutex::new(Ring::new(settings.decisions, BYTES)),
            settings,
        }
    }

    /// Whether anything is recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.settings.decisions > 0
    }

    /// What the header does in a pool with `annotations`.
    #[must_use]
    pub fn header(&self, annotations: &BTreeMap<String, String>) -> Header {
        match annotations.get(ANNOTATION).map(|value| value.trim()) {
            _ if !self.is_on() => Header::Off,
            Some("off") => Header::Off,
            Some("record") => Header::Record,
            Some("answer") => Header::Answer,
            _ => self.settings.header,
        }
    }

    /// Whether the decision at `now` is recorded, and what the pick has to explain. `asked`: its request asks for it.
    pub fn want(&self, asked: bool, now: Instant) -> (Option<Why>, Want) {
        if !self.is_on() {
            (None, Want::Nothing)
        } else if asked {
            (Some(Why::Asked), Want::All)
        } else if self.sampled.take(now) {
            (Some(Why::Sampled), Want::All)
        } else if self.tables.has(now) {
            (None, Want::Refusals)
        } else {
            (None, Want::Nothing)
        }
    }

    /// Keeps `record`, made at `now`, and answers what follows it.
    pub fn keep(&self, record: Record, now: Instant) -> Follow {
        let record = Arc::new(record);
        if record.is_refused() && !record.endpoints().is_empty() {
            self.tables.take(now);
        }
        self.recorded[record.why as usize].fetch_add(1, Relaxed);
        if self.is_on() {
            self.ring.lock().push(record.why as usize, record.bytes(), Arc::clone(&record));
        }
        Follow::new(record)
    }

    /// The newest records of `pool`, or of all pools; newest first.
    #[must_use]
    pub fn newest(&self, pool: Option<&str>, limit: usize) -> Vec<Arc<Record>> {
        let all = self.ring.lock().newest();
        all.into_iter().filter(|record| pool.is_none_or(|pool| record.pool == pool)).take(limit).collect()
    }

    /// The records of a request, newest first: a client may send an id more than once.
    #[must_use]
    pub fn of(&self, request_id: &str) -> Vec<Arc<Record>> {
        let all = self.ring.lock().newest();
        all.into_iter().filter(|record| record.request_id == request_id).collect()
    }

    /// What is kept at `now`.
    #[must_use]
    pub fn kept(&self, now: Instant) -> Kept {
        let ring = self.ring.lock();
        let oldest = ring.oldest().map(|record| now.saturating_duration_since(record.decided));
        Kept { records: ring.len(), bytes: ring.bytes(), oldest }
    }

    /// Decisions recorded since the start, by why.
    pub fn recorded(&self) -> impl Iterator<Item = (Why, u64)> {
        Why::ALL.into_iter().map(|why| (why, self.recorded[why as usize].load(Relaxed)))
    }

    /// What somebody is told whose request `request_id` is not here.
    #[must_use]
    pub fn missing(&self, request_id: &str, now: Instant) -> String {
        if !self.is_on() {
            return "This picker records no decisions: it runs with --explain-decisions 0. Raise it."
                .to_owned();
        }
        let Kept { records, oldest, .. } = self.kept(now);
        let reach = oldest.map_or("has none yet".to_owned(), |age| {
            format!("has {records}, the oldest {:.1} s old", age.as_secs_f32())
        });
        format!(
            "This picker has no decision of request {request_id}. It keeps the last {} that it recorded and {reach}; of \
             requests that get an endpoint it records {} a second. To have one recorded for sure, send it with the \
             header {HEADER}: true to a picker with --explain-header record, or to a pool with the annotation \
             {ANNOTATION}: record.",
            self.settings.decisions, RATE.0
        )
    }
}

#[cfg(test)]
mod tests;
