use super::*;
use crate::simulator::config::parse_pod;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn engine(settings: &str) -> Engine {
    let config = parse_pod(&format!("name=p,listen=127.0.0.1:1,model=m,{settings}")).unwrap();
    Engine::new(&config, config.speed().unwrap())
}

fn job(first: u32, prompt: usize, max_tokens: usize) -> Job {
    let prompt = (0..prompt as u32).map(|i| first + i).collect();
    Job { prompt, max_tokens, natural_end: usize::MAX, adapter: None, salt: 0, seed: 0 }
}

fn with_adapter(first: u32, adapter: &str) -> Job {
    Job { adapter: Some(adapter.into()), ..job(first, 16, 2) }
}

/// Runs to the end from `now`; returns each event with its time.
fn run(engine: &mut Engine, mut now: Duration) -> Vec<(Duration, SequenceId, Event)> {
    let mut seen = Vec::new();
    while let Some(ends) = engine.begin_step(now) {
        now = now.max(ends);
        seen.extend(engine.end_step(now).into_iter().map(|(id, event)| (now, id, event)));
    }
    assert_eq!(engine.blocks().used(), 0, "every block is given back");
    seen
}

fn token_times(seen: &[(Duration, SequenceId, Event)], of: SequenceId) -> Vec<Duration> {
    seen.iter()
        .filter(|(_, id, event)| *id == of && matches!(event, Event::Token { .. }))
        .map(|s| s.0)
        .collect()
}

#[test]
fn prefill_then_decode() {
    let mut engine = engine("profile=h100");
    let id = engine.submit(job(0, 1000, 4), MS(0)).unwrap();
    let seen = run(&mut engine, MS(0));
    assert_eq!(token_times(&seen, id), [MS(280), MS(292), MS(304), MS(316)]);
    assert_eq!(seen.last().unwrap().2, Event::Finished(Finish::Length));
    let totals = engine.totals();
    assert_eq!((totals.prompt_tokens, totals.generation_tokens), (1000, 4));
    assert!((totals.inter_token_latency.sum() - 0.036).abs() < 1e-9);
    assert!((totals.e2e_latency.sum() - 0.316).abs() < 1e-9);
}

#[test]
fn the_batch_slows_every_sequence() {
    let mut engine = engine(
        "profile=h100,itl-base-ms=10,itl-per-sequence-ms=1,prefill-overhead-ms=0,prefill-ms-per-token=0",
    );
    let ids: Vec<_> = (0..5).map(|i| engine.submit(job(i * 1000, 20, 3), MS(0)).unwrap()).collect();
    let seen = run(&mut engine, MS(0));
    for id in ids {
        assert_eq!(token_times(&seen, id), [MS(0), MS(15), MS(30)]);
    }
}

#[test]
fn the_queue_is_fifo_behind_the_batch_limit() {
    let mut engine = engine("profile=h100,max-num-seqs=1,prefill-overhead-ms=10,prefill-ms-per-token=0");
    for i in 0..3 {
        engine.submit(job(i * 1000, 20, 2), MS(0)).unwrap();
    }
    engine.begin_step(MS(0));
    assert_eq!((engine.running().0, engine.waiting().0), (1, 2));
    let seen = run(&mut engine, MS(0));
    let firsts: Vec<_> = (0..3).map(|id| token_times(&seen, id)[0]).collect();
    assert_eq!(firsts, [MS(10), MS(32), MS(54)]);
    assert!((engine.totals().queue_time.sum() - 0.066).abs() < 1e-9);
}

#[test]
fn late_wakeups_do_not_add_up() {
    let mut engine = engine("profile=h100");
    engine.submit(job(0, 1000, 101), MS(0)).unwrap();
    let mut ends = MS(0);
    while let Some(end) = engine.begin_step(ends + MS(3)) {
        ends = end;
        engine.end_step(end + MS(3));
    }
    // The first step alone starts late.
    assert_eq!(ends, MS(3 + 280 + 1200));
}

#[test]
fn long_prefills_are_chunked() {
    let mut engine = engine(
        "profile=h100,max-num-batched-tokens=100,prefill-overhead-ms=0,itl-base-ms=10,itl-per-sequence-ms=0,prefill-ms-per-token=1",
    );
    let short = engine.submit(job(0, 10, 6), MS(0)).unwrap();
    let long = engine.submit(job(1000, 250, 2), MS(0)).unwrap();
    let seen = run(&mut engine, MS(0));
    // Steps of 100, 10+99 and 10+61 ms: the short answer goes on between the chunks.
    assert_eq!(token_times(&seen, short)[..3], [MS(100), MS(209), MS(280)]);
    assert_eq!(token_times(&seen, long)[0], MS(280));
}

#[test]
fn cached_prefixes_save_prefill() {
    let mut engine = engine("profile=h100,prefill-overhead-ms=0,prefill-ms-per-token=1");
    engine.submit(job(0, 160, 1), MS(0)).unwrap();
    run(&mut engine, MS(0));
    let id = engine.submit(job(0, 176, 1), MS(1000)).unwrap();
    let seen = run(&mut engine, MS(1000));
    assert_eq!(seen[0], (MS(1016), id, Event::Token { index: 0, cached: 160 }));
    engine.submit(Job { salt: 1, ..job(0, 176, 1) }, MS(2000)).unwrap();
    assert_eq!(run(&mut engine, MS(2000))[0].0, MS(2176), "another salt shares nothing");
    assert_eq!((engine.blocks().hits, engine.blocks().queries), (160, 160 + 176 + 176));
}

#[test]
fn kv_limits_admission_and_preempts() {
    // Ten blocks of 16 tokens: both prompts of 64 fit, their answers of 64 do not fit together.
    let mut engine = engine("num-gpu-blocks=10,itl-base-ms=1");
    assert!(engine.submit(job(0, 100, 100), MS(0)).is_none(), "it never fits");
    let ids: Vec<_> = (0..3).map(|i| engine.submit(job(i * 1000, 64, 64), MS(0)).unwrap()).collect();
    engine.begin_step(MS(0));
    assert_eq!((engine.running().0, engine.waiting().0, engine.blocks().used()), (2, 1, 8));
    let seen = run(&mut engine, MS(0));
    for id in ids {
        assert_eq!(token_times(&seen, id).len(), 64, "a preempted answer repeats no token");
    }
    assert!(engine.totals().preemptions > 0);
}

#[test]
fn adapters_load_and_wait_for_slots() {
    let mut engine = engine("loras=a+b,max-loras=1,lora-load-ms=300,prefill-overhead-ms=10,itl-base-ms=10");
    let a = engine.submit(with_adapter(0, "a"), MS(0)).unwrap();
    let b = engine.submit(with_adapter(1000, "b"), MS(0)).unwrap();
    let plain = engine.submit(job(2000, 16, 2), MS(0)).unwrap();
    engine.begin_step(MS(0));
    assert_eq!(engine.running(), (2, BTreeSet::from(["a"])));
    assert_eq!(engine.waiting(), (1, BTreeSet::from(["b"])));
    let seen = run(&mut engine, MS(0));
    assert_eq!(token_times(&seen, a), [MS(320), MS(330)]);
    assert_eq!(token_times(&seen, plain), [MS(320), MS(330)], "passes the one that waits for a slot");
    assert_eq!(token_times(&seen, b), [MS(640), MS(650)]);
}

#[test]
fn cancelled_sequences_free_their_place() {
    let mut engine = engine("max-num-seqs=1,itl-base-ms=10");
    let first = engine.submit(job(0, 32, 1000), MS(0)).unwrap();
    let second = engine.submit(job(1000, 32, 1), MS(0)).unwrap();
    let third = engine.submit(job(2000, 32, 1), MS(0)).unwrap();
    engine.begin_step(MS(0));
    engine.cancel(first);
    engine.cancel(second);
    let seen = run(&mut engine, MS(0));
    assert_eq!(seen.iter().map(|s| s.1).collect::<BTreeSet<_>>(), BTreeSet::from([third]));
    assert_eq!(engine.totals().aborted, 1);
}
