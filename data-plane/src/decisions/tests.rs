use std::net::SocketAddr;

use super::*;
use crate::picker::explain::Explanation;

fn record(why: Why, id: &str, pool: &str, now: Instant) -> Record {
    let result = match why {
        Why::Refused => Result::Refused { reason: "queue_full", status: 429, message: String::new() },
        Why::Asked | Why::Sampled => {
            Result::Picked { endpoints: vec![SocketAddr::from(([10, 0, 0, 1], 8000))], prefiller: None }
        }
    };
    let explanation = Explanation::of(Want::Nothing);
    Record::new(why, (id.as_bytes(), pool), Asked::default(), (now, Duration::ZERO), result, explanation)
}

#[test]
fn what_is_recorded_follows_the_rule() {
    let epoch = Instant::now();
    let decisions = Decisions::new(Settings::default(), epoch);
    for _ in 0..50 {
        assert_eq!(decisions.want(false, epoch), (Some(Why::Sampled), Want::All));
    }
    assert_eq!(decisions.want(false, epoch), (None, Want::Refusals));
    assert_eq!(decisions.want(true, epoch), (Some(Why::Asked), Want::All), "always");
    let later = epoch + Duration::from_millis(100);
    assert_eq!(decisions.want(false, later).0, Some(Why::Sampled));
    assert_eq!(decisions.want(false, later).0, None, "ten a second");

    let off = Decisions::new(Settings { decisions: 0, ..Settings::default() }, epoch);
    assert_eq!(off.want(true, epoch), (None, Want::Nothing));
    drop(off.keep(record(Why::Refused, "r", "ns/a", epoch), epoch));
    assert!(off.newest(None, 9).is_empty());
    assert!(off.missing("r", epoch).contains("--explain-decisions"));
}

#[test]
fn the_header_counts_where_the_flag_or_the_pool_says_so() {
    for (flag, annotation, header) in [
        (Header::Off, None, Header::Off),
        (Header::Off, Some("record"), Header::Record),
        (Header::Off, Some(" answer "), Header::Answer),
        (Header::Record, None, Header::Record),
        (Header::Answer, Some("off"), Header::Off),
        (Header::Record, Some("perhaps"), Header::Record),
    ] {
        let settings = Settings { header: flag, ..Settings::default() };
        let annotations = annotation.map(|value: &str| (ANNOTATION.to_owned(), value.to_owned()));
        let decisions = Decisions::new(settings, Instant::now());
        assert_eq!(decisions.header(&annotations.into_iter().collect()), header, "{flag:?} {annotation:?}");
    }
}

#[test]
fn records_are_found_by_request_and_pool_newest_first() {
    let now = Instant::now();
    let decisions = Decisions::new(Settings { decisions: 3, header: Header::Off }, now);
    assert!(decisions.missing("x", now).contains("has none yet"));
    for (why, id, pool) in [
        (Why::Sampled, "one", "ns/a"),
        (Why::Sampled, "two", "ns/b"),
        (Why::Refused, "two", "ns/a"),
        (Why::Sampled, "three", "ns/b"),
    ] {
        drop(decisions.keep(record(why, id, pool, now), now));
    }
    let ids = |records: Vec<Arc<Record>>| records.iter().map(|r| r.request_id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(decisions.newest(None, 9)), ["three", "two", "two"]);
    assert_eq!(ids(decisions.newest(Some("ns/b"), 9)), ["three", "two"]);
    assert_eq!(ids(decisions.newest(Some("ns/b"), 1)), ["three"]);
    assert_eq!(decisions.of("two").iter().map(|r| r.why).collect::<Vec<_>>(), [Why::Refused, Why::Sampled]);
    assert!(decisions.of("one").is_empty());
    let told = decisions.missing("one", now + Duration::from_millis(2500));
    for words in ["request one", "has 3, the oldest 2.5 s old", "x-signalbox-explain: true", ANNOTATION] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(decisions.recorded().map(|(_, count)| count).collect::<Vec<_>>(), [0, 1, 3]);
}

#[test]
fn what_happens_is_written_down_and_the_end_once() {
    let now = Instant::now();
    let decisions = Decisions::new(Settings::default(), now);
    let at = |ms| now + Duration::from_millis(ms);
    let follow = decisions.keep(record(Why::Sampled, "a", "ns/a", now), now);
    let state = |id: &str| row(&decisions.of(id)[0], at(500))["happened"].clone();
    assert_eq!(state("a")["state"], "in_flight");
    let other = SocketAddr::from(([10, 0, 0, 2], 8000));
    follow.served(other);
    follow.first_byte(at(40));
    follow.first_byte(at(90));
    let usage = crate::outcome::Usage { cached_tokens: Some(64), ..Default::default() };
    follow.ended(at(250), usage);
    drop(follow);
    let told = state("a");
    assert_eq!((&told["state"], &told["served"]), (&"answered".into(), &other.to_string().into()));
    assert_eq!((&told["firstByteSeconds"], &told["endSeconds"]), (&0.04.into(), &0.25.into()));
    assert_eq!(told["cachedTokens"], 64);
    drop(decisions.keep(record(Why::Sampled, "b", "ns/a", now), now));
    assert_eq!(state("b")["state"], "cut");
    let begun = decisions.keep(record(Why::Sampled, "d", "ns/a", now), now);
    begun.first_byte(at(10));
    drop(begun);
    assert_eq!(state("d")["state"], "ended");
    drop(decisions.keep(record(Why::Refused, "c", "ns/a", now), now));
    assert_eq!(state("c")["state"], "refused");
}

#[test]
fn names_that_clients_choose_are_cut() {
    let now = Instant::now();
    let long = "ä".repeat(10_000);
    let asked = Asked { model: long.clone(), target: Some(long.clone()), ..Asked::default() };
    let result = Result::Refused { reason: "full", status: 429, message: String::new() };
    let explanation = Explanation::of(Want::Nothing);
    let record = Record::new(
        Why::Refused,
        (long.as_bytes(), "ns/a"),
        asked,
        (now, Duration::ZERO),
        result,
        explanation,
    );
    assert!(record.bytes() < 4096, "{}", record.bytes());
    assert_eq!(record.request_id.len(), 256);
    assert!(line(&record).is_ascii());
}
