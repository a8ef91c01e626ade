//! Measures the product. Prints `name value unit` lines, and writes them with all that is needed to judge them.

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use integration_tests::figures::{
    Context, Figure, Machine, Results,
    catalog::{ALL, Measurement, select},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout},
};

/// Measures the product.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Measures these only, by the name of a figure or a measurement; does not write the report unless --report.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Lists the measurements and their figures.
    #[arg(long)]
    list: bool,
    /// The report [default: integration-tests/RESULTS.md].
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Arguments {
    fn report(&self) -> Option<PathBuf> {
        let default =
            || self.only.is_empty().then(|| Context::workspace().join("integration-tests/RESULTS.md"));
        self.report.clone().or_else(default)
    }
}

// One thread, as a worker of Envoy is one: what it sends and reads at a time is one write and one read.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for measurement in ALL {
            writeln!(io::stdout(), "{}: {}", measurement.name, measurement.figures.join(" "))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let selected = select(&arguments.only)?;
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Ending the run drops it, and with it all its children.
    let results = tokio::select! {
        results = run(&selected) => results?,
        _ = terminated.recv() => return Err(anyhow!("terminated")),
        _ = interrupted.recv() => return Err(anyhow!("interrupted")),
    };
    if let Some(report) = arguments.report() {
        fs::write(&report, results.markdown())
            .with_context(|| format!("{} cannot be written", report.display()))?;
        writeln!(io::stderr(), "figures: {} is written", report.display())?;
    }
    Ok(if results.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(selected: &[&Measurement]) -> Result<Results> {
    let (context, start) = (Context::new()?, Instant::now());
    let mut results = Results {
        date: said_by("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        revision: said_by("git", &["describe", "--always", "--dirty"]),
        command: env::args().collect::<Vec<_>>().join(" "),
        machine: Machine::here(),
        load: fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned(),
        figures: Vec::new(),
        failed: Vec::new(),
        seconds: 0,
    };
    for measurement in selected {
        writeln!(io::stderr(), "figures: {} …", measurement.name)?;
        let begun = Instant::now();
        match measure(measurement, &context).await {
            Ok(figures) => {
                for figure in &figures {
                    writeln!(io::stdout(), "{figure}")?;
                }
                results.figures.extend(figures);
            }
            Err(error) => {
                writeln!(io::stderr(), "figures: {} failed: {error:#}", measurement.name)?;
                let reason = format!("{error:#}");
                results.failed.extend(measurement.figures.iter().map(|name| (*name, reason.clone())));
            }
        }
        writeln!(io::stderr(), "figures: {} took {:.0} s", measurement.name, begun.elapsed().as_secs_f64())?;
    }
    results.seconds = start.elapsed().as_secs();
    Ok(results)
}

async fn measure(measurement: &Measurement, context: &Context) -> Result<Vec<Figure>> {
    let deadline = measurement.deadline;
    let figures = timeout(deadline, (measurement.measure)(context)).await;
    let figures = figures.map_err(|_| anyhow!("not done in {} s", deadline.as_secs()))??;
    let missing = measurement.figures.iter().find(|name| !figures.iter().any(|figure| figure.name == **name));
    match (missing, figures.iter().find(|figure| !figure.value.is_finite())) {
        (Some(name), _) => Err(anyhow!("{name} was not measured")),
        (None, Some(figure)) => Err(anyhow!("{} is no number", figure.name)),
        (None, None) => Ok(figures),
    }
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(Context::workspace()).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(|| "unknown".into(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}
