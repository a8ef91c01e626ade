//! The mirrors against models of them that are too simple to be wrong.

mod model;

use super::*;

const SIZE: u32 = 4;

/// Tokens of a prompt of single letters, one block each.
fn tokens(path: &[u8]) -> Vec<u32> {
    path.iter().flat_map(|letter| [u32::from(*letter); SIZE as usize]).collect()
}

/// The name of the block at the end of `path`, by an engine with a seed.
fn name(path: &[u8], seed: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(path, seed)
}

/// `path[from..]` is stored behind `path[..from]`.
fn stored(path: &[u8], from: usize, seed: u64, medium: Medium) -> Event {
    Event::Stored(Stored {
        hashes: (from..path.len()).map(|end| name(&path[..=end], seed)).collect(),
        parent: (from > 0).then(|| name(&path[..from], seed)),
        tokens: tokens(&path[from..]),
        block_size: SIZE,
        adapter: String::new(),
        extra: Vec::new(),
        medium,
    })
}

fn removed(path: &[u8], seed: u64, medium: Medium) -> Event {
    Event::Removed { hashes: vec![name(path, seed)], medium }
}

/// Blocks of `path` that each mirror is found with.
fn runs(precise: &Precise, mirrors: &[&Mirror], path: &[u8]) -> Vec<u32> {
    let mut runs = Runs::default();
    precise.lookup(&TokenPrompt { ids: &tokens(path), ..TokenPrompt::default() }, &mut runs);
    mirrors.iter().map(|mirror| runs.tokens(mirror) / SIZE).collect()
}

#[test]
fn blocks_are_found_by_their_tokens_whatever_engines_call_them() {
    let precise = Precise::default();
    let (a, b) = (precise.mirror().unwrap(), precise.mirror().unwrap());
    assert!(!precise.in_use());
    let applied = a.apply(&[stored(b"abc", 0, 1, Medium::Gpu)]);
    assert_eq!(applied, Applied { events: 1, stored_tokens: 12, ..Applied::default() });
    b.apply(&[stored(b"ab", 0, 2, Medium::Gpu), stored(b"abcd", 2, 2, Medium::Gpu)]);
    assert!(precise.in_use());
    for (path, expected) in [(&b"abcde"[..], [3, 4]), (b"abx", [2, 2]), (b"bc", [0, 0]), (b"", [0, 0])] {
        assert_eq!(runs(&precise, &[&a, &b], path), expected, "{path:?}");
    }
    assert_eq!((a.len(), b.len(), a.block_size()), (3, 4, SIZE));
    drop(a);
    assert_eq!(runs(&precise, &[&b], b"abc"), [3]);
    b.clear();
    assert_eq!((runs(&precise, &[&b], b"abc"), b.len()), (vec![0], 0));
}

#[test]
fn a_hundred_endpoints_hold_a_block_at_the_same_time() {
    let precise = Precise::default();
    let mirrors: Vec<_> = (0..100).map(|_| precise.mirror().unwrap()).collect();
    let path: Vec<u8> = (0..100).collect();
    for (place, mirror) in mirrors.iter().enumerate() {
        mirror.apply(&[stored(&path[..=place], 0, place as u64, Medium::Gpu)]);
    }
    let all: Vec<_> = mirrors.iter().collect();
    assert_eq!(runs(&precise, &all, &path), (1..=100).collect::<Vec<_>>());
}

#[test]
fn what_follows_a_block_that_is_gone_does_not_count_until_it_is_back() {
    let precise = Precise::default();
    let mirror = precise.mirror().unwrap();
    let run = || runs(&precise, &[&mirror], b"abcd")[0];
    mirror.apply(&[stored(b"abcd", 0, 1, Medium::Gpu)]);
    mirror.apply(&[removed(b"ab", 1, Medium::Gpu)]);
    assert_eq!((run(), mirror.len()), (1, 3));
    mirror.apply(&[stored(b"ab", 1, 1, Medium::Gpu)]);
    assert_eq!((run(), mirror.len()), (4, 4), "its followers were still there");
    mirror.apply(&[removed(b"abcd", 1, Medium::Gpu), removed(b"never", 1, Medium::Gpu)]);
    assert_eq!((run(), mirror.len()), (3, 3));
}

#[test]
fn a_copy_in_host_memory_counts_and_others_do_not() {
    let precise = Precise::default();
    let mirror = precise.mirror().unwrap();
    let run = || runs(&precise, &[&mirror], b"ab")[0];
    mirror.apply(&[stored(b"ab", 0, 1, Medium::Gpu)]);
    let copy = |medium| {
        let Event::Stored(mut copy) = stored(b"ab", 0, 1, medium) else { unreachable!() };
        (copy.tokens, copy.block_size) = (Vec::new(), 0);
        Event::Stored(copy)
    };
    assert_eq!(mirror.apply(&[copy(Medium::Cpu)]).stored_tokens, 0);
    mirror.apply(&[removed(b"a", 1, Medium::Gpu), removed(b"ab", 1, Medium::Gpu)]);
    assert_eq!(run(), 2);
    mirror.apply(&[removed(b"ab", 1, Medium::Cpu), copy(Medium::Other)]);
    assert_eq!((run(), mirror.len()), (1, 1));
    for (name, medium) in [(None, Medium::Gpu), (Some("CPU"), Medium::Cpu), (Some("STORAGE"), Medium::Other)]
    {
        assert_eq!(Medium::of(name), medium);
    }
}

#[test]
fn adapters_salts_and_block_sizes_are_apart() {
    let precise = Precise::default();
    let (plain, other) = (precise.mirror().unwrap(), precise.mirror().unwrap());
    let with = |adapter: &str, extra: Vec<u64>, block_size: u32, seed: u64| {
        let Event::Stored(event) = stored(b"ab", 0, seed, Medium::Gpu) else { unreachable!() };
        let hashes = (0..8 / block_size).map(|place| seed + u64::from(place)).collect();
        Event::Stored(Stored { adapter: adapter.into(), extra, block_size, hashes, ..event })
    };
    plain.apply(&[
        with("", vec![], 4, 10),
        with("sql", vec![], 4, 20),
        with("", vec![extra_of(0, b"s")], 4, 30),
    ]);
    other.apply(&[with("", vec![], 2, 10)]);
    plain.apply(&[removed(b"", 0, Medium::Gpu), Event::Removed { hashes: vec![11], medium: Medium::Gpu }]);
    let ids = tokens(b"ab");
    for (model, salt, expected) in [
        ("", &b""[..], [4, 8]),
        ("a model that is no adapter", b"", [4, 8]),
        ("sql", b"", [8, 0]),
        ("", b"s", [8, 0]),
        ("", b"t", [0, 0]),
    ] {
        let mut runs = Runs::default();
        precise.lookup(&TokenPrompt { ids: &ids, model, salt }, &mut runs);
        assert_eq!([runs.tokens(&plain), runs.tokens(&other)], expected, "{model} {salt:?}");
    }
    let dropped = plain.apply(&[with("", vec![], 8, 40)]).dropped;
    assert_eq!(dropped, 1, "an engine has one size");
}

#[test]
fn a_name_that_stands_for_another_block_takes_what_followed_along() {
    let precise = Precise::default();
    let mirror = precise.mirror().unwrap();
    mirror.apply(&[stored(b"abc", 0, 1, Medium::Gpu)]);
    let Event::Stored(event) = stored(b"x", 0, 1, Medium::Gpu) else { unreachable!() };
    mirror.apply(&[Event::Stored(Stored { hashes: vec![name(b"ab", 1)], ..event })]);
    assert_eq!((runs(&precise, &[&mirror], b"abc"), runs(&precise, &[&mirror], b"x")), (vec![1], vec![1]));
    assert_eq!(mirror.len(), 2);
}

#[test]
fn blocks_without_a_known_parent_or_without_room_are_dropped() {
    let precise = Precise::with_limit(3);
    let mirror = precise.mirror().unwrap();
    assert_eq!(mirror.apply(&[stored(b"ab", 1, 1, Medium::Gpu)]).dropped, 1);
    assert_eq!(mirror.apply(&[stored(b"abcde", 0, 1, Medium::Gpu)]).dropped, 2);
    assert_eq!((runs(&precise, &[&mirror], b"abcde"), mirror.len()), (vec![3], 3));
}

#[test]
fn what_is_being_computed_counts_until_its_last_request_is_through() {
    let precise = Precise::default();
    let mirror = precise.mirror().unwrap();
    mirror.apply(&[stored(b"a", 0, 1, Medium::Gpu)]);
    let mut found = Runs::default();
    precise.lookup(&TokenPrompt { ids: &tokens(b"abc"), ..TokenPrompt::default() }, &mut found);
    let (first, second) = (mirror.expect(found.keys(SIZE)), mirror.expect(&found.keys(SIZE)[..2]));
    assert_eq!(runs(&precise, &[&mirror], b"abc"), [3]);
    drop(first);
    assert_eq!(runs(&precise, &[&mirror], b"abc"), [2]);
    drop(mirror);
    let next = precise.mirror().unwrap();
    assert_eq!(runs(&precise, &[&next], b"abc"), [0], "numbers are not given anew while requests hold them");
    drop(second);
    assert_eq!(runs(&precise, &[&next], b"abc"), [0]);
}

#[test]
fn batches_are_applied_in_order_or_asked_for() {
    use Step::{Apply, Lost, Old, Replay, Restarted};
    let mut sequence = Sequence::default();
    for (live, number, step) in [
        (true, 0, Apply),
        (true, 1, Apply),
        (true, 4, Replay { from: 2 }),
        (false, 2, Apply),
        (false, 3, Apply),
        (false, 4, Apply),
        (false, 4, Old),
        (true, 5, Apply),
    ] {
        assert_eq!(if live { sequence.live(number) } else { sequence.replayed(number) }, step, "{number}");
    }
    assert!(sequence.is_complete());
    // The replay does not go back far enough.
    assert_eq!(sequence.live(9), Replay { from: 6 });
    assert_eq!((sequence.replayed(8), sequence.replayed(9)), (Lost, Apply));
    assert!(!sequence.is_complete());
    sequence.emptied();
    assert!(sequence.is_complete());
    // Nothing was replayed.
    assert_eq!((sequence.live(12), sequence.replayed(12)), (Replay { from: 10 }, Lost));
    // The engine is another one: from its first batch on, or later.
    assert_eq!((sequence.live(0), sequence.is_complete(), sequence.next()), (Restarted, true, 1));
    assert_eq!(sequence.live(1), Apply);
    assert_eq!((sequence.live(1), sequence.is_complete()), (Restarted, false));
    // After another connection, numbers may lie behind what a replay told.
    sequence.connected();
    assert_eq!((sequence.replayed(2), sequence.live(2), sequence.live(3)), (Apply, Old, Apply));
}

#[test]
fn a_prompt_without_tokens_is_not_known() {
    let precise = Precise::default();
    let mirror = precise.mirror().unwrap();
    mirror.apply(&[stored(b"abc", 0, 1, Medium::Gpu)]);
    let mut found = Runs::default();
    precise.lookup(&TokenPrompt { ids: &tokens(b"abc"), ..TokenPrompt::default() }, &mut found);
    assert_eq!((found.keys(SIZE).len(), found.keys(SIZE + 1).len(), found.is_known()), (3, 0, true));
    precise.lookup(&TokenPrompt::default(), &mut found);
    assert_eq!((found.is_known(), found.tokens(&mirror), found.keys(SIZE).len()), (false, 0, 0));
}
