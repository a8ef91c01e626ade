//! The client's model name in answers, and usage.

use super::*;

fn rewritten(modes: Modes) -> Run {
    let restore = Restore { sent: "served".to_owned(), asked: Bytes::from_static(b"\"asked\"") };
    Run { restore: Some(restore), ..Run::new(Some(modes)) }
}

fn answered(content: Content) -> Event {
    Event::ResponseHeaders { status: 200, content, end_of_stream: false }
}

#[test]
fn names_are_put_back_in_every_mode_that_sends_bodies_or_is_asked_to() {
    let streamed = Modes { request: BodyMode::Buffered, response: BodyMode::Streamed };
    for (modes, headers_reply, pieces) in [
        (
            FULL,
            "ResponseHeaders unsized",
            [
                vec!["ResponseBody \"{\""],
                vec!["ResponseBody \"\\\"model\\\":\""],
                vec!["ResponseBody \"\\\"asked\\\"}\" EOS"],
            ],
        ),
        (
            BUFFERED,
            "ResponseHeaders unsized, body wanted",
            [
                vec!["ResponseBody"],
                vec!["ResponseBody instead \"\\\"model\\\":\""],
                vec!["ResponseBody instead \"\\\"asked\\\"}\""],
            ],
        ),
        (
            streamed,
            "ResponseHeaders unsized",
            [
                vec!["ResponseBody"],
                vec!["ResponseBody instead \"\\\"model\\\":\""],
                vec!["ResponseBody instead \"\\\"asked\\\"}\""],
            ],
        ),
    ] {
        let mut run = rewritten(modes);
        drop(run.send(headers(true)));
        assert_eq!(run.send(answered(Content::Json)).0, [headers_reply]);
        assert_eq!(run.send(response_body("{", false)).0, pieces[0]);
        assert_eq!(run.send(response_body("\"model\":\"ser", false)).0, pieces[1]);
        assert_eq!(run.send(response_body("ved\"}", true)).0, pieces[2]);
    }
}

#[test]
fn nothing_is_asked_for_without_a_rewrite_or_where_nothing_can_be_read() {
    for (mut run, event) in [
        (Run::new(Some(BUFFERED)), answered(Content::Json)),
        (rewritten(BUFFERED), answered(Content::Other)),
        (rewritten(BUFFERED), response(204, true)),
        (rewritten(FULL), answered(Content::Other)),
    ] {
        drop(run.send(headers(true)));
        assert_eq!(run.send(event).0, ["ResponseHeaders"]);
    }
}

#[test]
fn what_was_held_back_goes_before_trailers_and_with_the_end() {
    let mut run = rewritten(FULL);
    drop(run.send(headers(true)));
    drop(run.send(answered(Content::Events)));
    assert_eq!(
        run.send(response_body("data: {\"model\":\"ser", false)).0,
        ["ResponseBody \"data: {\\\"model\\\":\""]
    );
    assert_eq!(run.send(Event::ResponseTrailers).0, ["ResponseBody \"\\\"ser\"", "ResponseTrailers"]);
    let mut run = rewritten(BUFFERED);
    drop(run.send(headers(true)));
    drop(run.send(answered(Content::Events)));
    drop(run.send(response_body("data: {\"model\":\"ser", false)));
    assert_eq!(run.send(response_body("", true)).0, ["ResponseBody instead \"\\\"ser\""]);
}

#[test]
fn a_sampled_answer_is_read_and_not_changed() {
    let mut run = rewritten(BUFFERED);
    (run.restore, run.session) = (None, Session::new(9).reading(true));
    drop(run.send(headers(true)));
    assert_eq!(run.send(answered(Content::Json)).0, ["ResponseHeaders, body wanted"]);
    let piece = "{\"model\":\"served\",\"usage\":{\"prompt_tokens\":4}}";
    let (replies, seen, _) = run.turn(response_body(piece, true), Metadata::default());
    assert_eq!(replies.iter().map(text).collect::<Vec<_>>(), ["ResponseBody"]);
    assert_eq!(seen, [Seen::Usage(Usage { prompt_tokens: 4, ..Usage::default() }), Seen::Ended]);
}

#[test]
fn usage_is_seen_where_bodies_are_sent() {
    let usage = Usage { prompt_tokens: 40, cached_tokens: Some(32), output_tokens: 2 };
    let body = "{\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":32}}}";
    for (mut run, first) in [(Run::new(Some(FULL)), true), (rewritten(BUFFERED), false)] {
        drop(run.send(headers(true)));
        drop(run.send(answered(Content::Json)));
        let seen = run.turn(response_body(body, true), Metadata::default()).1;
        let first = first.then_some(Seen::FirstByte);
        assert_eq!(seen, first.into_iter().chain([Seen::Usage(usage), Seen::Ended]).collect::<Vec<_>>());
    }
}
