use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn env(name: &str, usual: f64) -> f64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

#[derive(Debug, Default)]
pub(super) struct Residence(AtomicU64);

impl Residence {
    pub(super) fn ended(&self, after: Duration, among: usize) {
        let mean = f64::from_bits(self.0.load(Relaxed));
        let weight = 1.0 / (among as f64).clamp(16.0, 1024.0);
        let next = if mean == 0.0 { after.as_secs_f64() } else { mean + (after.as_secs_f64() - mean) * weight };
        self.0.store(next.to_bits(), Relaxed);
    }
    pub(super) fn seconds(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

#[derive(Debug)]
pub(super) struct Pace {
    highest: Option<(i32, Instant)>,
    due: Option<Instant>,
    interval: f64,
    residence: f64,
    slack: f64,
    credit: f64,
    debt: f64,
    short: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { highest: None, due: None, interval: 0.0, residence: 0.0, slack: env("SLACK", 0.0), credit: env("CREDIT", 0.05), debt: env("DEBT", 0.25), short: env("SHORT", 0.0) }
    }
}

impl Pace {
    pub(super) fn comes(&mut self, priority: i32, now: Instant) {
        if self.highest.is_none_or(|(p, at)| priority >= p || now.saturating_duration_since(at).as_secs_f64() > 10.0) {
            self.highest = Some((priority, now));
        }
    }
    pub(super) fn set(&mut self, limit: u32, residence: f64) {
        self.residence = residence;
        self.interval = if self.slack == 0.0 || limit == 0 { 0.0 } else { residence / f64::from(limit) / self.slack };
    }
    pub(super) fn lets(&self, priority: i32, now: Instant) -> bool {
        self.highest.is_none_or(|(p, at)| priority >= p || now.saturating_duration_since(at).as_secs_f64() > 10.0) || self.due.is_none_or(|due| due <= now)
    }
    pub(super) fn is_paced(&self, priority: i32, now: Instant) -> bool {
        let below = self.highest.is_some_and(|(p, at)| priority < p && now.saturating_duration_since(at).as_secs_f64() <= 10.0);
        self.short >= 2.0 || (self.short >= 1.0 && below)
    }
    pub(super) fn goes(&mut self, now: Instant) {
        if self.interval <= 0.0 { self.due = None; return; }
        let earliest = now.checked_sub(Duration::from_secs_f64(self.credit * self.residence)).unwrap_or(now);
        let due = self.due.map_or(earliest, |due| due.max(earliest)) + Duration::from_secs_f64(self.interval);
        self.due = Some(due.min(now + Duration::from_secs_f64(self.debt * self.residence)));
    }
}
