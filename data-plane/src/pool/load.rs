//! The load of an endpoint at one moment, and the form in which a scrape's part of it is kept.

use super::reading::Reading;

/// What the picker estimates from. Ephemeral: read once per endpoint and pick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Requests of ours in flight.
    pub own: u32,
    /// Requests that other pickers told.
    pub peers: u32,
    /// Requests of others, from a fresh scrape; 0 when unknown.
    pub foreign: u32,
    /// Requests running at the last scrape, if fresh.
    pub running: Option<u32>,
    /// Requests waiting at the last scrape, if fresh.
    pub waiting: Option<u32>,
    /// Requests that the server was seen to run at most while others waited.
    pub learned_slots: Option<u32>,
    /// That number is proven at the moment: one more would wait.
    pub slots_proven: bool,
    /// Prompt tokens of ours and of other pickers that are not known to be computed.
    pub prefill_tokens: u64,
    /// Seconds until the prompts sent so far would be computed at the profile's speed.
    pub prefill_clear_s: f32,
    /// Expected output tokens per request in flight, ours and other pickers'.
    pub mean_decode_tokens: Option<f32>,
    /// Share of the KV cache in use, requests since the scrape included; may exceed 1.
    pub kv_used: Option<f32>,
    /// Size of the KV cache in tokens.
    pub kv_tokens: Option<u64>,
}

impl Load {
    /// Requests in the server, ours and others'.
    #[must_use]
    pub fn in_all(&self) -> u32 {
        self.own.saturating_add(self.peers).saturating_add(self.foreign)
    }

    /// The same, to compute with.
    #[must_use]
    pub fn requests(&self) -> f32 {
        self.in_all() as f32
    }
}

/// A scrape's load in one word, so that a reader never sees two halves: running, waiting and foreign requests (16 bits
/// each, saturating, all ones for unknown) and KV usage in steps of 1/65534 (all ones for unknown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed(pub(super) u64);

const UNKNOWN: u16 = u16::MAX;

impl Packed {
    /// Nothing known: no foreign load.
    pub(super) const UNKNOWN: Self = Self(0xffff_0000_ffff_ffff);

    /// The load of `reading`, when at most `own` requests of ours were in flight.
    pub(super) fn of(reading: &Reading, own: u32) -> Self {
        let count = |value: u32| u16::try_from(value).unwrap_or(UNKNOWN - 1).min(UNKNOWN - 1);
        let present = reading.running.unwrap_or(0).saturating_add(reading.waiting.unwrap_or(0));
        let kv = reading.kv_usage.map_or(UNKNOWN, |usage| (usage.clamp(0.0, 1.0) * 65_534.0) as u16);
        let words = [
            reading.running.map_or(UNKNOWN, count),
            reading.waiting.map_or(UNKNOWN, count),
            count(present.saturating_sub(own)),
            kv,
        ];
        Self(words.iter().rev().fold(0, |packed, word| packed << 16 | u64::from(*word)))
    }

    fn word(self, index: u32) -> u16 {
        (self.0 >> (16 * index)) as u16
    }

    fn known(self, index: u32) -> Option<u16> {
        Some(self.word(index)).filter(|word| *word != UNKNOWN)
    }

    pub(super) fn running(self) -> Option<u32> {
        self.known(0).map(u32::from)
    }

    pub(super) fn waiting(self) -> Option<u32> {
        self.known(1).map(u32::from)
    }

    pub(super) fn foreign(self) -> u32 {
        self.word(2).into()
    }

    pub(super) fn kv_usage(self) -> Option<f32> {
        self.known(3).map(|steps| f32::from(steps) / 65_534.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_values_and_unknowns() {
        let nothing = Packed::of(&Reading::default(), 7);
        assert_eq!(nothing, Packed::UNKNOWN);
        assert_eq!(
            (nothing.running(), nothing.waiting(), nothing.foreign(), nothing.kv_usage()),
            (None, None, 0, None)
        );

        let reading = |running, waiting, kv_usage| Reading {
            running: Some(running),
            waiting: Some(waiting),
            kv_usage: Some(kv_usage),
            ..Reading::default()
        };
        let some = Packed::of(&reading(12, 5, 0.25), 10);
        assert_eq!((some.running(), some.waiting(), some.foreign()), (Some(12), Some(5), 7));
        assert!((some.kv_usage().unwrap() - 0.25).abs() < 1e-4);
        assert_eq!(Packed::of(&reading(3, 0, 1.0), 10).foreign(), 0, "we know of more than the scrape saw");
        assert_eq!(Packed::of(&reading(u32::MAX, u32::MAX, 9.0), 0).running(), Some(65_534));
        assert_eq!(Packed::of(&reading(1, 1, 1.0), 0).kv_usage(), Some(1.0));
    }
}
