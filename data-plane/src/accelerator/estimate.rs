//! Seconds that work takes on an endpoint of a given profile and load. Pure functions.
//!
//! ```text
//! requests ≥ slots? ─▶ slot_wait ┐
//! tokens ahead, own tokens ─▶ prefill ├─▶ time to first token
//! output tokens, batch ─▶ decode  ┘─▶ time to the last
//! ```

use super::Profile;

/// Seconds between tokens while `batch` requests run.
#[must_use]
pub fn itl(profile: &Profile, batch: f32) -> f32 {
    profile.itl_per_request_s.mul_add((batch - 1.0).max(0.0), profile.itl_s)
}

/// Seconds to compute `tokens` prompt tokens.
#[must_use]
pub fn prefill(profile: &Profile, tokens: f32) -> f32 {
    tokens / profile.prefill_tokens_per_s
}

/// Seconds to generate `tokens` while `batch` requests run, the one asked about included.
#[must_use]
pub fn decode(profile: &Profile, tokens: f32, batch: f32) -> f32 {
    tokens * itl(profile, batch)
}

/// Seconds until a request that joins `requests` others may start: zero while a slot is free, afterwards the time in
/// which as many requests end as are ahead. Requests end every `service / slots` seconds, where `service` is what one
/// of them takes with full slots: `prefill` seconds, and `output_tokens`.
#[must_use]
pub fn slot_wait(profile: &Profile, requests: f32, slots: f32, prefill: f32, output_tokens: f32) -> f32 {
    let ahead = requests - slots + 1.0;
    if ahead <= 0.0 {
        return 0.0;
    }
    ahead * (prefill + decode(profile, output_tokens, slots)) / slots
}

/// Seconds by which one more request slows `requests` running ones, all of which have half of `output_tokens` left.
#[must_use]
pub fn crowding(profile: &Profile, requests: f32, output_tokens: f32) -> f32 {
    requests * profile.itl_per_request_s * output_tokens * 0.5
}

/// Share of a request's service time to expect on top when the KV cache is `used` (0..1) full, because requests are
/// preempted and computed again: 0.004 at one half, 0.17 at 0.8, 0.43 at 0.9 and 1 when full.
#[must_use]
pub fn pressure(used: f32) -> f32 {
    let square = used * used;
    let fourth = square * square;
    fourth * fourth
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: Profile = Profile {
        prefill_tokens_per_s: 1_000.0,
        overhead_s: 0.01,
        itl_s: 0.010,
        itl_per_request_s: 0.001,
        useful_batch: 8.0,
    };

    #[test]
    fn seconds_by_hand() {
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} != {b}");
        near(itl(&PROFILE, 0.0), 0.010);
        near(itl(&PROFILE, 1.0), 0.010);
        near(itl(&PROFILE, 5.0), 0.014);
        near(prefill(&PROFILE, 500.0), 0.5);
        near(decode(&PROFILE, 100.0, 5.0), 1.4);
        near(slot_wait(&PROFILE, 7.0, 8.0, 0.5, 100.0), 0.0);
        // Batch 8: 17 ms a token, with its prompt 2 s a request, one ends every 2/8 s.
        near(slot_wait(&PROFILE, 8.0, 8.0, 0.3, 100.0), 2.0 / 8.0);
        near(slot_wait(&PROFILE, 15.0, 8.0, 0.3, 100.0), 2.0);
        near(crowding(&PROFILE, 10.0, 100.0), 0.5);
        near(pressure(1.0), 1.0);
        assert!(pressure(0.5) < 0.005);
    }
}
