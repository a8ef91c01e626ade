//! What a simulated Pod is: its names, its speed, its limits. Read from `key=value,…` or from a YAML file.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::speed::Speed;

/// One simulated Pod. Keys are written in kebab case; all but `name`, `listen` and `model` have defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PodConfig {
    /// The Pod's name, as `x-inference-pod` reports it.
    pub name: String,
    /// Addresses it serves on, all alike.
    #[serde(deserialize_with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// The model it has loaded.
    pub model: String,
    /// Names under which clients ask for the model; the model's own when empty.
    #[serde(default)]
    pub served_names: Vec<String>,
    /// The accelerator profile that gives the speed; see [`Speed::profile`].
    #[serde(default = "default_profile")]
    pub profile: String,
    /// Prefill time of a request beside its tokens, in milliseconds; the profile's when absent.
    pub prefill_overhead_ms: Option<f64>,
    /// Prefill time of an uncached prompt token, in milliseconds; the profile's when absent.
    pub prefill_ms_per_token: Option<f64>,
    /// Inter-token latency apart from the batch, in milliseconds; the profile's when absent.
    pub itl_base_ms: Option<f64>,
    /// Inter-token latency for each sequence of the batch, in milliseconds; the profile's when absent.
    pub itl_per_sequence_ms: Option<f64>,
    /// All times are divided by this.
    #[serde(default = "one")]
    pub speed: f64,
    /// The largest batch.
    #[serde(default = "default_max_num_seqs")]
    pub max_num_seqs: usize,
    /// Tokens of one step, which cuts long prefills into chunks.
    #[serde(default = "default_max_num_batched_tokens")]
    pub max_num_batched_tokens: usize,
    /// Prompt and output together.
    #[serde(default = "default_max_model_len")]
    pub max_model_len: usize,
    /// Tokens of a KV block.
    #[serde(default = "default_block_size")]
    pub block_size: usize,
    /// KV blocks.
    #[serde(default = "default_num_gpu_blocks")]
    pub num_gpu_blocks: usize,
    /// Whether finished blocks are kept for later prompts.
    #[serde(default = "yes")]
    pub prefix_caching: bool,
    /// LoRA adapters that may be asked for.
    #[serde(default)]
    pub loras: Vec<String>,
    /// Adapters that fit at once.
    #[serde(default = "default_max_loras")]
    pub max_loras: usize,
    /// Time to load an adapter, in milliseconds.
    #[serde(default = "default_lora_load_ms")]
    pub lora_load_ms: f64,
    /// Tokens after which an answer ends by itself.
    #[serde(default = "default_output_tokens")]
    pub output_tokens: usize,
    /// Seed of the answers' text.
    #[serde(default)]
    pub seed: u64,
    /// Size up to which `/metrics` is filled, in bytes; a real server's page is around 54 KB.
    #[serde(default)]
    pub metrics_padding: usize,
}

fn default_profile() -> String {
    "instant".into()
}
fn one() -> f64 {
    1.0
}
fn yes() -> bool {
    true
}
fn default_max_num_seqs() -> usize {
    256
}
fn default_max_num_batched_tokens() -> usize {
    8192
}
fn default_max_model_len() -> usize {
    32_768
}
fn default_block_size() -> usize {
    16
}
fn default_num_gpu_blocks() -> usize {
    16_384
}
fn default_max_loras() -> usize {
    1
}
fn default_lora_load_ms() -> f64 {
    300.0
}
fn default_output_tokens() -> usize {
    128
}

impl PodConfig {
    /// A Pod with the defaults: no time passes in it.
    pub fn new(name: &str, listen: SocketAddr, model: &str) -> Self {
        let fields = serde_json::json!({"name": name, "listen": [listen], "model": model});
        serde_json::from_value(fields).expect("the three required fields are enough")
    }

    /// The speed: the profile with the overrides.
    ///
    /// # Errors
    /// When the profile is not known.
    pub fn speed(&self) -> Result<Speed> {
        let mut speed = Speed::profile(&self.profile)?;
        for (field, given) in [
            (&mut speed.prefill_overhead_ms, self.prefill_overhead_ms),
            (&mut speed.prefill_ms_per_token, self.prefill_ms_per_token),
            (&mut speed.itl_base_ms, self.itl_base_ms),
            (&mut speed.itl_per_sequence_ms, self.itl_per_sequence_ms),
        ] {
            *field = given.unwrap_or(*field);
        }
        speed.factor = self.speed;
        Ok(speed)
    }

    /// The names under which the model is served; the first labels the metrics.
    pub fn names(&self) -> Vec<String> {
        if self.served_names.is_empty() { vec![self.model.clone()] } else { self.served_names.clone() }
    }

    fn check(self) -> Result<Self> {
        self.speed().with_context(|| format!("Pod {}", self.name))?;
        for (key, value) in [
            ("max-num-seqs", self.max_num_seqs),
            ("max-num-batched-tokens", self.max_num_batched_tokens),
            ("block-size", self.block_size),
            ("num-gpu-blocks", self.num_gpu_blocks),
            ("listen", self.listen.len()),
        ] {
            if value == 0 {
                bail!("Pod {}: {key} is zero", self.name);
            }
        }
        if self.speed.is_nan() || self.speed <= 0.0 {
            bail!("Pod {}: speed is not positive", self.name);
        }
        Ok(self)
    }
}

/// Reads `name=gemma3-0,listen=127.0.1.10:8000,model=google/gemma-3,served-names=chatbot+gemma3,profile=l4`.
/// Lists are written with `+`.
///
/// # Errors
/// When a key is unknown, required and missing, or its value does not fit.
pub fn parse_pod(text: &str) -> Result<PodConfig> {
    let mut fields = Map::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').with_context(|| format!("{pair:?} is not key=value"))?;
        let value = match key {
            "served-names" | "loras" | "listen" => value.split('+').map(Value::from).collect(),
            "name" | "model" | "profile" => Value::from(value),
            _ => serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)),
        };
        fields.insert(key.to_owned(), value);
    }
    serde_json::from_value::<PodConfig>(Value::Object(fields))
        .with_context(|| format!("Pod {text:?}"))?
        .check()
}

/// Reads a YAML file `{defaults: {…}, pods: [{name: …, listen: …, …}, …]}`.
///
/// # Errors
/// When the file cannot be read or an entry does not fit.
pub fn read_pods(path: &Path) -> Result<Vec<PodConfig>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse_pods(&text).with_context(|| format!("in {}", path.display()))
}

/// Reads the text of a Pods file; see [`read_pods`].
///
/// # Errors
/// When the text is not such a file.
pub fn parse_pods(text: &str) -> Result<Vec<PodConfig>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        defaults: Map<String, Value>,
        pods: Vec<Map<String, Value>>,
    }
    let file: File = serde_saphyr::from_str(text)?;
    file.pods
        .into_iter()
        .map(|pod| {
            let mut fields = file.defaults.clone();
            fields.extend(pod);
            let name = fields.get("name").map(Value::to_string).unwrap_or_default();
            serde_json::from_value::<PodConfig>(Value::Object(fields))
                .with_context(|| format!("Pod {name}"))?
                .check()
        })
        .collect()
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(SocketAddr),
        Many(Vec<SocketAddr>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(address) => vec![address],
        OneOrMany::Many(addresses) => addresses,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_and_file_agree() {
        let flag = parse_pod(
            "name=g-0,listen=127.0.1.10:8000,model=google/gemma-3,served-names=chatbot+gemma3,profile=l4,max-num-seqs=8",
        )
        .unwrap();
        let file = parse_pods(
            "defaults: {profile: l4, max-num-seqs: 8}\npods:\n- name: g-0\n  listen: 127.0.1.10:8000\n  \
             model: google/gemma-3\n  served-names: [chatbot, gemma3]\n",
        )
        .unwrap();
        assert_eq!(file, std::slice::from_ref(&flag));
        assert_eq!(flag.names(), ["chatbot", "gemma3"]);
        assert_eq!(flag.speed().unwrap(), Speed::profile("l4").unwrap());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("name=a,listen=127.0.0.1:1,model=m,colour=red", "colour"),
            ("name=a,listen=127.0.0.1:1", "model"),
            ("name=a,listen=here,model=m", "listen=here"),
            ("name=a,listen=127.0.0.1:1,model=m,profile=abacus", "abacus"),
            ("name=a,listen=127.0.0.1:1,model=m,block-size=0", "block-size"),
            ("name", "key=value"),
        ] {
            let error = format!("{:#}", parse_pod(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
