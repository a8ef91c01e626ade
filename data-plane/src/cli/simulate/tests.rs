use std::fs;

use clap::Parser;

use super::fleet::pair;
use super::*;
use crate::accelerator::Optimize;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    simulate: Simulate,
}

fn simulate(args: &[&str]) -> Result<String> {
    let args = ["simulate"].iter().chain(args);
    Cli::try_parse_from(args)?.simulate.run()
}

const SMALL: [&str; 8] = [
    "--endpoints",
    "nvidia-h100-80gb=1,nvidia-l4=2",
    "--shape",
    "azure-conversation",
    "--rate",
    "3",
    "--duration",
    "20s",
];

#[test]
fn the_same_arguments_give_the_same_text() {
    let two = ["--pickers", "2", "--exchange", "20ms"];
    for more in [&["-o", "json"][..], &["--policy", "random,oracle"], &["--seed", "7"], &two] {
        let play = || simulate(&[&SMALL[..], more].concat()).unwrap();
        assert_eq!(play(), play());
    }
    let seed = |seed| simulate(&[&SMALL[..], &["--seed", seed]].concat()).unwrap();
    assert_ne!(seed("1"), seed("2"));
}

#[test]
fn files_are_played_and_compared() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, trace) = (directory.path().join("pools.yaml"), directory.path().join("trace.jsonl"));
    let endpoint = "{address: '10.0.0.1:8000', accelerator: {class: nvidia-l4, count: 1}}";
    fs::write(&pool, format!("pools: [{{name: a/b, endpoints: [{endpoint}]}}]")).unwrap();
    let line = |at: u32| format!("{{\"timestamp\": {at}, \"input_length\": 600, \"output_length\": 20}}\n");
    fs::write(&trace, (0..50).map(|i| line(i * 300)).collect::<String>()).unwrap();
    let (pool, trace) = (pool.to_str().unwrap(), trace.to_str().unwrap());
    let args = ["--pool", pool, "--trace", trace, "--annotation", "accelerator-prices=l4=0.8", "-o", "json"];
    let out: serde_json::Value = serde_json::from_str(&simulate(&args).unwrap()).unwrap();
    let ours = &out["policies"][0];
    assert_eq!((&ours["policy"], &ours["requests"]), (&"ours".into(), &50.into()), "{out}");
    assert!(ours["dollarsPerMillionTokens"].as_f64().unwrap() > 0.0, "{out}");
    assert_eq!(out["policies"].as_array().unwrap().len(), 3);

    fs::write(trace, format!("{}{{\"timestamp\": 1}}", line(0))).unwrap();
    let error = simulate(&args).unwrap_err().to_string();
    assert!(error.contains("trace.jsonl: line 2: ") && error.contains("input_length"), "{error}");
}

#[test]
fn mistakes_name_the_flag_and_the_remedy() {
    for (args, words) in [
        (&[][..], ["--pool", "required"]),
        (&["--pool", "/nowhere", "--shape", "uniform", "--rate", "1"], ["--pool", "/nowhere"]),
        (&["--endpoints", "l4=1", "--shape", "uniform"], ["--rate", "required"]),
        (&["--endpoints", "l4=1", "--shape", "uniform", "--rate", "0"], ["--rate is 0", "give"]),
        (&["--endpoints", "l4=1", "--shape", "uniform", "--rate", "NaN"], ["--rate is NaN", "give"]),
        (&["--endpoints", "l4=1", "--shape", "uniform", "--rate", "99999"], ["--duration", "give"]),
        (&[&SMALL[..], &["--scale", "0"]].concat(), ["--scale is 0", "give"]),
        (&[&SMALL[..], &["--warm-up", "60s"]].concat(), ["--warm-up", "lower"]),
        (&[&SMALL[..], &["--slots", "0"]].concat(), ["--slots", "give"]),
        (&[&SMALL[..], &["--pickers", "0"]].concat(), ["--pickers is not", "16"]),
        (&[&SMALL[..], &["--exchange", "0ms"]].concat(), ["--exchange", "off"]),
        (&[&SMALL[..], &["--model-billions", "1e9"]].concat(), ["--model-billions", "give"]),
        (&[&SMALL[..], &["--annotation", "optimize"]].concat(), ["--annotation", "NAME=VALUE"]),
        (&[&SMALL[..], &["--policy", "best"]].concat(), ["best", "round-robin"]),
    ] {
        let error = format!("{:#}", simulate(args).unwrap_err());
        assert!(words.iter().all(|word| error.contains(word)), "{args:?}: {error}");
    }
}

#[test]
fn optimizing_for_cost_is_an_annotation() {
    assert_eq!(pair("optimize=cost").unwrap().1, "cost");
    let args = [&SMALL[..], &["--annotation", "optimize=cost"]].concat();
    let parsed = Cli::try_parse_from(["simulate"].iter().chain(&args)).unwrap().simulate;
    assert_eq!(parsed.fleet.read().unwrap().policy().optimize, Some(Optimize::Cost));
}
