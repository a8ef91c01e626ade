//! How fast an endpoint is expected to be before anything was measured on it.
//!
//! The seed is a roofline over the datasheet for an 8B reference model in 16 bit: prefill is bound by FLOPS, decode at
//! batch 1 by reading the weights, each further request by reading its KV cache and by its FLOPS. Other models shift
//! all endpoints of a pool by about the same factor, and the picker compares endpoints of one pool.

use serde::{Deserialize, Serialize};

use super::datasheet::{self, Datasheet};

/// Parameters of the reference model, in billions.
const MODEL_BILLIONS: f32 = 8.0;
/// Bytes of a parameter.
const BYTES: f32 = 2.0;
/// KV cache of one token of the reference model in GB: 32 layers × 8 KV heads × 128 × 2 (K, V) × 2 bytes.
const KV_GB_PER_TOKEN: f32 = 131_072.0 / 1e9;
/// How the KV cache of a token grows with parameters: that of a 70B model (80 layers) is 2.5 times that of an 8B one.
const KV_GROWTH: f32 = 0.42;
/// Context of a typical request in tokens.
const TYPICAL_CONTEXT: f32 = 1_500.0;
/// Share of the memory that model servers use, less activations.
const USABLE_MEMORY: f32 = 0.85;
/// Batches beyond this cost more per token than they gain, and it is the usual `max_num_seqs`.
const LARGEST_BATCH: f32 = 256.0;
/// Tensor parallelism is not free: n devices are n^0.9 as fast in prefill (compute) and n^0.7 in decode (latency).
const PREFILL_SCALING: f32 = 0.9;
const DECODE_SCALING: f32 = 0.7;
/// Scheduling, tokenization and HTTP of a model server per request.
const OVERHEAD_SECONDS: f32 = 0.015;

/// What an endpoint runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hardware<'a> {
    /// Canonical class such as "nvidia-h100-80gb" or "nvidia-a100-80gb-mig-2g.20gb"; empty when unknown.
    pub class: &'a str,
    /// Devices; 0 when unknown.
    pub count: u32,
    /// Memory of one device in bytes; 0 when unknown.
    pub memory_bytes: u64,
}

/// Expected speeds of one endpoint. All values are positive and finite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Prompt tokens per second.
    pub prefill_tokens_per_s: f32,
    /// Seconds that a request costs before its first prompt token is computed.
    pub overhead_s: f32,
    /// Seconds between tokens at batch 1.
    pub itl_s: f32,
    /// Seconds that each further request in the batch adds between tokens.
    pub itl_per_request_s: f32,
    /// Requests that run together before others wait.
    pub useful_batch: f32,
}

/// The profile of an endpoint on `hardware`.
#[must_use]
pub fn profile_of(hardware: Hardware<'_>) -> Profile {
    profile_for(hardware, MODEL_BILLIONS).0
}

/// The profile of an endpoint on `hardware` for a dense model of `billions` parameters in 16 bit, and the tokens of its
/// KV cache: none when there is no room for one beside the weights.
#[must_use]
pub fn profile_for(hardware: Hardware<'_>, billions: f32) -> (Profile, u64) {
    let (class, slice) = split_mig(hardware.class);
    let sheet = datasheet::of(class);
    let share = slice.map_or(1.0, |slice| slice.compute);
    let memory = match (slice, hardware.memory_bytes) {
        (Some(slice), _) => slice.memory_gb,
        (None, 0) => sheet.memory,
        (None, bytes) => bytes as f32 / 1e9,
    };
    let devices = hardware.count.clamp(1, 64) as f32;
    let room = memory * devices * USABLE_MEMORY - billions * BYTES;
    let kv_token = KV_GB_PER_TOKEN * (billions / MODEL_BILLIONS).powf(KV_GROWTH);
    (roofline(sheet, share, devices, room, billions, kv_token), (room / kv_token).max(0.0) as u64)
}

fn roofline(sheet: &Datasheet, share: f32, devices: f32, room: f32, billions: f32, kv_token: f32) -> Profile {
    let flops = sheet.tflops * 1e12 * share * sheet.prefill_share * devices.powf(PREFILL_SCALING);
    let bandwidth = sheet.bandwidth * share * sheet.decode_share * devices.powf(DECODE_SCALING);
    let flop_per_token = 2.0 * billions * 1e9;
    let kv_request = kv_token * TYPICAL_CONTEXT;
    Profile {
        prefill_tokens_per_s: flops / flop_per_token,
        overhead_s: OVERHEAD_SECONDS,
        itl_s: billions * BYTES / bandwidth,
        itl_per_request_s: kv_request / bandwidth + flop_per_token / flops,
        useful_batch: (room / kv_request).clamp(4.0, LARGEST_BATCH),
    }
}

/// A slice of a partitioned NVIDIA device.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    /// Share of the device's compute and bandwidth.
    compute: f32,
    memory_gb: f32,
}

/// Splits "…-mig-2g.20gb" into the device's class and the slice: 2 of 7 compute slices and 20 GB.
fn split_mig(class: &str) -> (&str, Option<Slice>) {
    let slice = |profile: &str| {
        let (compute, memory) = profile.split_once("g.")?;
        let compute: u8 = compute.parse().ok()?;
        let memory_gb: f32 = memory.split("gb").next()?.parse().ok()?;
        let valid = (1..=7).contains(&compute) && memory_gb.is_finite() && memory_gb > 0.0;
        valid.then(|| Slice { compute: f32::from(compute) / 7.0, memory_gb })
    };
    match class.split_once("-mig-") {
        Some((device, profile)) => (device, slice(profile)),
        None => (class, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(class: &str, count: u32) -> Profile {
        profile_of(Hardware { class, count, memory_bytes: 0 })
    }

    #[test]
    fn published_ratios_hold() {
        let (h100, a100, l40s) = (of("nvidia-h100-80gb", 1), of("nvidia-a100-80gb", 1), of("nvidia-l40s", 1));
        let ratio = |a: f32, b: f32, low: f32, high: f32| {
            assert!((low..=high).contains(&(a / b)), "{a} / {b} = {} not in {low}..{high}", a / b);
        };
        ratio(h100.prefill_tokens_per_s, a100.prefill_tokens_per_s, 1.7, 2.5);
        ratio(h100.prefill_tokens_per_s, l40s.prefill_tokens_per_s, 3.2, 4.2);
        ratio(a100.itl_s, h100.itl_s, 1.4, 1.8);
        ratio(l40s.itl_s, h100.itl_s, 2.2, 3.8);
        let mi300x = of("amd-mi300x", 1);
        assert!(mi300x.prefill_tokens_per_s > h100.prefill_tokens_per_s && mi300x.itl_s > h100.itl_s);
        // 15,928 tokens/s of a 32B model on two H100 is about four times that for an 8B model.
        ratio(of("nvidia-h100-80gb", 2).prefill_tokens_per_s, 4.0 * 15_928.0, 0.7, 1.3);
    }

    #[test]
    fn every_profile_is_positive_and_finite() {
        for class in
            ["nvidia-h100-80gb", "nvidia-t4", "tpu-v5e", "", "?", "nvidia-a100-80gb-mig-1g.10gb", "a-mig-"]
        {
            for count in [0, 1, 8, u32::MAX] {
                for memory_bytes in [0, 1, u64::MAX] {
                    let p = profile_of(Hardware { class, count, memory_bytes });
                    for value in
                        [p.prefill_tokens_per_s, p.overhead_s, p.itl_s, p.itl_per_request_s, p.useful_batch]
                    {
                        assert!(value.is_finite() && value > 0.0, "{class} {count} {memory_bytes}: {p:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn larger_models_are_slower_and_need_room() {
        let hardware = |count| Hardware { class: "nvidia-h100-80gb", count, memory_bytes: 0 };
        let (small, room) = profile_for(hardware(4), MODEL_BILLIONS);
        assert_eq!(small, profile_of(hardware(4)));
        let (large, less) = profile_for(hardware(4), 70.0);
        assert!(
            large.itl_s > 8.0 * small.itl_s && large.prefill_tokens_per_s < small.prefill_tokens_per_s / 8.0
        );
        assert!(less > 0 && less < room / 4, "{less} of {room}");
        assert_eq!(profile_for(hardware(1), 70.0).1, 0);
    }

    #[test]
    fn slices_and_device_counts_scale() {
        let whole = of("nvidia-a100-80gb", 1);
        let slice = of("nvidia-a100-80gb-mig-2g.20gb", 1);
        assert!((slice.prefill_tokens_per_s / whole.prefill_tokens_per_s - 2.0 / 7.0).abs() < 1e-3);
        assert!(slice.useful_batch < whole.useful_batch);
        assert_eq!(split_mig("nvidia-a100-80gb-mig-9g.x"), ("nvidia-a100-80gb", None));
        let eight = of("nvidia-h100-80gb", 8);
        let one = of("nvidia-h100-80gb", 1);
        assert!(eight.prefill_tokens_per_s > 6.0 * one.prefill_tokens_per_s);
        assert!(eight.itl_s < one.itl_s / 3.0);
    }
}
