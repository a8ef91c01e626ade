use super::*;

const START: &str = "
    names CDS
    snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=1  => CDS a=1
    names EDS a                                 => EDS a=1
    ack CDS
    ack EDS
    names LDS                                   => LDS l=1
    names RDS r                                 => RDS r=1
    ack LDS
    ack RDS
";

fn started(script: &str) -> Script {
    sotw(&format!("{START}{script}"))
}

#[test]
fn an_envoy_starts_and_becomes_current() {
    assert!(started("").is_current());
}

#[test]
fn clusters_and_listeners_are_sent_as_a_whole_and_endpoints_as_they_change() {
    started(
        "names EDS a b
         snap CDS a=1 b=1 / EDS a=1 b=1 / LDS l=1 m=1 / RDS r=1 => CDS a=1 b=1 | EDS b=1
         ack CDS => LDS l=1 m=1
         snap CDS a=1 b=1 / EDS a=2 b=1 / LDS l=1 m=1 / RDS r=1 => EDS a=2",
    );
}

#[test]
fn endpoints_follow_their_clusters() {
    started("snap CDS a=2 / EDS a=1 / LDS l=1 / RDS r=1 => CDS a=2 | EDS a=1");
}

#[test]
fn clusters_leave_after_the_routes_were_accepted() {
    started(
        "snap CDS b=1 / EDS b=1 / LDS l=1 / RDS r=2 => CDS a=1 b=1
         names EDS a b => EDS b=1
         ack CDS => RDS r=2
         ack RDS
         wait 1000 => CDS b=1",
    );
}

#[test]
fn names_of_stale_requests_are_answered_with_the_next_one() {
    started(
        "snap CDS a=1 / EDS a=2 b=1 / LDS l=1 / RDS r=1 => EDS a=2
         late EDS a b
         ack EDS
         names EDS a b => EDS b=1
         names EDS a b",
    );
}

#[test]
fn a_missing_resource_has_no_words_and_comes_later() {
    started(
        "names EDS a x
         snap CDS a=1 / EDS a=1 x=1 / LDS l=1 / RDS r=1 => EDS x=1",
    );
}

#[test]
fn a_rejection_does_not_loop_and_keeps_the_last_good_version_in_the_set() {
    let script = started(
        "snap CDS a=2 b=1 / EDS a=1 / LDS l=1 / RDS r=1 => CDS a=2 b=1 | EDS a=1
         nack CDS Error adding/updating cluster(s) a: why
         wait 60000
         snap CDS a=2 b=1 c=1 / EDS a=1 / LDS l=1 / RDS r=1 => CDS a=1 b=1 c=1",
    );
    assert_eq!(script.parked(), ["CDS a=2"]);
    script.run(
        "ack CDS
         snap CDS a=3 b=1 c=1 / EDS a=1 / LDS l=1 / RDS r=1 => CDS a=3 b=1 c=1 | EDS a=1",
    );
}

#[test]
fn a_rejection_without_a_name_parks_all_that_changed() {
    let script = started(
        "snap CDS a=2 b=1 / EDS a=1 / LDS l=1 / RDS r=1 => CDS a=2 b=1 | EDS a=1
         nack CDS Duration out-of-range",
    );
    assert_eq!(script.parked(), ["CDS a=2", "CDS b=1"]);
}

#[test]
fn acknowledging_a_later_response_acknowledges_the_earlier_ones() {
    let script = started(
        "snap CDS a=1 / EDS a=2 / LDS l=1 / RDS r=1 => EDS a=2
         snap CDS a=1 / EDS a=3 / LDS l=1 / RDS r=1 => EDS a=3",
    );
    let mut script = script;
    script.unacked.pop_front();
    assert!(script.run("ack EDS").is_current());
}

#[test]
fn names_of_a_late_request_wait_for_the_next_one() {
    started(
        "snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=2 => RDS r=2
         early RDS q
         late RDS q
         ack RDS",
    );
}

#[test]
fn what_was_dropped_and_asked_for_again_is_sent_again() {
    let asked = started(
        "snap CDS a=1 / EDS a=1 b=1 / LDS l=1 / RDS r=1
         names EDS a b => EDS b=1
         ack EDS
         snap CDS a=1 / EDS a=2 b=1 / LDS l=1 / RDS r=1 => EDS a=2
         late EDS a
         late EDS a b
         ack EDS => EDS b=1
         ack EDS",
    );
    // The response that is answered was received after the name was asked for again.
    asked.run(
        "snap CDS a=1 / EDS a=2 b=2 / LDS l=1 / RDS r=1 => EDS b=2
         late EDS a
         ack EDS",
    );
}

#[test]
fn a_late_rejection_of_what_is_not_wanted_any_longer_does_not_stay() {
    let script = started(
        "snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=2 => RDS r=2
         snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=1 => RDS r=1
         snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=2 => RDS r=2
         nack RDS why
         snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=1
         ack RDS
         nack RDS why",
    );
    assert_eq!(script.parked(), Vec::<String>::new());
    assert!(script.is_current());
}
