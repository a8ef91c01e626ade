//! What an endpoint costs a request, in seconds by part.
//!
//! ```text
//! time to first token = max(slot_wait, prefill_wait) + prefill + pressure + adapter
//! total               = time to first token + SHARE · (decode + crowding) + burden
//! ```

use crate::accelerator::{Profile, estimate};
use crate::pool::{Adapters, Load};

use super::ask::Need;

/// How much a second after the first token counts beside one before it: users wait for the first, and read along with
/// the others. Measured in `tests/fleet.rs` on speeds 1:2:4 at 80 % load: 0.5 gives 0.62 s to the first token and 3.2 s in
/// all (medians), 0.15 gives 0.09 s and 2.2 s; less than that trades the tail of the total for nothing.
const DECODE_SHARE: f32 = 0.15;
/// Seconds that a second of prefill takes from each running request: both share the accelerator.
const INTERFERENCE: f32 = 0.1;
/// Fullness of the KV cache beyond which `pressure` grows no further.
const FULLEST: f32 = 1.2;
/// Standard deviation of estimated over true prompt tokens: bytes tell them to 10 to 20 %.
const PROMPT_DOUBT: f32 = 0.15;
/// Loading a LoRA adapter into a free place (tens to hundreds of megabytes from host memory or disk).
const ADAPTER_LOAD: f32 = 0.25;
/// Waiting for a place as well: until requests of another adapter end.
const ADAPTER_SWAP: f32 = 1.5;

/// Expected seconds of one request at one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// Until one of the requests ahead ends; 0 while a slot is free.
    pub slot_wait: f32,
    /// Until the prompts sent before are computed, which they are while a slot is waited for.
    pub prefill_wait: f32,
    /// The request's own prompt.
    pub prefill: f32,
    /// Its output.
    pub decode: f32,
    /// What it costs the requests that run beside it.
    pub crowding: f32,
    /// What it costs those that are expected to come while it holds up the endpoint.
    pub burden: f32,
    /// Preemption and waiting for room in the KV cache.
    pub pressure: f32,
    /// Loading its LoRA adapter.
    pub adapter: f32,
    /// How far the time to the first token may be off: one standard deviation. Not a part of it.
    pub doubt: f32,
}

impl Parts {
    /// Expected time to the first token.
    #[must_use]
    pub fn ttft(&self) -> f32 {
        self.slot_wait.max(self.prefill_wait) + self.prefill + self.pressure + self.adapter
    }

    /// What the picker compares.
    #[must_use]
    pub fn total(&self) -> f32 {
        DECODE_SHARE.mul_add(self.decode + self.crowding, self.ttft() + self.burden)
    }
}

/// The parts, except for `adapter`.
pub(super) fn parts(profile: &Profile, load: &Load, need: &Need) -> Parts {
    let requests = load.requests();
    let slots = slots(profile, load);
    let output = need.decode_tokens as f32;
    let others_output = load.mean_decode_tokens.unwrap_or(output);
    let running = requests.min(slots - 1.0);
    // Prompts known to be computed are not waited for; and those of requests whose first byte is not seen (not
    // streamed) are, as time passes, taken to be computed at the profile's speed.
    let prefill_wait = estimate::prefill(profile, load.prefill_tokens as f32).min(load.prefill_clear_s);
    let prefill = prefill(profile, need);
    let decode = estimate::decode(profile, output, running + 1.0);
    // A slot is free again when a prompt of about this length was computed and answered.
    let slot_wait = estimate::slot_wait(profile, requests, slots, prefill, others_output);
    // By Little's law, requests come here at this rate. Those that come while the prompt is computed wait for it, and
    // those that come while all slots are taken wait for its slot. Long prompts thereby go to where they are short.
    // Those that come while earlier prompts are computed would wait for it, too, but are sent elsewhere for that
    // reason: counting them as well makes percentiles worse on the shapes of `simulate`.
    let rate = requests / (prefill + decode);
    let burden = rate * (prefill * prefill + slot_wait * (prefill + decode) / slots);
    Parts {
        slot_wait,
        prefill_wait,
        prefill,
        decode,
        crowding: INTERFERENCE
            .mul_add(running * prefill, estimate::crowding(profile, running, others_output)),
        burden,
        pressure: pressure(profile, load, need, prefill + decode, others_output, running),
        adapter: 0.0,
        doubt: doubt(slot_wait, requests - slots + 1.0, prefill_wait, prefill),
    }
}

/// One standard deviation of the time to the first token, from what is known to be uncertain: the ends of `ahead` requests
/// that are waited for come like a Poisson process (their lengths are not known), and the lengths of prompts are estimates.
fn doubt(slot_wait: f32, ahead: f32, prefill_wait: f32, prefill: f32) -> f32 {
    let slot = slot_wait * slot_wait / ahead.max(1.0);
    let prompts = prefill_wait.mul_add(prefill_wait, prefill * prefill);
    (PROMPT_DOUBT * PROMPT_DOUBT).mul_add(prompts, slot).sqrt()
}

/// Seconds that the request's own prompt takes.
pub(super) fn prefill(profile: &Profile, need: &Need) -> f32 {
    profile.overhead_s + estimate::prefill(profile, need.prefill_tokens as f32)
}

/// Requests that run together: as seen while others waited, else the profile's, and no fewer than run without anyone
/// waiting.
fn slots(profile: &Profile, load: &Load) -> f32 {
    let known = load.learned_slots.map_or(profile.useful_batch, |slots| slots as f32);
    let proven = if load.waiting == Some(0) { load.running.unwrap_or(0) as f32 } else { 0.0 };
    known.max(proven).max(1.0)
}

/// The KV cache's part: a growing share of the request's service time while it fills, and what is missing of room has
/// to be freed by others first.
fn pressure(
    profile: &Profile,
    load: &Load,
    need: &Need,
    service: f32,
    others_output: f32,
    running: f32,
) -> f32 {
    let Some(used) = load.kv_used else { return 0.0 };
    let used = used.min(FULLEST);
    let filling = estimate::pressure(used) * service;
    let Some(capacity) = load.kv_tokens else { return filling };
    let wanted = (need.prompt_tokens + need.decode_tokens) as f32 / capacity as f32;
    let missing = (wanted - (1.0 - used).max(0.0)).max(0.0);
    filling + missing * estimate::decode(profile, others_output, running + 1.0)
}

/// The adapter's part at an endpoint with `adapters`, for a model that is known to be one.
pub(super) fn adapter(adapters: Option<&Adapters>, adapter: u64) -> f32 {
    match adapters {
        Some(adapters) if adapters.runs(adapter) => 0.0,
        Some(adapters) if adapters.awaits(adapter) => ADAPTER_LOAD / 2.0,
        Some(adapters) if !adapters.has_room() => ADAPTER_SWAP,
        _ => ADAPTER_LOAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_ends_are_waited_for_the_surer_is_the_wait() {
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{a} != {b}");
        near(doubt(0.0, -3.0, 0.0, 2.0), 2.0 * PROMPT_DOUBT);
        near(doubt(0.0, 0.0, 3.0, 4.0), 5.0 * PROMPT_DOUBT);
        near(doubt(1.0, 1.0, 0.0, 0.0), 1.0);
        near(doubt(4.0, 16.0, 0.0, 0.0), 1.0);
    }
}
