//! Endpoints of one kind: what one of them learns, the others are expected to be.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Profile;
use super::line::{Line, Parts, Trust};

/// Trust in seeds from the table: wrong by a factor of four is usual.
const SEED: Trust = Trust { scale: 1.4, part: 0.7, memory: 512.0 };
/// Trust in what an earlier process learned.
const RESTORED: Trust = Trust { scale: 0.3, part: 0.2, memory: 512.0 };
/// Saved profiles of fewer samples are not better than seeds.
const LEARNED: f64 = 8.0;

/// What makes endpoints the same kind. Ordered, for maps and files.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupKey {
    /// Canonical accelerator class; empty when unknown.
    pub class: String,
    /// Devices; 0 when unknown.
    pub count: u32,
    /// The model, or the pool that stands for it.
    pub model: String,
    /// Model server kind; empty when unknown.
    pub engine: String,
    /// `prefill`, `decode` and the like; empty for both.
    pub role: String,
}

/// A profile that is read while it is written: each value is valid alone.
#[derive(Debug)]
pub(super) struct Current([AtomicU32; 5]);

impl Current {
    pub(super) fn new(profile: Profile) -> Self {
        Self(values(profile).map(|value| AtomicU32::new(value.to_bits())))
    }

    pub(super) fn set(&self, profile: Profile) {
        for (held, value) in self.0.iter().zip(values(profile)) {
            held.store(value.to_bits(), Relaxed);
        }
    }

    pub(super) fn get(&self) -> Profile {
        let value = |index: usize| f32::from_bits(self.0[index].load(Relaxed));
        Profile {
            prefill_tokens_per_s: value(0),
            overhead_s: value(1),
            itl_s: value(2),
            itl_per_request_s: value(3),
            useful_batch: value(4),
        }
    }
}

fn values(profile: Profile) -> [f32; 5] {
    let Profile { prefill_tokens_per_s, overhead_s, itl_s, itl_per_request_s, useful_batch } = profile;
    [prefill_tokens_per_s, overhead_s, itl_s, itl_per_request_s, useful_batch]
}

/// The two lines of a profile and its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lines {
    /// Seconds to the first token over prompt tokens.
    pub(super) prefill: Parts,
    /// Seconds between tokens over further requests in the batch.
    pub(super) decode: Parts,
    pub(super) useful_batch: f64,
}

impl Lines {
    pub(super) fn of(profile: &Profile) -> Self {
        let parts = |fixed: f32, per_unit: f32| Parts { fixed: fixed.into(), per_unit: per_unit.into() };
        Self {
            prefill: parts(profile.overhead_s, 1.0 / profile.prefill_tokens_per_s),
            decode: parts(profile.itl_s, profile.itl_per_request_s),
            useful_batch: profile.useful_batch.into(),
        }
    }

    pub(super) fn profile(&self) -> Profile {
        Profile {
            prefill_tokens_per_s: (1.0 / self.prefill.per_unit) as f32,
            overhead_s: self.prefill.fixed as f32,
            itl_s: self.decode.fixed as f32,
            itl_per_request_s: self.decode.per_unit as f32,
            useful_batch: self.useful_batch as f32,
        }
    }
}

/// What a sample is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aspect {
    Prefill,
    Decode,
}

/// One kind of endpoint.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: GroupKey,
    /// Guards the evidence; held for one sample, never by a pick.
    state: Mutex<State>,
    current: Current,
    /// Of prefill and of decode, as f32.
    samples: [AtomicU32; 2],
    /// Microseconds from the book's epoch; 0 for never.
    sampled_at: AtomicU64,
}

#[derive(Debug)]
struct State {
    seed: Lines,
    trust: Trust,
    prefill: Line,
    decode: Line,
    now: Lines,
    batch_seen: bool,
}

/// What a group knows, as it is kept in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedGroup {
    /// The kind.
    pub key: GroupKey,
    /// Its speeds.
    pub profile: Profile,
    /// How many samples it was learned from, the lesser of prefill and decode; 0 for a mere seed.
    pub samples: f64,
}

impl Group {
    pub(super) fn new(key: GroupKey, profile: Profile, samples: f64) -> Self {
        let seed = Lines::of(&profile);
        let trust = if samples >= LEARNED { RESTORED } else { SEED };
        let state = State {
            seed,
            trust,
            prefill: Line::default(),
            decode: Line::default(),
            now: seed,
            batch_seen: samples >= LEARNED,
        };
        let samples = (samples as f32).to_bits();
        Self {
            key,
            state: Mutex::new(state),
            current: Current::new(profile),
            samples: [AtomicU32::new(samples), AtomicU32::new(samples)],
            sampled_at: AtomicU64::new(0),
        }
    }

    pub(super) fn profile(&self) -> Profile {
        self.current.get()
    }

    pub(super) fn lines(&self) -> Lines {
        self.state.lock().now
    }

    /// Evidence of both aspects, in samples.
    pub(super) fn samples(&self) -> [f32; 2] {
        [0, 1].map(|index: usize| f32::from_bits(self.samples[index].load(Relaxed)))
    }

    pub(super) fn sampled_at(&self) -> u64 {
        self.sampled_at.load(Relaxed)
    }

    /// Takes in a sample that one of its endpoints made at `micros`; answers the lines afterwards.
    pub(super) fn add(&self, aspect: Aspect, x: f64, seconds: f64, weight: f64, micros: u64) -> Lines {
        let mut state = self.state.lock();
        let State { seed, trust, prefill, decode, now, .. } = &mut *state;
        let (line, prior, current, index) = match aspect {
            Aspect::Prefill => (prefill, seed.prefill, &mut now.prefill, 0),
            Aspect::Decode => (decode, seed.decode, &mut now.decode, 1),
        };
        line.add(x, seconds, weight, *current, trust.memory);
        *current = line.solve(prior, *trust);
        let samples = self.samples()[index].max(line.samples() as f32);
        self.samples[index].store(samples.to_bits(), Relaxed);
        self.sampled_at.store(micros, Relaxed);
        self.current.set(now.profile());
        *now
    }

    /// An endpoint was seen to run `batch` requests while others waited.
    pub(super) fn saw_batch(&self, batch: f64) -> Lines {
        let mut state = self.state.lock();
        let rate = if std::mem::replace(&mut state.batch_seen, true) { 0.25 } else { 1.0 };
        state.now.useful_batch += (batch.max(1.0) - state.now.useful_batch) * rate;
        self.current.set(state.now.profile());
        state.now
    }

    pub(super) fn saved(&self) -> SavedGroup {
        let [prefill, decode] = self.samples();
        SavedGroup { key: self.key.clone(), profile: self.profile(), samples: prefill.min(decode).into() }
    }
}
