//! Transcripts: what Envoy sends, and what it is answered.

use proptest::prelude::*;

use super::*;
use crate::extproc::prefiller::Prefiller;
use crate::picker::SubsetEntry;

mod evict;
mod restore;

const FULL: Modes = Modes { request: BodyMode::FullDuplex, response: BodyMode::FullDuplex };
const BUFFERED: Modes = Modes { request: BodyMode::Buffered, response: BodyMode::None };
const PICK: &str = "10.0.0.1:8000,10.0.0.2:8000";

/// Runs a transcript: every decision picks [`PICK`], a rewrite sends `rewritten` on.
struct Run {
    session: Session,
    rewritten: Option<&'static [u8]>,
    restore: Option<Restore>,
    told: Option<&'static str>,
    refuse: bool,
    first: Option<Modes>,
}

impl Run {
    fn new(modes: Option<Modes>) -> Self {
        Self {
            session: Session::new(1 << 23),
            rewritten: None,
            restore: None,
            told: None,
            refuse: false,
            first: modes,
        }
    }

    fn send(&mut self, event: Event) -> (Vec<String>, Next) {
        let (replies, _, next) = self.turn(event, Metadata::default());
        (replies.iter().map(text).collect(), next)
    }

    fn turn(&mut self, event: Event, metadata: Metadata) -> (Vec<Reply>, Vec<Seen>, Next) {
        let mut turn = Turn::default();
        let mut next = self.session.on(Message { event, metadata, modes: self.first.take() }, &mut turn);
        if next == Next::Decide {
            assert!(turn.replies.is_empty(), "nothing is answered before the decision");
            let answer = Answer {
                endpoints: PICK.to_owned(),
                prefiller: Prefiller::Untold,
                body: self.rewritten.map(Bytes::from_static),
                restore: self.restore.clone(),
                told: self.told.map(str::to_owned),
            };
            let decision = if self.refuse { Err(Refused::deadline()) } else { Ok(answer) };
            next = self.session.decided(decision, &mut turn);
        }
        (turn.replies.into_vec(), turn.seen.into_vec(), next)
    }
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Continue(part) => format!("{part:?}"),
        Reply::Destination { part, endpoints, content_length, body, .. } => {
            assert_eq!(endpoints, PICK);
            let length = content_length.map(|n| format!(" length {n}")).unwrap_or_default();
            let body = body.as_ref().map(|b| format!(" body {:?}", str(b))).unwrap_or_default();
            format!("{part:?} pick{length}{body}")
        }
        Reply::Streamed { part, data, end_of_stream } => {
            format!("{part:?} {:?}{}", str(data), if *end_of_stream { " EOS" } else { "" })
        }
        Reply::Response { pull, rewrites, told } => {
            let (length, body) =
                (if *rewrites { " unsized" } else { "" }, if *pull { ", body wanted" } else { "" });
            let told = told.as_ref().map(|told| format!(", told {told}")).unwrap_or_default();
            format!("ResponseHeaders{length}{body}{told}")
        }
        Reply::Replaced(data) => format!("ResponseBody instead {:?}", str(data)),
        Reply::Immediate(refused) => format!("Immediate {} {}", refused.status, refused.reason),
    }
}

fn str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn headers(end_of_stream: bool) -> Event {
    Event::RequestHeaders { head: Head::default(), end_of_stream }
}

fn body(data: &'static str, end_of_stream: bool) -> Event {
    Event::RequestBody(Chunk { data: Bytes::from_static(data.as_bytes()), end_of_stream })
}

fn response(status: u16, end_of_stream: bool) -> Event {
    Event::ResponseHeaders { status, content: Content::Other, end_of_stream }
}

fn response_body(data: &'static str, end_of_stream: bool) -> Event {
    Event::ResponseBody(Chunk { data: Bytes::from_static(data.as_bytes()), end_of_stream })
}

#[test]
fn the_decision_is_told_in_the_responses_headers_once() {
    for modes in [FULL, BUFFERED] {
        for end_of_stream in [false, true] {
            let mut run = Run { told: Some("picked=a"), ..Run::new(Some(modes)) };
            drop(run.send(headers(true)));
            let told = run.send(response(200, end_of_stream)).0;
            assert_eq!(told, ["ResponseHeaders, told picked=a"]);
            assert_eq!(run.send(response(200, end_of_stream)).0, ["ResponseHeaders"]);
        }
    }
}

/// Steps of an event and the replies to it.
type Transcript = Vec<(Event, Vec<&'static str>)>;

fn check(table: Vec<(&str, Option<Modes>, Transcript)>) {
    for (name, modes, steps) in table {
        let mut run = Run::new(modes);
        for (i, (event, replies)) in steps.into_iter().enumerate() {
            let sent = run.send(event);
            let expected = replies.iter().map(|r| (*r).to_owned()).collect();
            assert_eq!(sent, (expected, Next::Read), "{name}, step {i}");
        }
    }
}

#[test]
fn full_duplex_transcripts() {
    check(vec![
        (
            "full duplex, one body message, response with body",
            Some(FULL),
            vec![
                (headers(false), vec![]),
                (body("ab", true), vec!["RequestHeaders pick length 2", "RequestBody \"ab\" EOS"]),
                (response(200, false), vec!["ResponseHeaders"]),
                (response_body("x", false), vec!["ResponseBody \"x\""]),
                (response_body("", true), vec!["ResponseBody \"\" EOS"]),
            ],
        ),
        (
            "full duplex is assumed when the stream does not say; HTTP/1.1 ends a body with an empty message",
            None,
            vec![
                (headers(false), vec![]),
                (body("ab", false), vec![]),
                (body("", true), vec!["RequestHeaders pick length 2", "RequestBody \"ab\" EOS"]),
            ],
        ),
        (
            "full duplex, empty body",
            Some(FULL),
            vec![
                (headers(false), vec![]),
                (body("", true), vec!["RequestHeaders pick length 0", "RequestBody \"\" EOS"]),
            ],
        ),
        (
            "full duplex, repeated end of stream is ignored",
            Some(FULL),
            vec![
                (headers(false), vec![]),
                (body("ab", true), vec!["RequestHeaders pick length 2", "RequestBody \"ab\" EOS"]),
                (body("", true), vec![]),
                (body("late", true), vec![]),
                (response_body("x", true), vec!["ResponseBody \"x\" EOS"]),
                (response_body("", true), vec![]),
            ],
        ),
        (
            "full duplex, trailers end the request and the response",
            Some(FULL),
            vec![
                (headers(false), vec![]),
                (body("ab", false), vec![]),
                (
                    Event::RequestTrailers,
                    vec!["RequestHeaders pick", "RequestBody \"ab\"", "RequestTrailers"],
                ),
                (response(200, false), vec!["ResponseHeaders"]),
                (response_body("x", false), vec!["ResponseBody \"x\""]),
                (Event::ResponseTrailers, vec!["ResponseTrailers"]),
            ],
        ),
        (
            "full duplex, trailers without a body",
            Some(FULL),
            vec![
                (headers(false), vec![]),
                (Event::RequestTrailers, vec!["RequestHeaders pick", "RequestTrailers"]),
            ],
        ),
        ("messages of later Envoys are skipped", Some(FULL), vec![(Event::Unknown, vec![])]),
    ]);
}

#[test]
fn transcripts_of_other_modes() {
    check(vec![
        (
            "header-only, full duplex",
            Some(FULL),
            vec![
                (headers(true), vec!["RequestHeaders pick"]),
                (response(204, true), vec!["ResponseHeaders"]),
            ],
        ),
        (
            "header-only, buffered",
            Some(BUFFERED),
            vec![
                (headers(true), vec!["RequestHeaders pick"]),
                (response(200, false), vec!["ResponseHeaders"]),
            ],
        ),
        (
            "buffered: headers at once, decision with the body, response headers only",
            Some(BUFFERED),
            vec![
                (headers(false), vec!["RequestHeaders"]),
                (body("ab", true), vec!["RequestBody pick"]),
                (response(200, false), vec!["ResponseHeaders"]),
            ],
        ),
        (
            "buffered, trailers follow the body",
            Some(BUFFERED),
            vec![
                (headers(false), vec!["RequestHeaders"]),
                (body("ab", false), vec!["RequestBody pick"]),
                (Event::RequestTrailers, vec!["RequestTrailers"]),
            ],
        ),
        (
            "buffered, trailers without a body",
            Some(BUFFERED),
            vec![
                (headers(false), vec!["RequestHeaders"]),
                (Event::RequestTrailers, vec!["RequestTrailers pick"]),
            ],
        ),
        (
            "streamed: the headers decide, every piece is answered",
            Some(Modes { request: BodyMode::Streamed, response: BodyMode::Streamed }),
            vec![
                (headers(false), vec!["RequestHeaders pick"]),
                (body("a", false), vec!["RequestBody"]),
                (body("b", true), vec!["RequestBody"]),
                (response_body("x", false), vec!["ResponseBody"]),
                (response_body("y", true), vec!["ResponseBody"]),
            ],
        ),
        (
            "no bodies: the headers decide",
            Some(Modes { request: BodyMode::None, response: BodyMode::None }),
            vec![(headers(false), vec!["RequestHeaders pick"])],
        ),
        (
            "an error of Envoy's own is answered although nothing was decided",
            Some(BUFFERED),
            vec![(headers(false), vec!["RequestHeaders"]), (response(413, false), vec!["ResponseHeaders"])],
        ),
    ]);
}

#[test]
fn a_rewritten_body_is_sent_instead_in_both_modes() {
    for (modes, expected) in [
        (FULL, vec!["RequestHeaders pick length 3", "RequestBody \"new\" EOS"]),
        (BUFFERED, vec!["RequestBody pick length 3 body \"new\""]),
    ] {
        let mut run = Run { rewritten: Some(b"new"), ..Run::new(Some(modes)) };
        drop(run.send(headers(false)));
        assert_eq!(run.send(body("old body", true)).0, expected);
    }
}

#[test]
fn a_refusal_is_immediate_and_ends_the_stream() {
    for modes in [FULL, BUFFERED] {
        let mut run = Run { refuse: true, ..Run::new(Some(modes)) };
        drop(run.send(headers(false)));
        let refused = (vec!["Immediate 503 decision_deadline".to_owned()], Next::Finish);
        assert_eq!(run.send(body("ab", true)), refused);
        assert_eq!(run.send(body("", true)), (vec![], Next::Finish), "nothing follows");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_at_once() {
    for modes in [FULL, BUFFERED] {
        let mut run = Run { session: Session::new(3), ..Run::new(Some(modes)) };
        drop(run.send(headers(false)));
        let refused = (vec!["Immediate 413 body_too_large".to_owned()], Next::Finish);
        assert_eq!(run.send(body("abcd", false)), refused);
    }
    let mut turn = Turn::default();
    assert_eq!(Session::new(3).on_oversized(&mut turn), Next::Finish);
    assert_eq!(text(&turn.replies[0]), "Immediate 413 body_too_large");
}

#[test]
fn the_subset_is_the_last_that_was_not_empty_on_any_message() {
    let subset = |ip: &str| Some(vec![SubsetEntry { ip: ip.parse().unwrap(), port: None }]);
    let with = |subset| Metadata { subset, served: None };
    for (on_headers, on_body, kept) in [
        (None, None, None),
        (subset("10.0.0.1"), None, subset("10.0.0.1")),
        (subset("10.0.0.1"), Some(vec![]), subset("10.0.0.1")),
        (subset("10.0.0.1"), subset("10.0.0.2"), subset("10.0.0.2")),
        (None, Some(vec![]), Some(vec![])),
    ] {
        let mut run = Run::new(Some(FULL));
        drop(run.turn(headers(false), with(on_headers)));
        drop(run.turn(body("ab", true), with(on_body)));
        assert_eq!(run.session.question().subset, kept.as_deref());
    }
}

#[test]
fn the_fate_of_a_request_is_seen() {
    let served = "10.0.0.2:8000".parse().unwrap();
    let metadata = || Metadata { subset: None, served: Some(served) };
    for (modes, on_headers, on_body) in [
        (FULL, vec![Seen::Served(served), Seen::Failed(503)], vec![Seen::FirstByte, Seen::Ended]),
        (BUFFERED, vec![Seen::Served(served), Seen::Failed(503), Seen::FirstByte], vec![]),
    ] {
        let mut run = Run::new(Some(modes));
        drop(run.send(headers(true)));
        assert_eq!(run.turn(response(503, false), metadata()).1, on_headers);
        if modes == FULL {
            assert_eq!(run.turn(response_body("x", true), metadata()).1, on_body, "metadata is repeated");
            assert_eq!(run.turn(response_body("", true), metadata()).1, vec![]);
        }
    }
    let mut run = Run::new(Some(FULL));
    drop(run.send(headers(true)));
    assert_eq!(run.turn(response(200, true), Metadata::default()).1, [Seen::FirstByte, Seen::Ended]);
}

/// A body of `len` bytes that differ, cut at `cuts`.
fn pieces(len: usize, cuts: &[usize]) -> (Bytes, Vec<Bytes>) {
    let whole: Bytes = (0..len).map(|i| (i * 31 + i / 251) as u8).collect::<Vec<u8>>().into();
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (len + 1)).chain([0, len]).collect();
    cuts.sort_unstable();
    let pieces = cuts.windows(2).map(|c| whole.slice(c[0]..c[1])).collect();
    (whole, pieces)
}

fn streamed(replies: Vec<Reply>, out: &mut Vec<u8>, ends: &mut usize) {
    for reply in replies {
        if let Reply::Streamed { data, end_of_stream, .. } = reply {
            assert_eq!(*ends, 0, "nothing after the end of stream");
            assert!(data.len() <= CHUNK);
            out.extend_from_slice(&data);
            *ends += usize::from(end_of_stream);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_chunking_of_any_body_is_echoed_with_one_end(
        len in prop_oneof![0usize..300, 61_900usize..62_100, 0usize..3_000_000],
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        by_trailers in any::<bool>(),
        empty_end in any::<bool>(),
        response in any::<bool>(),
    ) {
        let (whole, pieces) = pieces(len, &cuts);
        let mut run = Run::new(Some(FULL));
        drop(run.send(headers(response)));
        let event = |data, end_of_stream| {
            let chunk = Chunk { data, end_of_stream };
            if response { Event::ResponseBody(chunk) } else { Event::RequestBody(chunk) }
        };
        let (mut out, mut ends) = (Vec::new(), 0);
        let last = pieces.len() - 1;
        for (i, piece) in pieces.into_iter().enumerate() {
            let end = i == last && !by_trailers && !empty_end;
            streamed(run.turn(event(piece, end), Metadata::default()).0, &mut out, &mut ends);
        }
        if by_trailers {
            let trailers = if response { Event::ResponseTrailers } else { Event::RequestTrailers };
            streamed(run.turn(trailers, Metadata::default()).0, &mut out, &mut ends);
        } else if empty_end {
            streamed(run.turn(event(Bytes::new(), true), Metadata::default()).0, &mut out, &mut ends);
        }
        prop_assert_eq!(ends, usize::from(!by_trailers));
        prop_assert!(out == whole, "byte-identical");
    }
}
