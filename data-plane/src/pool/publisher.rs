//! Where an endpoint publishes the events of its KV cache.
//!
//! | on | name | value |
//! |---|---|---|
//! | pool (annotation) | `signalbox.dev/kv-events` | `tcp://*:5557`, as the engine is told, or the port alone; absent: not followed |
//! | pool (annotation) | `signalbox.dev/kv-events-replay` | the same for its replay socket, such as `tcp://*:5558`; without it, a gap costs all that was known |
//! | Pod (label) | `signalbox.dev/kv-events-port` | a port that goes before the annotation's; 0: not followed |
//! | Pod (label) | `signalbox.dev/kv-events-replay-port` | the same for its replay socket |
//!
//! A label whose value is no port is as if it said 0. It is told in the log and as a metric (`InvalidPort`).
//!
//! The picker connects to the Pod. As vLLM does, the rank of the endpoint (the place of its port among the pool's) is
//! added to both ports.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use proto::tier::v1;

const EVENTS: &str = "signalbox.dev/kv-events";
const REPLAY: &str = "signalbox.dev/kv-events-replay";
const EVENTS_LABEL: &str = "signalbox.dev/kv-events-port";
const REPLAY_LABEL: &str = "signalbox.dev/kv-events-replay-port";

/// Where to hear an endpoint's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// Its PUB socket.
    pub events: SocketAddr,
    /// Its ROUTER socket, which tells again what was missed.
    pub replay: Option<SocketAddr>,
}

/// A label of a Pod that should be a port, and is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvalidPort {
    /// Name of the Pod.
    pub pod: String,
    /// The label.
    pub label: &'static str,
    /// Its value.
    pub value: String,
}

impl fmt::Display for InvalidPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, label, value } = self;
        write!(
            f,
            "Pod {pod}: label {label}: {value:?} is not between 0 and 65535; the Pod's KV events are not followed there"
        )
    }
}

/// Ports of rank 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    events: Option<u16>,
    replay: Option<u16>,
}

impl Ports {
    /// As a pool's annotations say, and what is wrong with them.
    pub(super) fn of(annotations: &BTreeMap<String, String>, problems: &mut Vec<String>) -> Self {
        let mut port = |name: &str| match port(annotations.get(name)?) {
            Ok(port) => port,
            Err(problem) => {
                problems.push(format!("annotation {name}: {problem}; KV events are not followed there"));
                None
            }
        };
        Self { events: port(EVENTS), replay: port(REPLAY) }
    }

    /// Of `endpoint` at `ip`; labels that cannot be used are added to `invalid`.
    pub(super) fn publisher(
        &self,
        endpoint: &v1::Endpoint,
        ip: IpAddr,
        invalid: &mut Vec<InvalidPort>,
    ) -> Option<Publisher> {
        let mut label = |label: &'static str| {
            let value = endpoint.labels.get(label)?;
            let port = value.parse::<u16>().inspect_err(|_| {
                invalid.push(InvalidPort { pod: endpoint.pod.clone(), label, value: value.clone() });
            });
            Some(port.ok().filter(|port| *port > 0))
        };
        let (events, replay) = (label(EVENTS_LABEL), label(REPLAY_LABEL));
        let at = |label: Option<Option<u16>>, port: Option<u16>| {
            let port = label.unwrap_or(port)?.checked_add(u16::try_from(endpoint.rank).ok()?)?;
            Some(SocketAddr::new(ip, port))
        };
        Some(Publisher { events: at(events, self.events)?, replay: at(replay, self.replay) })
    }
}

/// The port of "tcp://*:5557" or "5557"; None for "off".
fn port(text: &str) -> Result<Option<u16>, String> {
    let text = text.trim();
    if text.is_empty() || text == "off" {
        return Ok(None);
    }
    let port = match text.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':')) {
        Some(("*" | "0.0.0.0" | "[::]" | "::", port)) => port,
        Some(_) => {
            return Err(format!("{text:?} names a host; write tcp://*:PORT, each Pod is connected to"));
        }
        None => text,
    };
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(format!("{text:?} has no port; write tcp://*:5557, or off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_labels_and_rank_decide_the_ports() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        for (annotations, pod, rank, expected) in [
            (&[][..], &[][..], 0, None),
            (&[(EVENTS, "tcp://*:5557")], &[], 0, Some((5557, None))),
            (&[(EVENTS, "5557"), (REPLAY, "tcp://0.0.0.0:6557")], &[], 3, Some((5560, Some(6560)))),
            (&[(EVENTS, "tcp://*:5557")], &[(EVENTS_LABEL, "0")], 0, None),
            (&[], &[(EVENTS_LABEL, "7000"), (REPLAY_LABEL, "7001")], 0, Some((7000, Some(7001)))),
            (&[(EVENTS, "off"), (REPLAY, "5558")], &[], 0, None),
            (&[(EVENTS, "65535")], &[], 1, None),
        ] {
            let mut problems = Vec::new();
            let ports = Ports::of(
                &annotations.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
                &mut problems,
            );
            let endpoint = v1::Endpoint { rank, labels: labels(pod), ..v1::Endpoint::default() };
            let mut invalid = Vec::new();
            let found = ports.publisher(&endpoint, ip, &mut invalid);
            assert_eq!(invalid, [], "{pod:?}");
            let found = found.map(|at| (at.events.port(), at.replay.map(|replay| replay.port())));
            assert_eq!((found, problems), (expected, Vec::new()), "{annotations:?} {pod:?}");
        }
    }

    #[test]
    fn a_label_that_is_no_port_is_told() {
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let ports = Ports { events: Some(5557), replay: Some(5558) };
        for (label, value, found) in [
            (EVENTS_LABEL, "tcp://*:5557", None),
            (EVENTS_LABEL, "70000", None),
            (REPLAY_LABEL, "x", Some(None)),
        ] {
            let labels = [(label.to_owned(), value.to_owned())].into();
            let endpoint = v1::Endpoint { pod: "llama-0".into(), labels, ..v1::Endpoint::default() };
            let mut invalid = Vec::new();
            let publisher = ports.publisher(&endpoint, ip, &mut invalid);
            assert_eq!(publisher.map(|at| at.replay), found, "{label} {value}");
            assert_eq!(invalid, [InvalidPort { pod: "llama-0".into(), label, value: value.into() }]);
            let text = invalid[0].to_string();
            assert!([label, value, "llama-0"].iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_the_remedy() {
        for (value, words) in
            [("tcp://events.svc:5557", "tcp://*:PORT"), ("tcp://*:x", "has no port"), ("0", "has no port")]
        {
            let mut problems = Vec::new();
            let ports = Ports::of(&[(EVENTS.to_owned(), value.to_owned())].into(), &mut problems);
            assert_eq!(ports, Ports::default());
            assert!(problems.concat().contains(words), "{problems:?}");
        }
    }
}
