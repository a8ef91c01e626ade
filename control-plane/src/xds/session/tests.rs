//! Scripts: what is said to a session, and what it answers.
//!
//! `CDS a=1 -b` is a response that carries version 1 of cluster a and the removal of b; responses of one step are
//! separated by `|`. `ack CDS` acknowledges the oldest unacknowledged response of the type.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::*;

struct Script {
    session: Session,
    now: Instant,
    unacked: VecDeque<(ResourceType, u64)>,
    seen: Vec<Observation>,
}

fn kind_of(word: &str) -> ResourceType {
    match word {
        "CDS" => ResourceType::Cluster,
        "EDS" => ResourceType::Endpoint,
        "LDS" => ResourceType::Listener,
        "SRDS" => ResourceType::Scope,
        "RDS" => ResourceType::Route,
        "SDS" => ResourceType::Secret,
        other => panic!("no type {other:?}"),
    }
}

fn word_of(kind: ResourceType) -> &'static str {
    ["CDS", "EDS", "LDS", "SRDS", "RDS", "SDS"][kind as usize]
}

/// `CDS a=1 b=1 / EDS a=1`
fn snapshot(text: &str) -> Arc<Snapshot> {
    let mut snapshot = Snapshot::default();
    for part in text.split(" / ").map(str::trim).filter(|part| !part.is_empty()) {
        let (kind, resources) = part.split_once(' ').unwrap_or((part, ""));
        for (name, version) in resources.split_whitespace().map(|r| r.split_once('=').unwrap()) {
            let version = Version(version.parse().unwrap());
            let resource = Resource { name: name.into(), version, any: bytes::Bytes::new() };
            snapshot.insert(kind_of(kind), Arc::new(resource));
        }
    }
    Arc::new(snapshot)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

impl Script {
    fn new(protocol: Protocol) -> Self {
        let session = Session::new(protocol, Timing::default());
        Self { session, now: Instant::now(), unacked: VecDeque::new(), seen: Vec::new() }
    }

    /// Runs `input => answer` lines.
    fn run(mut self, script: &str) -> Self {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (input, expected) = line.split_once("=>").unwrap_or((line, ""));
            let answer = self.say(input.trim());
            assert_eq!(answer, expected.trim(), "after {input:?} in:\n{script}");
        }
        self
    }

    fn say(&mut self, input: &str) -> String {
        let (verb, rest) = input.split_once(' ').unwrap_or((input, ""));
        let event = match verb {
            "snap" => {
                let next = snapshot(rest);
                let release = self.session.release.as_ref().map_or_else(
                    || Release::first(next.clone()),
                    |base| base.next(next.clone()).expect("a script's snapshots differ"),
                );
                Event::Release(Arc::new(release))
            }
            "wait" => {
                self.now += Duration::from_millis(rest.parse().unwrap());
                Event::Tick
            }
            _ => Event::Request(self.request(verb, rest)),
        };
        let step = self.session.on(event, self.now);
        self.seen.extend(step.observations);
        let answers = step.responses.iter().map(|response| {
            self.unacked.push_back((response.kind, response.nonce));
            let resources = response.resources.iter().map(|r| format!(" {}={}", r.name, r.version.0));
            let removed = response.removed.iter().map(|name| format!(" -{name}"));
            word_of(response.kind).to_owned() + &resources.chain(removed).collect::<String>()
        });
        answers.collect::<Vec<_>>().join(" | ")
    }

    /// `sub T names` `unsub T names` `stale T names` `first T held a=1; names` `ack T` `nack T text` (delta);
    /// `names T names` `late T names` `early T names` `ack T names` `nack T text` (state of the world).
    fn request(&mut self, verb: &str, rest: &str) -> Request {
        let (kind, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let kind = kind_of(kind);
        let settles = matches!(verb, "ack" | "nack");
        let nonce = if settles {
            let oldest = self.unacked.iter().position(|(k, _)| *k == kind).expect("something to settle");
            self.unacked.remove(oldest).unwrap().1.to_string()
        } else {
            match verb {
                "names" if self.session.last_nonce[kind as usize] > 0 => {
                    self.session.last_nonce[kind as usize].to_string()
                }
                "late" | "stale" => "999".to_owned(),
                _ => String::new(),
            }
        };
        let error = (verb == "nack").then(|| rest.to_owned());
        let asks = if self.session.protocol == Protocol::Delta {
            let (held, names) = if verb == "first" { rest.split_once(';').unwrap() } else { ("", rest) };
            let initial = held.split_whitespace().map(|r| r.split_once('=').unwrap());
            let version = |v: &str| v.parse().map_or_else(|_| v.to_owned(), |v| Version(v).to_string());
            let (subscribe, unsubscribe) = match verb {
                "unsub" => (Vec::new(), words(names)),
                _ if settles => (Vec::new(), Vec::new()),
                _ => (words(names), Vec::new()),
            };
            let initial = initial.map(|(n, v)| (n.to_owned(), version(v))).collect();
            Asks::Delta { subscribe, unsubscribe, initial }
        } else {
            let ledger = &self.session.ledgers[kind as usize];
            let same = ledger.subscription.names().map(ToString::to_string).collect();
            Asks::Sotw { names: if settles { same } else { words(rest) } }
        };
        Request { kind, nonce, error, asks }
    }

    fn parked(&self) -> Vec<String> {
        let rejected = self.session.standing().rejected;
        rejected.iter().map(|r| format!("{} {}={}", word_of(r.kind), r.name, r.version.0)).collect()
    }

    fn is_current(&self) -> bool {
        self.session.standing().current
    }
}

fn delta(script: &str) -> Script {
    Script::new(Protocol::Delta).run(script)
}

fn sotw(script: &str) -> Script {
    Script::new(Protocol::Sotw).run(script)
}

mod delta_rules;
mod sotw_rules;
