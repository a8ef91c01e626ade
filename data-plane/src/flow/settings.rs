//! How a pool admits: the picker's flags, and what the annotations of an InferencePool change of them.
//!
//! | flag | annotation | default | |
//! |---|---|---|---|
//! | `--queue` | `signalbox.dev/queue: "off"` | on | off: nothing waits, only the bounds on requests in flight hold |
//! | `--queue-ttl` | `signalbox.dev/queue-ttl` | 25s | how long a request waits for room |
//! | `--queue-wait-for-endpoints` | `signalbox.dev/queue-wait-for-endpoints` | 0s | how long a request waits for a pool without endpoints (scaled to zero) |
//! | `--queue-longest-wait` | | 29s | bound on both, whatever annotations say; less than the gateway's ext_proc message timeout |
//! | `--queue-requests`, `--queue-bytes` | `signalbox.dev/queue-requests`, `…/queue-bytes` | 10000, 384MiB | most that waits in a pool |
//! | `--queue-band-requests`, `--queue-band-bytes` | `signalbox.dev/queue-band-requests`, `…/queue-band-bytes` | 5000, 256MiB | most that waits in a pool with one priority |
//! | `--endpoint-queue` | `signalbox.dev/endpoint-queue` | 4 | requests beyond its batch that an endpoint takes before it counts as full |
//! | `--endpoint-kv-percent` | `signalbox.dev/endpoint-kv-percent` | 90 | use of its KV cache at which an endpoint counts as full |
//! | | `signalbox.dev/eviction` | off | `sheddable`: while a request of priority 0 or above waits, those below 0 that run and have not begun to answer make room for it; `sheddable-any`: also those that answer already, whose clients see their answer cut |
//! | | `signalbox.dev/headroom` | off | on: while requests of a higher priority are in flight, those below them leave some places free and do not wait in model servers |
//! | `--max-in-flight` | | 20000 | requests in flight per pool; further ones wait |
//! | `--sheddable-in-flight` | | the same | requests in flight above which those of a priority below 0 wait |

use std::collections::BTreeMap;
use std::time::Duration;

use super::quantity::{bytes, duration};

/// A number of requests, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Requests.
    pub requests: usize,
    /// Bytes that they hold.
    pub bytes: usize,
}

impl Size {
    /// With that much more.
    #[must_use]
    pub fn more(self, requests: usize, bytes: usize) -> Self {
        Self { requests: self.requests + requests, bytes: self.bytes + bytes }
    }

    /// With that much less, which is part of it.
    #[must_use]
    pub fn less(self, requests: usize, bytes: usize) -> Self {
        Self { requests: self.requests - requests, bytes: self.bytes - bytes }
    }

    /// Whether it is no larger in either.
    #[must_use]
    pub fn within(&self, bound: &Self) -> bool {
        self.requests <= bound.requests && self.bytes <= bound.bytes
    }
}

/// The most that may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// With one priority.
    pub band: Size,
    /// In a pool.
    pub total: Size,
}

/// How long a request may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For room, in a pool that has endpoints.
    pub ttl: Duration,
    /// For endpoints, in a pool that has none; 0: not at all.
    pub endpoints: Duration,
    /// For both.
    pub longest: Duration,
}

/// Bounds on requests of one pool that were admitted here and have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// No request is admitted above this.
    pub max_in_flight: usize,
    /// Requests of a priority below 0 are not admitted above this.
    pub sheddable_in_flight: usize,
}

/// When an endpoint counts as full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fullness {
    /// Requests beyond its batch.
    pub queue: u32,
    /// Share of its KV cache in use.
    pub kv: f32,
}

/// Which requests in flight end for more important ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Eviction {
    /// None.
    #[default]
    Off,
    /// Of a priority below 0, before the headers of their response have come.
    Unanswered,
    /// Of a priority below 0.
    Any,
}

/// How a pool admits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Requests wait while the pool is full.
    pub queue: bool,
    /// How long.
    pub times: Times,
    /// How many.
    pub bounds: Bounds,
    /// Requests in flight.
    pub limits: Limits,
    /// What full is.
    pub fullness: Fullness,
    /// What ends for more important requests.
    pub eviction: Eviction,
    /// Lower priorities leave places free for higher ones.
    pub headroom: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            queue: true,
            times: Times { ttl: seconds(25), endpoints: seconds(0), longest: seconds(29) },
            bounds: Bounds {
                band: Size { requests: 5_000, bytes: 256 << 20 },
                total: Size { requests: 10_000, bytes: 384 << 20 },
            },
            limits: Limits { max_in_flight: 20_000, sheddable_in_flight: 20_000 },
            fullness: Fullness { queue: 4, kv: 0.9 },
            eviction: Eviction::Off,
            headroom: false,
        }
    }
}

impl Settings {
    /// These, as the `signalbox.dev/…` annotations of a pool change them. What cannot be used is told to `problem` and
    /// changes nothing.
    #[must_use]
    pub fn with(mut self, annotations: &BTreeMap<String, String>, mut problem: impl FnMut(String)) -> Self {
        for (name, value) in annotations {
            let Some(setting) = name.strip_prefix("signalbox.dev/") else { continue };
            if let Err(error) = self.set(setting, value.trim()) {
                problem(format!("annotation {name}: {value:?}: {error}; the picker's own setting is used"));
            }
        }
        self
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<(), String> {
        let count = |value: &str| value.parse().map_err(|_| "not a whole number".to_owned());
        match setting {
            "queue" => self.queue = switch(value)?,
            "headroom" => self.headroom = switch(value)?,
            "eviction" => {
                self.eviction = match value {
                    "off" => Eviction::Off,
                    "sheddable" => Eviction::Unanswered,
                    "sheddable-any" => Eviction::Any,
                    _ => return Err("none of off, sheddable and sheddable-any".to_owned()),
                };
            }
            "queue-ttl" => self.times.ttl = duration(value)?,
            "queue-wait-for-endpoints" => self.times.endpoints = duration(value)?,
            "queue-requests" => self.bounds.total.requests = count(value)?,
            "queue-bytes" => self.bounds.total.bytes = bytes(value)?,
            "queue-band-requests" => self.bounds.band.requests = count(value)?,
            "queue-band-bytes" => self.bounds.band.bytes = bytes(value)?,
            "endpoint-queue" => {
                self.fullness.queue = value.parse().map_err(|_| "not a whole number".to_owned())?;
            }
            "endpoint-kv-percent" => self.fullness.kv = kv(value)?,
            _ => {}
        }
        Ok(())
    }
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("neither on nor off".to_owned()),
    }
}

/// A share written as a percentage, 1 to 100.
///
/// # Errors
/// It is another.
pub fn kv(percent: &str) -> Result<f32, String> {
    let percent: f32 = percent.trim_end_matches('%').parse().map_err(|_| "not a number".to_owned())?;
    if (1.0..=100.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err("not between 1 and 100".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_change_what_flags_say_and_mistakes_change_nothing() {
        let base = Settings::default();
        let with = |pairs: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| (format!("signalbox.dev/{name}"), (*value).to_owned());
            let mut problems = Vec::new();
            let settings = base.with(&pairs.iter().map(own).collect(), |problem| problems.push(problem));
            (settings, problems)
        };
        let (settings, problems) = with(&[
            ("queue", "off"),
            ("queue-ttl", "3s"),
            ("queue-wait-for-endpoints", "2m"),
            ("queue-requests", "7"),
            ("queue-bytes", "1MiB"),
            ("queue-band-requests", "5"),
            ("queue-band-bytes", "1KiB"),
            ("endpoint-queue", "0"),
            ("endpoint-kv-percent", "75"),
            ("eviction", "sheddable"),
            ("headroom", "on"),
            ("policy", "balanced"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(settings.bounds.total, Size { requests: 7, bytes: 1 << 20 });
        assert_eq!(settings.bounds.band, Size { requests: 5, bytes: 1 << 10 });
        assert_eq!((settings.times.ttl.as_secs(), settings.times.endpoints.as_secs()), (3, 120));
        assert_eq!(settings.times.longest, base.times.longest);
        assert_eq!((settings.eviction, base.eviction), (Eviction::Unanswered, Eviction::Off));
        assert!(settings.headroom && !base.headroom);
        assert_eq!((settings.queue, settings.fullness), (false, Fullness { queue: 0, kv: 0.75 }));

        for (name, value) in [
            ("queue", "maybe"),
            ("queue-ttl", "3"),
            ("queue-bytes", "1MB"),
            ("queue-requests", "-1"),
            ("endpoint-queue", "x"),
            ("endpoint-kv-percent", "0"),
            ("endpoint-kv-percent", "NaN"),
            ("eviction", "all"),
        ] {
            let (settings, problems) = with(&[(name, value)]);
            assert_eq!(settings, base, "{name}");
            assert!(problems.len() == 1 && problems[0].contains(name) && problems[0].contains(value));
        }
    }
}
