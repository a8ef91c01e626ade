//! Our picker against other policies in virtual time, per trace shape, load and seed.
//!
//! `cargo run --example policies [--fleet three|nine] [--shape NAME] [--seeds table|right|wrong] [--count N]`

#![expect(clippy::print_stdout, reason = "the output is the report")]

use data_plane::simulate::{Fleet, Policy, Report, Run, Seeds, Shape, capacity, run, trace};

const LOADS: [f64; 4] = [0.30, 0.50, 0.80, 0.95];

struct Options {
    fleet: Fleet,
    shapes: Vec<Shape>,
    seeds: Seeds,
    count: usize,
    first_bytes: bool,
    kv_shown: bool,
    all: bool,
    rounds: u64,
}

fn options() -> Result<Options, String> {
    let three = Fleet::THREE.to_vec();
    let mut options = Options {
        fleet: Fleet::three(),
        shapes: Shape::ALL.to_vec(),
        seeds: Seeds::Table,
        count: 3_000,
        first_bytes: true,
        kv_shown: true,
        all: false,
        rounds: 3,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        if flag == "--all" {
            options.all = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match (flag.as_str(), value.as_str()) {
            ("--fleet", "three") => options.fleet = Fleet::three(),
            ("--fleet", "nine") => options.fleet = Fleet::of(&three.iter().flat_map(|member| [*member; 3]).collect::<Vec<_>>(), &[]),
            ("--shape", name) => options.shapes.retain(|shape| shape.name() == name),
            ("--seeds", "table") => options.seeds = Seeds::Table,
            ("--seeds", "right") => options.seeds = Seeds::Right,
            ("--seeds", "wrong") => options.seeds = Seeds::Wrong,
            ("--first-bytes", value) => options.first_bytes = value == "true",
            ("--kv-shown", value) => options.kv_shown = value == "true",
            ("--count", number) => {
                options.count = number.parse().map_err(|_| format!("{number} is no number"))?;
            }
            ("--rounds", number) => {
                options.rounds = number.parse().map_err(|_| format!("{number} is no number"))?;
            }
            _ => return Err(format!("{flag} {value} is not known")),
        }
    }
    Ok(options)
}

fn print(name: &str, report: &Report) {
    let (t, e) = (report.ttft, report.total);
    println!(
        "    {name:<12} ttft {:7.3} {:7.3} {:7.3}  e2e {:7.3} {:7.3} {:7.3}  picks {:?}",
        t.p50, t.p90, t.p99, e.p50, e.p90, e.p99, report.picks
    );
}

fn ratios(ours: &Report, other: &Report) -> String {
    let all = [ours.ttft.over(&other.ttft), ours.total.over(&other.total)].concat();
    all.iter().map(|ratio| format!("{ratio:6.2}")).collect()
}

fn main() -> Result<(), String> {
    let options = options()?;
    for shape in &options.shapes {
        let fleet = &options.fleet;
        let full = capacity(fleet, *shape);
        println!("{}: {full:.2} requests/s; ratios of ours: ttft p50 p90 p99, e2e p50 p90 p99", shape.name());
        for load in LOADS {
            for seed in 1..=options.rounds {
                let requests = trace(*shape, full * load, options.count, seed);
                let play = |policy| {
                    let Options { first_bytes, kv_shown, .. } = options;
                    let usual = Run::new(fleet, &requests, policy, seed);
                    run(&Run { warm_up: 60.0, first_bytes, kv_shown, ..usual })
                };
                let ours = play(Policy::Ours(options.seeds));
                let (sum, known, seer) =
                    (play(Policy::ScorerSum), play(Policy::Known), play(Policy::Clairvoyant));
                println!(
                    "  {:3.0} % seed {seed}: sum {} | known {} | clairvoyant {}",
                    load * 100.0,
                    ratios(&ours, &sum),
                    ratios(&ours, &known),
                    ratios(&ours, &seer)
                );
                if options.all {
                    print("ours", &ours);
                    print("scorer sum", &sum);
                    print("known", &known);
                    print("clairvoyant", &seer);
                    for (name, policy) in [
                        ("random", Policy::Random),
                        ("round robin", Policy::RoundRobin),
                        ("least req", Policy::LeastRequest),
                    ] {
                        print(name, &play(policy));
                    }
                }
            }
        }
    }
    Ok(())
}
