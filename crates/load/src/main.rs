//! The `rescind-load` command: an upstream, a relay, measurements, crashes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use load::keeper::Keeper;
use load::process::Process;
use load::upstream::{Options, Upstream};
use load::window::Schedule;
use load::{bench, crash, growth, relay, report, saturate};

/// Load and crashes on real processes of Rescind.
#[derive(Debug, Parser)]
#[command(name = "rescind-load")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve fixed answers until killed, and say where.
    Upstream {
        /// How long an answer takes to begin, in milliseconds.
        #[arg(long, default_value_t = 0)]
        delay_ms: u64,
        /// Pieces of a streamed answer.
        #[arg(long, default_value_t = 100)]
        chunks: usize,
    },
    /// Relay calls without a record of them until killed, and say where.
    Relay {
        /// The upstream.
        #[arg(long)]
        to: SocketAddr,
        /// Seal what is asked and answered, and keep it in this directory before it goes on.
        #[arg(long)]
        keep: Option<PathBuf>,
    },
    /// Measure what the gateway adds to calls.
    Bench(Bench),
    /// Find how many calls a second go through in time.
    Saturate(Saturate),
    /// Watch the gateway's memory at full load. A minute leaves some 400 MB in `--dir` meanwhile.
    Growth(Growth),
    /// Kill the gateway in the middle of calls and check its record.
    Crash(Crash),
}

/// What both tasks need.
#[derive(Debug, Args)]
struct On {
    /// The binary under test.
    #[arg(long, default_value = "target/release/rescind")]
    rescind: PathBuf,
    /// Directory on the disk that is written to; a temporary one is made in it.
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Bench {
    #[command(flatten)]
    on: On,
    /// Windows of each kind.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of a window of the open loop, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Calls a second in the open loop.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Connections in the open loop.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Calls in each window of histories and streams.
    #[arg(long, default_value_t = 200)]
    in_turn: usize,
}

#[derive(Debug, Args)]
struct Saturate {
    #[command(flatten)]
    on: On,
    /// Length of a window, in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Calls a second in the first window.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How much more calls each window has than the one before, in percent.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    step: u32,
    /// What all but one in a hundred calls may take, in milliseconds.
    #[arg(long, default_value_t = 10)]
    p99_ms: u64,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

#[derive(Debug, Args)]
struct Growth {
    #[command(flatten)]
    on: On,
    /// For how long.
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// Seconds between two looks at the memory.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Calls a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

#[derive(Debug, Args)]
struct Crash {
    #[command(flatten)]
    on: On,
    /// How often the gateway is killed.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Clients that call at once.
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// How long the upstream thinks, in milliseconds.
    #[arg(long, default_value_t = 20)]
    delay_ms: u64,
    /// Where the points of the kills are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let done = match task {
        Task::Upstream { delay_ms, chunks } => upstream(delay_ms, chunks),
        Task::Relay { to, keep } => relay_to(to, keep.as_deref()),
        Task::Bench(task) => measure(&task),
        Task::Saturate(task) => climb(&task),
        Task::Growth(task) => watch(&task),
        Task::Crash(task) => kill(&task),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn upstream(delay_ms: u64, chunks: usize) -> anyhow::Result<bool> {
    let upstream = Upstream::start(Options {
        delay: Duration::from_millis(delay_ms),
        chunks,
        remembers: false,
    })?;
    say(&format!(
        r#"{{"listening":"http://{}"}}"#,
        upstream.address()
    ));
    upstream.wait();
    Ok(true)
}

fn relay_to(to: SocketAddr, keep: Option<&Path>) -> anyhow::Result<bool> {
    let keeper = keep.map(Keeper::open).transpose()?;
    relay::run(to, keeper, |address| {
        say(&format!(r#"{{"listening":"http://{address}"}}"#));
    })?;
    Ok(true)
}

/// Starts an upstream, and a bare relay to it.
fn upstream_and_relay() -> anyhow::Result<(Process, Process)> {
    let upstream = Process::start(Command::new(std::env::current_exe()?).arg("upstream"))?;
    let relay = Process::start(&mut relay_command(&upstream)?)?;
    Ok((upstream, relay))
}

fn relay_command(upstream: &Process) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["relay", "--to", &upstream.address().to_string()]);
    Ok(command)
}

fn measure(task: &Bench) -> anyhow::Result<bool> {
    let (upstream, relay) = upstream_and_relay()?;
    let dir = temporary(&task.on.dir)?;
    let mut keeping = relay_command(&upstream)?;
    let keeping = Process::start(keeping.arg("--keep").arg(dir.path().join("keeper")))?;
    let relays = bench::Relays {
        bare: relay,
        keeping,
    };
    let plan = bench::Plan {
        rounds: task.rounds,
        lasts: Duration::from_secs(task.seconds),
        rate: task.rate,
        connections: task.connections,
        in_turn: task.in_turn,
    };
    let measured = bench::run(&task.on.rescind, &upstream, relays, dir.path(), plan, note)?;
    if task.on.json {
        say(&serde_json::to_string(&measured)?);
    } else {
        say(&report::measured(&measured));
    }
    Ok(true)
}

fn climb(task: &Saturate) -> anyhow::Result<bool> {
    let (upstream, relay) = upstream_and_relay()?;
    let dir = temporary(&task.on.dir)?;
    let plan = saturate::Plan {
        first: Schedule {
            rate: task.rate,
            lasts: Duration::from_secs(task.seconds),
            connections: task.connections,
        },
        step_percent: task.step,
        p99_max: Duration::from_millis(task.p99_ms),
    };
    let told = |name: &str, step: &saturate::Step| note(&report::step(name, step));
    let found = saturate::run(&task.on.rescind, &upstream, &relay, dir.path(), plan, told)?;
    if task.on.json {
        say(&serde_json::to_string(&found)?);
    } else {
        say(&report::saturated(&found));
    }
    Ok(true)
}

fn watch(task: &Growth) -> anyhow::Result<bool> {
    let own = std::env::current_exe()?;
    let upstream = Process::start(Command::new(own).arg("upstream"))?;
    let dir = temporary(&task.on.dir)?;
    let plan = growth::Plan {
        windows: (task.minutes * 60).div_ceil(task.every),
        schedule: Schedule {
            rate: task.rate,
            lasts: Duration::from_secs(task.every.into()),
            connections: task.connections,
        },
    };
    let grown = growth::run(&task.on.rescind, &upstream, dir.path(), plan, |moment| {
        note(&report::moment(moment));
    })?;
    if task.on.json {
        say(&serde_json::to_string(&grown)?);
    } else {
        say(&report::grown(&grown));
    }
    Ok(true)
}

fn kill(task: &Crash) -> anyhow::Result<bool> {
    let dir = temporary(&task.on.dir)?;
    let plan = crash::Plan {
        rounds: task.rounds,
        clients: task.clients,
        delay: Duration::from_millis(task.delay_ms),
        seed: task.seed,
    };
    let found = crash::run(&task.on.rescind, dir.path(), plan, |number, round| {
        note(&report::round(number, round));
    })?;
    if task.on.json {
        say(&serde_json::to_string(&found)?);
    } else {
        let word = if found.holds {
            "holds"
        } else {
            "does not hold"
        };
        say(&format!("the record {word} (seed {})", found.seed));
    }
    if !found.holds {
        note(&format!("the record is kept in {}", dir.keep().display()));
    }
    Ok(found.holds)
}

fn temporary(within: &Path) -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("load-")
        .tempdir_in(within)
        .with_context(|| format!("could not make a directory in {}", within.display()))
}

#[expect(clippy::print_stdout, reason = "a command prints")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a command says what it does")]
fn note(text: &str) {
    eprintln!("{text}");
}
