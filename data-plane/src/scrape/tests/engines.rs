//! Pages that the engines' own code has produced; `tests/engines/README.md` says how.

use super::{hashes, scan};
use crate::accelerator::{Sum, Totals};
use crate::pool::{Adapters, Reading};
use crate::scrape::{engine_named, scanner};

macro_rules! page {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../tests/engines/", $name, ".txt")))
    };
}

/// What all pages of two ranks say; what differs between versions is set by each case.
fn two_ranks() -> Reading {
    Reading { running: Some(11), waiting: Some(7), kv_usage: Some(0.3125), ..Reading::default() }
}

/// Reads the page as the engine's, and as that of any.
fn assert_reads((name, page): (&str, &str), expected: &Reading) {
    let (engine, _) = name.split_once('-').unwrap();
    for told in [engine_named(engine), None] {
        let (mut read, ignored) = scan(told, &[page.as_bytes()]);
        // Sums of fractions.
        for (read, expected) in [
            (&mut read.totals.first_token, expected.totals.first_token),
            (&mut read.totals.between_tokens, expected.totals.between_tokens),
        ] {
            let (sum, expected) = (read.unwrap(), expected.unwrap());
            assert!((sum.sum - expected.sum).abs() < 1e-9, "{name}: {sum:?} is not {expected:?}");
            *read = Some(Sum { sum: expected.sum, ..sum });
        }
        assert_eq!((&read, ignored), (expected, 0), "{name}, told: {}", told.is_some());
    }
    assert_eq!(scanner::detect(page.as_bytes()).unwrap().name, engine, "{name}");
}

#[test]
fn pages_of_vllm() {
    let totals = Totals {
        prompt_tokens: Some(2_300.0),
        cached_tokens: Some(736.0),
        generated_tokens: Some(15.0),
        first_token: Some(Sum { sum: 1.125, count: 4.0 }),
        between_tokens: Some(Sum { sum: 0.31, count: 12.0 }),
        output: Some(Sum { sum: 352.0, count: 4.0 }),
    };
    // Each of the two engines has 1,378 blocks; both show 2,756.
    let cache = |reading: Reading| Reading {
        kv_tokens: Some(44_096),
        kv_largest: Some(22_048),
        kv_block: Some(16),
        ..reading
    };
    let newest = hashes(&["sql-lora", "chat-lora"]);
    let adapters = Adapters { max: 4, running: newest, waiting: hashes(&["law-lora"]) };
    let new = cache(Reading { adapters: Some(adapters), totals, ..two_ranks() });
    assert_reads(page!("vllm-0.33.0"), &new);
    assert_reads(page!("vllm-0.20.2"), &new);
    // Requests that wait for something else than room (two here) do not count, and it refuses adapters with two ranks.
    assert_reads(page!("vllm-0.11.2"), &Reading { waiting: Some(5), adapters: None, ..new });
    let one = Reading {
        running: Some(4),
        waiting: Some(2),
        kv_usage: Some(0.125),
        kv_tokens: Some(44_096),
        kv_largest: Some(44_096),
        kv_block: Some(16),
        adapters: Some(Adapters { max: 4, running: hashes(&["sql-lora"]), waiting: vec![] }),
        totals: Totals {
            prompt_tokens: Some(1_800.0),
            cached_tokens: Some(640.0),
            generated_tokens: Some(8.0),
            first_token: Some(Sum { sum: 0.5, count: 2.0 }),
            between_tokens: Some(Sum { sum: 0.13, count: 6.0 }),
            output: Some(Sum { sum: 256.0, count: 2.0 }),
        },
    };
    assert_reads(page!("vllm-0.9.2"), &one);
}

#[test]
fn pages_of_sglang() {
    let timed = Totals {
        first_token: Some(Sum { sum: 0.875, count: 3.0 }),
        between_tokens: Some(Sum { sum: 0.75, count: 35.0 }),
        ..Totals::default()
    };
    let old = Reading { waiting: Some(3), totals: timed, ..two_ranks() };
    let new = Reading {
        kv_tokens: Some(640_000),
        kv_largest: Some(320_000),
        kv_block: Some(64),
        totals: Totals {
            prompt_tokens: Some(8_000.0),
            cached_tokens: Some(2_000.0),
            generated_tokens: Some(110.0),
            ..timed
        },
        ..old.clone()
    };
    assert_reads(page!("sglang-0.5.23"), &new);
    assert_reads(page!("sglang-0.5.9"), &new);
    assert_reads(page!("sglang-0.4.10"), &old);
}
