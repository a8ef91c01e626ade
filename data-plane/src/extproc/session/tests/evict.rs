//! Requests that end for others.

use super::*;

#[test]
fn a_request_ends_for_another_one_only_while_it_is_at_the_model_server() {
    let evict = |run: &mut Run| {
        let mut turn = Turn::default();
        let next = run.session.evict(Refused::deadline(), &mut turn);
        (turn.replies.iter().map(text).collect::<Vec<_>>(), next)
    };
    let mut run = Run::new(None);
    assert_eq!(evict(&mut run), (vec![], Next::Read), "it is not there yet");
    let head = Event::RequestHeaders { head: Head::default(), end_of_stream: true };
    assert_eq!(run.send(head).1, Next::Read);
    assert!(!run.session.answers());
    assert_eq!(evict(&mut run), (vec!["Immediate 503 decision_deadline".to_owned()], Next::Finish));
    assert_eq!(evict(&mut run), (vec![], Next::Read), "it has ended");
}
