//! Batches as versions of vLLM and SGLang write them.

use serde::Serialize;

use super::super::wire::Decoder;
use crate::prefix::precise::{Event, Medium, Stored, extra_of};

fn decode(batch: &impl Serialize) -> Vec<Event> {
    Decoder::default().decode(&rmp_serde::to_vec(batch).unwrap()).unwrap().events
}

fn stored() -> Stored {
    Stored {
        hashes: vec![7, 8],
        parent: Some(6),
        tokens: (0..32).collect(),
        block_size: 16,
        adapter: String::new(),
        extra: Vec::new(),
        medium: Medium::Gpu,
    }
}

fn ids() -> Vec<u32> {
    (0..32).collect()
}

const NONE: Option<u32> = None;

#[test]
fn events_are_lists_by_position_and_later_fields_may_be_missing_or_unknown() {
    let short = ("BlockStored", [7, 8], 6, ids(), 16, NONE);
    let long =
        ("BlockStored", [7, 8], 6, ids(), 16, NONE, "GPU", NONE, NONE, NONE, "full_attention", NONE, "LOCAL");
    assert_eq!(decode(&(1.5, (&short, &long))), [Event::Stored(stored()), Event::Stored(stored())]);
    let batch = (1.5, (("BlockRemoved", [7], "CPU", NONE), ("AllBlocksCleared",), ("BlockMoved", 1)), 3);
    let mut decoder = Decoder::default();
    let batch = decoder.decode(&rmp_serde::to_vec(&batch).unwrap()).unwrap();
    assert_eq!(batch.events, [Event::Removed { hashes: vec![7], medium: Medium::Cpu }, Event::Cleared]);
    assert_eq!(batch.rank, Some(3));
    assert_eq!(decode(&(1.5, Vec::<u8>::new(), NONE)), []);
}

#[test]
fn batches_and_events_are_maps_by_name() {
    let batch = serde_json::json!({
        "ts": 1.5,
        "data_parallel_rank": null,
        "events": [
            {"type": "BlockStored", "block_hashes": [7, 8], "parent_block_hash": 6, "token_ids": ids(),
             "block_size": 16, "lora_id": null, "medium": "GPU", "lora_name": null, "session_id": "x"},
            {"type": "BlockRemoved", "block_hashes": [8], "medium": null},
        ],
    });
    let removed = Event::Removed { hashes: vec![8], medium: Medium::Gpu };
    assert_eq!(decode(&batch), [Event::Stored(stored()), removed]);
}

#[test]
fn hashes_are_numbers_of_either_sign_or_bytes() {
    let bytes = serde_bytes(&[1, 2, 3]);
    let Event::Removed { hashes, .. } = &decode(&(0.0, (("BlockRemoved", (-1_i64, u64::MAX, &bytes)),)))[0]
    else {
        panic!("not removed")
    };
    assert_eq!((hashes[0], hashes[1], hashes[2]), (u64::MAX, u64::MAX, extra_of(0, &[1, 2, 3])));
}

/// Bytes as MessagePack has them, which serde writes as a list otherwise.
fn serde_bytes(bytes: &'static [u8]) -> impl Serialize {
    struct Bytes(&'static [u8]);
    impl Serialize for Bytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }
    Bytes(bytes)
}

#[test]
fn adapters_salts_and_images_are_what_blocks_depend_on() {
    let extra = (("sql", "salt"), ("sql", ("image", 5)));
    let event = ("BlockStored", [7, 8], 6, ids(), 16, 4, "GPU", "sql", extra);
    let Event::Stored(found) = decode(&(0.0, (event,))).remove(0) else { panic!("not stored") };
    assert_eq!(found.adapter, "sql");
    assert_eq!(found.extra[0], extra_of(0, b"salt"));
    assert!(found.extra[1] != 0 && found.extra[1] != found.extra[0]);
    let nameless = ("BlockStored", [7, 8], 6, ids(), 16, 4);
    let Event::Stored(found) = decode(&(0.0, (nameless,))).remove(0) else { panic!("not stored") };
    assert!(found.extra.iter().all(|extra| *extra != 0), "an adapter without a name is nobody's");
}

#[test]
fn of_hybrid_models_the_group_with_the_whole_prompt_is_followed() {
    let stored = |group: u32, kind: &'static str| {
        ("BlockStored", [u64::from(group)], NONE, ids(), 16, NONE, "GPU", NONE, NONE, group, kind)
    };
    let events = (stored(0, "sliding_window"), stored(1, "full_attention"), stored(2, "full_attention"));
    let removed = (("BlockRemoved", [9], "GPU", 0), ("BlockRemoved", [1], "GPU", 1));
    let mut decoder = Decoder::default();
    let mut hashes = |batch: Vec<u8>| {
        let batch = decoder.decode(&batch).unwrap();
        let of = |event| match event {
            Event::Stored(stored) => stored.hashes,
            Event::Removed { hashes, .. } => hashes,
            Event::Cleared => vec![],
        };
        batch.events.into_iter().flat_map(of).collect::<Vec<_>>()
    };
    let none = (stored(0, "sliding_window"), ("BlockRemoved", [9]));
    let batch = Decoder::default().decode(&rmp_serde::to_vec(&(0.0, none)).unwrap()).unwrap();
    assert!(batch.missed && batch.events.len() == 1, "what such an engine holds is not known");
    assert_eq!(hashes(rmp_serde::to_vec(&(0.0, events)).unwrap()), [1]);
    assert_eq!(hashes(rmp_serde::to_vec(&(0.0, removed)).unwrap()), [1]);
}

#[test]
fn what_is_no_batch_is_an_error() {
    let mut decoder = Decoder::default();
    for batch in
        [&b""[..], b"\xc0", b"\x90", b"\x92\x01\xc0", b"\x92\x01\x91\x92\xabBlockStored\x01", &[0x91; 4096]]
    {
        assert!(decoder.decode(batch).is_err(), "{batch:?}");
    }
}
