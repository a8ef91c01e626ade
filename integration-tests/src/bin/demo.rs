//! The guide on this machine: simulated model servers, Signalbox in standalone mode, and the guide's requests.
//!
//! ports, example ─▶ Fleet ─▶ signalbox standalone ─ ready ─▶ each request: shown, run, explained ─▶ until Ctrl-C

use std::{
    io::{self, IsTerminal, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use integration_tests::{
    simulator::{Fleet, config},
    stack::{Directory, EXAMPLE, Process, binaries},
};
use tokio::{signal::unix::SignalKind, sync::mpsc};

/// Runs the guide "serve multiple generative AI models" on this machine.
#[derive(Parser)]
struct Arguments {
    /// Ends after the requests instead of running until Ctrl-C.
    #[arg(long)]
    once: bool,
}

/// The address that the example's Gateway asks for.
const ADDRESS: &str = "127.0.0.10";
/// Where it listens when port 80 needs a privilege that this user does not have.
const UNPRIVILEGED: u16 = 8080;
const START: Duration = Duration::from_secs(60);

/// A request of the guide: what is asked of the shell, and what to look at in the answer.
struct Step {
    arguments: &'static str,
    expect: &'static str,
}

const STEPS: &[Step] = &[
    Step {
        arguments: r#"-i $HOST/v1/completions -H 'Content-Type: application/json' -d '{"model": "chatbot", "prompt": "What is the color of the sky", "max_tokens": 100, "temperature": 0}'"#,
        expect: "A Gemma 3 endpoint answers: x-inference-pod is one of gemma3-0 to gemma3-2.",
    },
    Step {
        arguments: r#"-i $HOST/v1/completions -H 'Content-Type: application/json' -d '{"model": "recommender", "prompt": "Give me restaurant recommendations in Paris", "max_tokens": 100, "temperature": 0}'"#,
        expect: "A DeepSeek-R1 endpoint answers: x-inference-pod is deepseek-r1-0 or deepseek-r1-1.",
    },
    Step {
        arguments: r#"-N $HOST/v1/chat/completions -H 'Content-Type: application/json' -H 'x-gateway-inference-objective: critical' -d '{"model": "chatbot", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 20, "stream": true}'"#,
        expect: "Tokens arrive one by one, as the simulated L4 makes them: about 22 a second.",
    },
    Step {
        arguments: "$HOST/v1/models",
        expect: "The models that the routes serve: chatbot and recommender.",
    },
    Step {
        arguments: r#"-i $HOST/v1/completions -H 'Content-Type: application/json' -d '{"model": "gpt-5", "prompt": "hello"}'"#,
        expect: "404 in the OpenAI error shape; it names the models that exist.",
    },
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // One thread: what it starts ends with it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = root.join(EXAMPLE).canonicalize().with_context(|| format!("{EXAMPLE} is not there"))?;
    let pods = config::read_pods(&example.join("simulator/pods.conf"))?;
    say(&format!("Starting {} simulated model servers ...\n", pods.len()))?;
    let fleet = Fleet::start(pods).await.context("is another demo running?")?;

    // Signalbox writes into a directory of its own, so that the example stays as it is.
    let scratch = Directory::new()?;
    let manifests = manifests(example, &scratch)?;
    let run_dir = scratch.scratch().join("run");
    let envoy = integration_tests::envoy::binary()?;
    let texts: Vec<_> =
        [&manifests, &run_dir, &envoy].iter().map(|path| path.display().to_string()).collect();
    say(&format!("Starting signalbox standalone {} ...\n", texts[0]))?;
    let command = ["standalone", &texts[0], "--run-dir", &texts[1], "--envoy", &texts[2]];
    let log = scratch.scratch().join("signalbox.log");
    let mut signalbox = Process::spawn("signalbox", &binaries::named("signalbox")?, &command, log)?;
    let (address, _) = signalbox.wait_for("ready http://", 0, START).await?;
    say(&format!(
        "\nThe gateway is ready on http://{address}\n  manifests  {}   (edit them, Signalbox follows)\n  \
         state      signalbox status --run-dir {}\n",
        texts[0], texts[1]
    ))?;

    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = walk(address.trim(), arguments.once) => done?,
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        ended = signalbox.wait(Duration::MAX) => anyhow::bail!("signalbox ended: {}\n{}", ended?, signalbox.tail(20)),
    }
    say("\nStopping ...\n")?;
    ensure!(signalbox.terminate(Duration::from_secs(30)).await?.success(), "signalbox did not end cleanly");
    fleet.stop().await;
    say("All processes have ended.\n")
}

fn signal(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(kind).context("signals cannot be heard")
}

/// The example itself; where port 80 may not be bound, a copy with another port.
fn manifests(example: PathBuf, scratch: &Directory) -> Result<PathBuf> {
    let address: SocketAddr = format!("{ADDRESS}:80").parse()?;
    match TcpListener::bind(address) {
        Ok(_) => return Ok(example),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(error).with_context(|| format!("{address} cannot be used")),
    }
    say(&format!("Port 80 needs a privilege here: the Gateway listens on port {UNPRIVILEGED} instead.\n"))?;
    for entry in std::fs::read_dir(example)? {
        let path = entry?.path();
        if let Some(name) =
            path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".yaml"))
        {
            scratch.write(name, &std::fs::read_to_string(&path)?)?;
        }
    }
    scratch.replace("gateway.yaml", "port: 80\n", &format!("port: {UNPRIVILEGED}\n"))?;
    Ok(scratch.path().to_owned())
}

/// Shows and runs the requests; then waits, unless it is to end.
async fn walk(host: &str, once: bool) -> Result<()> {
    let interactive = io::stdin().is_terminal() && !once;
    let mut lines = if interactive { typed() } else { mpsc::channel(1).1 };
    for step in STEPS {
        say(&format!("\n$ curl {}\n  # {}\n", step.arguments.replace("$HOST", host), step.expect))?;
        if interactive {
            say("  [Enter runs it] ")?;
            if lines.recv().await.is_none() {
                break;
            }
        }
        let (program, host) = (format!("curl -sS {}", step.arguments), host.to_owned());
        let status = tokio::task::spawn_blocking(move || {
            Command::new("sh").args(["-c", &program]).env("HOST", host).status()
        });
        let status = status.await?.context("sh does not run")?;
        ensure!(status.success(), "curl ended with {status}");
        say("\n")?;
    }
    if !once {
        say("\nThe gateway keeps running. Ctrl-C ends it.\n")?;
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Lines from standard input. A thread of its own reads them: reading cannot be interrupted, and must not hold up the
/// end.
fn typed() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output is closed")
}
