use super::*;

const START: &str = "
    sub CDS
    snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=1  => CDS a=1
    sub EDS a                                   => EDS a=1
    ack CDS
    ack EDS
    sub LDS                                     => LDS l=1
    sub RDS r                                   => RDS r=1
    ack LDS
    ack RDS
";

fn started(script: &str) -> Script {
    delta(&format!("{START}{script}"))
}

#[test]
fn nothing_is_sent_before_the_first_snapshot() {
    delta(
        "sub CDS
         sub EDS a
         snap CDS / EDS a=1 => CDS | EDS a=1",
    );
}

#[test]
fn an_envoy_starts_and_becomes_current() {
    let script = delta("sub CDS").run("snap CDS a=1 / EDS a=1 / LDS l=1 => CDS a=1");
    assert!(!script.is_current());
    assert!(started("").is_current());
    assert!(!started("snap CDS a=1 / EDS a=2 / LDS l=1 / RDS r=1 => EDS a=2").is_current());
}

#[test]
fn a_wildcard_is_answered_once_even_with_nothing() {
    delta(
        "snap EDS a=1
         sub LDS     => LDS
         ack LDS
         sub LDS",
    );
}

#[test]
fn missing_resources_are_said_to_be_missing_at_once() {
    delta(
        "snap CDS a=1
         sub EDS x a => EDS -a -x
         sub RDS r   => RDS -r
         snap CDS a=1 / EDS x=1 => EDS x=1",
    );
}

#[test]
fn subscribing_again_is_answered_again_and_needs_no_nonce() {
    started(
        "sub EDS a   => EDS a=1
         stale EDS a => EDS a=1
         unsub EDS a
         snap CDS a=1 / EDS a=2 / LDS l=1 / RDS r=1
         sub EDS a   => EDS a=2",
    );
}

#[test]
fn a_name_unsubscribed_beside_the_wildcard_is_told_again() {
    delta(
        "snap CDS a=1 b=1
         sub CDS * a => CDS a=1 b=1
         ack CDS
         unsub CDS a => CDS a=1
         sub CDS gone => CDS -gone
         unsub CDS *
         snap CDS a=2 b=2
         sub CDS *   => CDS a=2 b=2",
    );
}

#[test]
fn changes_go_out_in_order_and_endpoints_follow_their_clusters() {
    started(
        "snap CDS a=2 / EDS a=1 / LDS l=2 / RDS r=2 => CDS a=2 | EDS a=1 | LDS l=2 | RDS r=2
         ack EDS
         snap CDS a=2 / EDS a=2 / LDS l=2 / RDS r=2 => EDS a=2",
    );
}

#[test]
fn secrets_follow_the_clusters_and_listeners_that_are_sent_again() {
    started(
        "sub SDS s => SDS -s
         ack SDS
         snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=1 / SDS s=1 => SDS s=1
         ack SDS
         snap CDS a=1 / EDS a=1 / LDS l=2 / RDS r=1 / SDS s=1 => LDS l=2 | SDS s=1",
    );
}

#[test]
fn routes_wait_until_new_clusters_are_warm() {
    let next = "snap CDS a=1 b=1 / EDS a=1 b=1 / LDS l=1 / RDS r=2 => CDS b=1";
    started(&format!("{next}\n sub EDS b => EDS b=1\n ack CDS => RDS r=2"));
    let script = started(&format!("{next}\n wait 4999\n wait 1 => RDS r=2"));
    assert!(matches!(script.seen.last(), Some(Observation::NotWarm { clusters }) if &*clusters[0] == "b"));
    started(&format!("{next}\n nack CDS no => RDS r=2"));
}

#[test]
fn a_stuck_cluster_does_not_hold_routes_up_for_ever() {
    started(
        "snap CDS a=1 b=1 / LDS l=1 / RDS r=2 / EDS a=1     => CDS b=1
         wait 4000
         snap CDS a=1 b=1 c=1 / LDS l=1 / RDS r=3 / EDS a=1 => CDS c=1
         wait 1000 => RDS r=3",
    );
}

#[test]
fn clusters_leave_after_the_routes_were_accepted() {
    let next = "snap CDS b=1 / EDS b=1 / LDS l=1 / RDS r=2 => CDS b=1
         sub EDS b => EDS b=1
         ack CDS   => RDS r=2
         ack EDS";
    started(&format!("{next}\n ack RDS\n wait 999\n wait 1 => CDS -a | EDS -a"));
    started(&format!("{next}\n ack RDS\n unsub EDS a\n wait 1000 => CDS -a"));
    // Never acknowledged: after the grace.
    started(&format!("{next}\n wait 9999\n wait 1 => CDS -a | EDS -a"));
}

#[test]
fn a_cluster_that_comes_back_stays() {
    started(
        "snap LDS l=1 / RDS r=2 => RDS r=2
         ack RDS
         snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=2
         wait 20000",
    );
}

#[test]
fn clusters_stay_while_the_routes_that_replace_them_are_rejected() {
    let script = started(
        "snap LDS l=1 / RDS r=2 => RDS r=2
         nack RDS bad regex
         wait 60000
         snap LDS l=1 / RDS r=3 => RDS r=3
         ack RDS
         wait 1000 => CDS -a | EDS -a",
    );
    assert!(script.parked().is_empty());
}

#[test]
fn listeners_are_removed_at_once() {
    started("snap CDS a=1 / EDS a=1 / LDS m=1 / RDS r=1 => LDS m=1 -l");
}

#[test]
fn each_route_configuration_is_sent_alone() {
    started(
        "sub RDS q s => RDS -q -s
         snap CDS a=1 / EDS a=1 / LDS l=1 / RDS q=1 r=2 s=1 => RDS q=1 | RDS r=2 | RDS s=1",
    );
}

#[test]
fn a_rejected_version_is_parked_until_its_content_changes() {
    let script = started(
        "snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=2 => RDS r=2
         nack RDS missing ]: [invalid
         wait 60000
         snap CDS a=1 / EDS a=2 / LDS l=1 / RDS r=2 => EDS a=2
         ack EDS",
    );
    assert_eq!(script.parked(), ["RDS r=2"]);
    assert!(!script.is_current());
    let script = script.run("snap CDS a=1 / EDS a=2 / LDS l=1 / RDS r=3 => RDS r=3");
    assert_eq!(script.parked(), ["RDS r=2"], "shown until something better is accepted");
    let script = script.run("ack RDS");
    assert!(script.parked().is_empty() && script.is_current());
}

#[test]
fn going_back_to_the_accepted_version_ends_the_rejection() {
    let script = started(
        "snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=2 => RDS r=2
         nack RDS bad
         snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=1",
    );
    assert!(script.parked().is_empty() && script.is_current());
}

#[test]
fn a_parked_resource_that_is_asked_for_again_gets_the_last_good_version() {
    started(
        "snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=2 => RDS r=2
         nack RDS bad
         sub RDS r => RDS r=1",
    );
    started(
        "snap CDS a=1 b=1 / EDS a=1 / LDS l=1 / RDS r=1 => CDS b=1
         nack CDS Error adding/updating cluster(s) b: why
         sub CDS b => CDS -b",
    );
}

#[test]
fn the_good_clusters_of_a_rejected_response_are_accepted() {
    let script = started(
        "snap CDS a=1 b=1 c=1 / EDS a=1 / LDS l=1 / RDS r=1 => CDS b=1 c=1
         nack CDS Error adding/updating cluster(s) b: why",
    );
    assert_eq!(script.parked(), ["CDS b=1"]);
    script.run("snap CDS a=1 b=1 c=2 / EDS a=1 / LDS l=1 / RDS r=1 => CDS c=2");
}

#[test]
fn a_response_that_is_rejected_without_a_name_is_tried_in_halves() {
    let script = delta(
        "sub CDS
         snap CDS a=1 b=1 c=1 d=1 => CDS a=1 b=1 c=1 d=1
         nack CDS Duration out-of-range => CDS a=1 b=1 | CDS c=1 d=1
         ack CDS
         nack CDS Duration out-of-range => CDS c=1 | CDS d=1
         nack CDS Duration out-of-range
         ack CDS",
    );
    assert_eq!(script.parked(), ["CDS c=1"]);
}

#[test]
fn a_reconnecting_envoy_gets_only_differences() {
    let script = delta(
        "snap CDS a=1 / EDS a=1 / LDS l=1 / RDS r=1
         first CDS a=1;   => CDS
         first EDS a=1; a
         first LDS l=1;   => LDS
         first RDS r=1; r
         ack CDS
         ack LDS",
    );
    assert!(script.is_current());
    delta(
        "first CDS a=1 old=1;
         first EDS a=1 old=1; a old
         first LDS l=foreign;
         first RDS r=1; r
         snap CDS a=1 b=1 / EDS a=2 b=1 / LDS l=1 / RDS r=2 => CDS b=1 | EDS a=2
         ack CDS => LDS l=1 | RDS r=2
         ack EDS
         ack LDS
         ack RDS
         wait 1000 => CDS -old | EDS -old",
    );
}

#[test]
fn a_reconnecting_envoy_keeps_unreferenced_clusters_until_its_routes_are_known() {
    delta(
        "snap CDS a=1 / LDS l=1 / RDS r=2
         first CDS a=1 old=1; => CDS
         ack CDS
         wait 5000
         first LDS l=1; => LDS
         first RDS r=1; r => RDS r=2
         ack LDS
         ack RDS
         wait 1000 => CDS -old",
    );
}

#[test]
fn a_client_that_does_not_acknowledge_is_not_sent_more_and_more() {
    let mut script = started("");
    let sent = (2..200)
        .filter(|v| !script.say(&format!("snap CDS a=1 / EDS a={v} / LDS l=1 / RDS r=1")).is_empty())
        .count();
    assert_eq!(sent, 64);
    assert_eq!(script.say("ack EDS"), "EDS a=199");
}

#[test]
fn routes_that_lead_to_parts_wait_for_them() {
    let begun = "
        sub LDS =>
        sub SRDS =>
        snap LDS l=1 / SRDS r=1 / RDS r=1 => LDS l=1 | SRDS r=1
        ack LDS =>
        ack SRDS =>
        sub RDS r => RDS r=1
        ack RDS =>
        snap LDS l=1 / SRDS r=1 r/0=1 r/1=1 / RDS r=2 r/0=1 r/1=1 => SRDS r/0=1 r/1=1
        ack SRDS =>
        sub RDS r/0 r/1 => RDS r/0=1 | RDS r/1=1
        ack RDS =>";
    let script = delta(begun);
    assert!(!script.is_current());
    // The last of them lets it pass; later changes do not wait.
    let script = script.run(
        "ack RDS => RDS r=2
        ack RDS =>
        snap LDS l=1 / SRDS r=1 r/0=1 r/1=1 / RDS r=3 r/0=1 r/1=2 => RDS r=3 | RDS r/1=2
        ack RDS =>
        ack RDS =>",
    );
    assert!(script.is_current());
    // One piece again: at once. Scopes stay for the connections that are drained.
    script.run(
        "snap LDS l=1 / SRDS r=1 / RDS r=4 => RDS -r/0 -r/1 | RDS r=4
        ack RDS =>
        ack RDS =>
        wait 599000 =>
        wait 2000 => SRDS -r/0 -r/1",
    );
    // A part that is rejected does not hold it up for ever.
    delta(begun).run("nack RDS bad =>\n wait 4000 =>\n wait 1001 => RDS r=2");
}
