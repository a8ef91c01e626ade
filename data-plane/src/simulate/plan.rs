//! A fleet to plan with: a pool as the picker reads it, or a short list; speeds come from the table of classes.
//!
//! ```text
//! pools file, pools as a control plane sends them, or "nvidia-h100-80gb=2,nvidia-l4=6"
//!     ─▶ annotations set ─▶ speeds by (class, devices, model) ─▶ Fleet
//! ```

use prost::Message as _;
use proto::tier::v1::{Endpoint, PoolName, PoolSnapshot, WatchResponse};

use crate::accelerator::{Hardware, profile_for};
use crate::pool::source::files;

use super::engine::Speeds;
use super::fleet::{Fleet, annotation, endpoint};

/// More endpoints than are played in reasonable time.
const MOST: usize = 2_000;

/// What a pool does not say of its model servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Parameters of the model, in billions.
    pub billions: f32,
    /// Requests that run together in an endpoint; from the size of its memory when absent.
    pub slots: Option<usize>,
    /// Annotations of the pool, beside and before its own; the prefix `signalbox.dev/` may be left out.
    pub annotations: Vec<(String, String)>,
}

impl Plan {
    /// The pool called `name` ("namespace/name") of a pools file with `text`; the only one when no name is given.
    ///
    /// # Errors
    /// What of the file cannot be used, with line, field or name, and the remedy.
    pub fn of_file(&self, text: &str, name: Option<&str>) -> Result<Fleet, String> {
        let pools = files::parse(text).map_err(|error| match text.contains("apiVersion") {
            true => format!(
                "Kubernetes manifests are read by `signalbox simulate`, and this is no pools file: {error:#}"
            ),
            false => format!("{error:#}"),
        })?;
        self.of_pools(pools.changed, name)
    }

    /// The pool called `name` of an encoded `WatchResponse` of the tier API; the only one when no name is given.
    ///
    /// # Errors
    /// As [`Plan::of_file`].
    pub fn of_tier(&self, message: &[u8], name: Option<&str>) -> Result<Fleet, String> {
        let pools = WatchResponse::decode(message).map_err(|error| format!("no WatchResponse: {error}"))?;
        self.of_pools(pools.changed, name)
    }

    fn of_pools(&self, mut pools: Vec<PoolSnapshot>, name: Option<&str>) -> Result<Fleet, String> {
        let key = |pool: &PoolSnapshot| {
            pool.name.as_ref().map_or_else(String::new, |name| format!("{}/{}", name.namespace, name.name))
        };
        let names = pools.iter().map(key).collect::<Vec<_>>().join(", ");
        pools.retain(|pool| name.is_none_or(|name| key(pool) == name));
        match (pools.pop(), pools.is_empty()) {
            (Some(pool), true) => self.fleet(pool),
            (None, _) => Err(match name {
                Some(name) => format!("there is no pool {name}; there is: {names}"),
                None => "pools: there is none; name one with its endpoints".into(),
            }),
            (Some(_), false) => {
                Err(format!("pools: there are several ({names}); choose one with --pool-name"))
            }
        }
    }

    /// Endpoints by class: `CLASS[:DEVICES]=ENDPOINTS`, separated by commas.
    ///
    /// # Errors
    /// The part that cannot be used, and the remedy.
    pub fn of_list(&self, list: &str) -> Result<Fleet, String> {
        let mut endpoints = Vec::new();
        for part in list.split(',').map(str::trim) {
            let (class, count, number) = member(part).ok_or_else(|| {
                format!("{part:?} is no class with a number; write nvidia-h100-80gb=2, or nvidia-h100-80gb:4=2 for two with 4 devices each")
            })?;
            for _ in 0..number.min(MOST + 1) {
                endpoints.push(endpoint(endpoints.len(), class, count));
            }
        }
        let name = Some(PoolName { namespace: "planned".into(), name: "pool".into() });
        self.fleet(PoolSnapshot { name, endpoints, ..PoolSnapshot::default() })
    }

    fn fleet(&self, mut pool: PoolSnapshot) -> Result<Fleet, String> {
        if pool.endpoints.len() > MOST {
            return Err(format!("{} endpoints; at most {MOST} are played", pool.endpoints.len()));
        }
        for (name, value) in &self.annotations {
            pool.annotations.insert(annotation(name), value.clone());
        }
        Fleet::new(pool, |endpoint| self.speeds(endpoint))
    }

    fn speeds(&self, endpoint: &Endpoint) -> Result<Speeds, String> {
        let device = endpoint.accelerator.clone().unwrap_or_default();
        let (class, count) = (device.class.as_str(), device.count);
        let hardware = Hardware { class, count, memory_bytes: device.memory_bytes };
        let (profile, kv) = profile_for(hardware, self.billions);
        if kv < 1_024 {
            return Err(format!(
                "endpoint {}: a model of {} billion parameters does not fit into {} of {:?}; raise accelerator.count, or lower --model-billions",
                endpoint.address,
                self.billions,
                count.max(1),
                class
            ));
        }
        let speeds = Speeds::of(&profile, kv);
        Ok(Speeds { slots: self.slots.unwrap_or(speeds.slots), ..speeds })
    }
}

fn member(part: &str) -> Option<(&str, u32, usize)> {
    let (kind, number) = part.split_once('=')?;
    let (class, count) = kind.split_once(':').unwrap_or((kind, "1"));
    let (count, number) = (count.parse().ok()?, number.trim().parse().ok()?);
    (!class.is_empty() && (1..=64).contains(&count) && number > 0).then_some((class, count, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { billions: 8.0, slots: None, annotations: Vec::new() }
    }

    #[test]
    fn pools_come_from_a_control_plane_too() {
        let response = files::parse(FILE).unwrap().encode_to_vec();
        let fleet = plan().of_tier(&response, Some("ns/a")).unwrap();
        assert_eq!((fleet.class(0), fleet.class(1)), ("nvidia-h100-80gb", "nvidia-l4"));
        assert!(plan().of_tier(&response, None).unwrap_err().contains("ns/a, ns/b"));
        assert!(plan().of_tier(b"pools:", None).unwrap_err().contains("WatchResponse"));
    }

    const FILE: &str = "
pools:
- name: ns/a
  annotations: {signalbox.dev/accelerator-prices: 'h100=4,l4=0.8'}
  endpoints:
  - {address: '10.0.0.2:8000', accelerator: {class: nvidia-l4, count: 1}}
  - {address: '10.0.0.1:8000', accelerator: {class: nvidia-h100-80gb, count: 2}}
- name: ns/b
  endpoints: [{address: '10.0.0.3:8000', draining: true}]
";

    #[test]
    fn pools_and_lists_become_fleets() {
        let fleet = plan().of_file(FILE, Some("ns/a")).unwrap();
        assert_eq!((fleet.class(0), fleet.class(1)), ("nvidia-h100-80gb", "nvidia-l4"));
        assert_eq!((fleet.price(0), fleet.price(1).map(f64::round)), (Some(8.0), Some(1.0)));
        assert!(fleet.speeds()[0].prefill < fleet.speeds()[1].prefill);

        let annotations = vec![("accelerator-prices".into(), "l4=1".into())];
        let list = Plan { annotations, slots: Some(3), ..plan() }
            .of_list("nvidia-l4=2, nvidia-h100-80gb:4=1")
            .unwrap();
        assert_eq!(list.speeds().len(), 3);
        assert_eq!((list.price(1), list.price(2), list.speeds()[0].slots), (Some(1.0), None, 3));
    }

    #[test]
    fn mistakes_name_the_part_and_the_remedy() {
        let file = |text: &str, name| plan().of_file(text, name).unwrap_err();
        let list = |text| plan().of_list(text).unwrap_err();
        let large = Plan { billions: 70.0, ..plan() };
        let annotated = Plan { annotations: vec![("optimize".into(), "speed".into())], ..plan() };
        for (error, words) in [
            (file("pools: []", None), ["there is none", "name one"]),
            (file(FILE, None), ["ns/a, ns/b", "--pool-name"]),
            (file(FILE, Some("ns/c")), ["no pool ns/c", "ns/a, ns/b"]),
            (file(FILE, Some("ns/b")), ["ready", "take out"]),
            (file("pools: [{nam: a/b}]", None), ["nam", "line 1"]),
            (file("apiVersion: v1\nkind: Pod", None), ["apiVersion", "signalbox simulate"]),
            (list("nvidia-l4"), ["nvidia-l4", "write"]),
            (list("nvidia-l4=0"), ["=0", "write"]),
            (list("nvidia-l4=9999999"), ["endpoints", "2000"]),
            (large.of_list("nvidia-h100-80gb=1").unwrap_err(), ["does not fit", "--model-billions"]),
            (annotated.of_list("nvidia-l4=1").unwrap_err(), ["optimize", "latency"]),
        ] {
            assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        }
    }
}
