//! Frames that the engines' own publishers have sent; `tests/engines/README.md` says how.

use super::super::wire::Decoder;
use crate::prefix::precise::{Applied, Mirror, Precise, Runs, TokenPrompt};

macro_rules! recorded {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../tests/engines/", $name, ".hex")))
    };
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim_matches('-').as_bytes().chunks(2);
    digits.map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()).collect()
}

/// Number and payload of the lines of `kind`. Before them is the topic, which not all versions tell in replays.
fn frames(text: &str, kind: &str) -> Vec<(u64, Vec<u8>)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
    let frames = lines.map(|line| line.split_whitespace().map(bytes).collect::<Vec<_>>());
    frames
        .map(|mut frames| {
            let payload = frames.pop().unwrap();
            (u64::from_be_bytes(frames.pop().unwrap().try_into().unwrap()), payload)
        })
        .collect()
}

struct Engine {
    name: &'static str,
    precise: Precise,
    mirror: Mirror,
    decoder: Decoder,
    batches: Vec<Vec<u8>>,
}

impl Engine {
    fn new((name, text): (&'static str, &str)) -> Self {
        let (live, replayed) = (frames(text, "live "), frames(text, "replay "));
        assert_eq!(live[2..], replayed[..replayed.len() - 1], "{name}: what was kept is what was sent");
        assert_eq!(replayed.last().unwrap(), &(u64::MAX, vec![]), "{name}: the end of a replay");
        assert!(live.iter().enumerate().all(|(number, frame)| frame.0 == number as u64));
        let precise = Precise::default();
        let mirror = precise.mirror().unwrap();
        let batches = live.into_iter().rev().map(|(_, payload)| payload).collect();
        Self { name, precise, mirror, decoder: Decoder::default(), batches }
    }

    /// Takes in the next batch, of which nothing is dropped.
    fn next(&mut self) -> Applied {
        let batch = self.decoder.decode(&self.batches.pop().unwrap()).unwrap();
        assert_eq!(batch.rank, Some(0), "{}", self.name);
        let applied = self.mirror.apply(&batch.events);
        assert_eq!((applied.dropped, batch.missed), (0, false), "{}", self.name);
        applied
    }

    /// Tokens held of a prompt.
    fn holds(&self, ids: std::ops::Range<u32>, model: &str, salt: &str) -> u32 {
        let (ids, mut runs) = (ids.collect::<Vec<_>>(), Runs::default());
        self.precise.lookup(&TokenPrompt { ids: &ids, model, salt: salt.as_bytes() }, &mut runs);
        runs.tokens(&self.mirror)
    }
}

/// What versions tell of a block beside its tokens.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Tells {
    Nothing,
    Medium,
    AdapterAndSalt,
}

#[test]
fn events_of_every_version_say_what_is_held() {
    let table = [
        (recorded!("vllm-0.33.0"), Tells::AdapterAndSalt),
        (recorded!("vllm-0.20.2"), Tells::AdapterAndSalt),
        (recorded!("vllm-0.11.2"), Tells::Medium),
        (recorded!("vllm-0.9.2"), Tells::Nothing),
        (recorded!("sglang-0.5.23"), Tells::AdapterAndSalt),
        (recorded!("sglang-0.5.9"), Tells::Medium),
    ];
    for (recorded, tells) in table {
        let (mut engine, name) = (Engine::new(recorded), recorded.0);
        engine.next();
        assert_eq!((engine.holds(0..60, "", ""), engine.mirror.block_size()), (48, 16), "{name}");
        engine.next();
        let named = u32::from(tells == Tells::AdapterAndSalt) * 16;
        assert_eq!(engine.holds(100..116, "sql-lora", ""), named, "{name}: by the adapter's name");
        assert_eq!(engine.holds(100..116, "", ""), 0, "{name}: an adapter's blocks are not the base model's");
        assert_eq!(engine.holds(200..216, "", "tenant-a"), named, "{name}: with the salt");
        assert_eq!(engine.holds(200..216, "", ""), 16 - named, "{name}: without the salt");
        let blocks = engine.mirror.len();
        if tells >= Tells::Medium {
            assert_eq!(engine.next().stored_tokens, 0, "{name}: copies in host memory");
            assert_eq!(engine.mirror.len(), blocks, "{name}: no block is told twice");
            assert_eq!(engine.holds(200..216, "", "tenant-a"), named, "{name}: a copy without its salt");
        }
        engine.next();
        let left = if tells >= Tells::Medium { 32 } else { 0 };
        assert_eq!(engine.holds(0..48, "", ""), left, "{name}: one block went, one has a copy");
        if name.starts_with("sglang") {
            engine.next();
            assert_eq!(engine.holds(500..516, "", ""), 16, "{name}: pairs of tokens");
        } else if tells >= Tells::Medium {
            let before = engine.mirror.len();
            engine.next();
            assert_eq!(engine.mirror.len() - before, 2, "{name}: names of 32 bytes");
            let shown = if tells == Tells::AdapterAndSalt { 0 } else { 32 };
            assert_eq!(engine.holds(300..332, "", ""), shown, "{name}: an image in the first block");
            engine.next();
            assert_eq!(engine.holds(400..416, "", ""), shown / 2, "{name}: a window of layers");
        }
        assert!(engine.next().cleared && engine.mirror.is_empty() && engine.batches.is_empty(), "{name}");
    }
}
