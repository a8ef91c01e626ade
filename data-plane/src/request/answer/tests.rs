//! Answers of model servers, cut at every byte.

use proptest::prelude::*;

use super::*;

const SENT: &str = "served/model-7b";

fn restore() -> Restore {
    Restore { sent: SENT.to_owned(), asked: Bytes::from_static(b"\"chat \\\"bot\\\"\"") }
}

/// The whole answer, when it arrives in pieces that end at `cuts`.
fn read(answer: &[u8], events: bool, cuts: &[usize]) -> (Vec<u8>, Option<Usage>) {
    let mut reader = Reader::new(Some(restore()), events);
    let mut out = Vec::new();
    let ends = cuts.iter().copied().chain([answer.len()]);
    let mut from = 0;
    for end in ends {
        let piece = &answer[from..end];
        match reader.push(piece) {
            Some(other) => out.extend_from_slice(&other),
            None => out.extend_from_slice(piece),
        }
        from = end;
    }
    out.extend_from_slice(&reader.finish());
    (out, reader.usage())
}

fn usage(prompt_tokens: u32, cached_tokens: Option<u32>, output_tokens: u32) -> Option<Usage> {
    Some(Usage { prompt_tokens, cached_tokens, output_tokens })
}

/// Answers; `@` is the name that was sent where it is put back, `#` where it stays.
fn answers() -> Vec<(&'static str, bool, Option<Usage>)> {
    vec![
        (
            r##"{"id":"1","object":"chat.completion","model":"@","choices":[{"message":{"role":"assistant","content":"\"model\":\"#\" {"}}],
              "usage":{"prompt_tokens":120,"completion_tokens":7,"total_tokens":127,"prompt_tokens_details":{"cached_tokens":64}}}"##,
            false,
            usage(120, Some(64), 7),
        ),
        ("{\n  \"model\" :\t\"@\",\n  \"usage\": {\"prompt_tokens\": 5}\n}\n", false, usage(5, None, 0)),
        (
            "data: {\"model\":\"@\",\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n\
             : a \"comment { with anything\n\n\
             data: {\"model\":\"@\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
            true,
            usage(9, None, 2),
        ),
        (
            "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"@\",\"metadata\":{\"model\":\"#\"}}}\r\n\r\n\
             data: {\"response\":{\"model\":\"@\",\"usage\":{\"input_tokens\":30,\"input_tokens_details\":{\"cached_tokens\":16},\"output_tokens\":4}}}\r\n\r\n",
            true,
            usage(30, Some(16), 4),
        ),
        (
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"@\",\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":90,\"cache_creation_input_tokens\":5,\"output_tokens\":1}}}\n\n\
             event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":12}}\n\n",
            true,
            usage(105, Some(90), 12),
        ),
        (
            r##"{"text":"#","meta_info":{"prompt_tokens":8,"cached_tokens":7,"completion_tokens":3}}"##,
            false,
            usage(8, Some(7), 3),
        ),
        (r##"{"model":"other","models":["#"],"data":[{"model":"#"}],"model ":"#"}"##, false, None),
        (
            r##"{"choices":[{"message":{"model":"#"}}],"tools":{"model":"#"},"key":"model","x":"#"}"##,
            false,
            None,
        ),
        (
            r#"{"usage":{"prompt_tokens":1.5,"completion_tokens":-3,"total_tokens":4}}"#,
            false,
            usage(1, None, 0),
        ),
        (r##"{"model":["#"],"usage":[{"prompt_tokens":3}]}"##, false, None),
        ("not json at all: \"model\":\"#\"", false, None),
        ("{\"model\":\"served", false, None),
        ("", false, None),
    ]
}

fn filled(text: &str) -> (Vec<u8>, Vec<u8>) {
    let sent = text.replace(['@', '#'], SENT);
    let asked = String::from_utf8(restore().asked.to_vec()).unwrap();
    let expected = text.replace("\"@\"", &asked).replace('#', SENT);
    (sent.into_bytes(), expected.into_bytes())
}

#[test]
fn names_are_put_back_wherever_the_answer_is_cut() {
    for (text, events, usage) in answers() {
        let (sent, expected) = filled(text);
        for cut in 0..=sent.len() {
            let (out, found) = read(&sent, events, &[cut]);
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected), "cut at {cut}");
            assert_eq!(found, usage, "{text} cut at {cut}");
        }
        let every: Vec<usize> = (0..sent.len()).collect();
        assert_eq!(read(&sent, events, &every), (expected, usage), "{text} byte by byte");
    }
}

#[test]
fn names_may_be_escaped_and_longer_ones_pass() {
    let escaped = br#"{"model":"served\/model\u002d7b"}"#;
    assert_eq!(read(escaped, false, &[20]).0, br#"{"model":"chat \"bot\""}"#);
    let long = format!("{{\"model\":\"{}{SENT}\"}}", "x".repeat(5_000));
    assert_eq!(read(long.as_bytes(), false, &[2_000, 5_010]).0, long.as_bytes());
}

#[test]
fn what_does_not_change_is_not_copied_and_is_not_held_back() {
    let mut reader = Reader::new(Some(restore()), true);
    assert_eq!(reader.push(b"data: {\"choices\":[{\"delta\":{\"content\":\"served/mo"), None);
    assert_eq!(reader.push(b"del-7b\"}}],\"model\":"), None);
    assert_eq!(reader.push(b"\"other\"}\n\n"), None, "another name passes");
    let mut only_usage = Reader::new(None, false);
    assert_eq!(
        only_usage.push(format!("{{\"model\":\"{SENT}\",\"usage\":{{\"prompt_tokens\":1").as_bytes()),
        None
    );
    assert_eq!(only_usage.push(b"2}}"), None);
    assert_eq!(only_usage.usage(), usage(12, None, 0));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_pass_or_differ_only_by_the_name(
        answer in prop::collection::vec(prop_oneof![
            Just("{"), Just("}"), Just("["), Just("]"), Just(":"), Just(","), Just("\""), Just("\\"), Just("\n"), Just(" "),
            Just("\"model\""), Just("\"served/model-7b\""), Just("\"message\""), Just("\"usage\""), Just("12"), Just("é"),
        ], 0..60),
        events in any::<bool>(),
        cuts in prop::collection::vec(0_usize..400, 0..6),
    ) {
        let answer = answer.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(answer.len())).collect();
        cuts.sort_unstable();
        let whole = read(answer.as_bytes(), events, &[]);
        prop_assert_eq!(&read(answer.as_bytes(), events, &cuts), &whole);
        let back = String::from_utf8(whole.0).unwrap().replace("\"chat \\\"bot\\\"\"", "\"served/model-7b\"");
        prop_assert_eq!(back, answer);
    }
}
