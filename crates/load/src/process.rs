//! Processes: the gateway and the upstream as they are run, and what the system says of them.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::machine::now;

/// The path of chat calls at the upstream.
pub const DIRECT: &str = "/v1/chat/completions";

/// The same call through the gateway.
pub const THROUGH: &str = "/openai/v1/chat/completions";

/// A server that said where it listens. Killed if it is dropped while it runs.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
    /// When it was started.
    started: Instant,
}

impl Process {
    /// Starts a command that prints `{"listening":"http://…"}` as its first line.
    ///
    /// # Errors
    /// It does not start, or says something else.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Line {
            listening: String,
        }
        let started = now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start {command:?}"))?;
        let mut line = String::new();
        let out = child.stdout.take().context("it has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let Ok(Line { listening }) = serde_json::from_str(&line) else {
            let _ = child.kill();
            let ended = child.wait()?;
            bail!("{command:?} said {line:?} instead of where it listens, and ended with {ended}");
        };
        let address = listening.trim_start_matches("http://").parse()?;
        Ok(Self {
            child,
            address,
            started,
        })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when it was started.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Ends it as a loss of the process does: nothing of it runs any more.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(mut self) -> std::io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// The system refuses.
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("it has no id")?, Signal::TERM)?;
        Ok(self.child.wait()?)
    }

    /// Returns the processor time that it has used, all threads together.
    ///
    /// # Errors
    /// It runs no more.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name of the command may hold anything, and ends with the last parenthesis.
        let (_, rest) = stat.rsplit_once(')').context("no such process")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: u64 = fields
            .get(11..13)
            .context("the system says less than it should")?
            .iter()
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
    }

    /// Returns the memory that it holds, in bytes.
    ///
    /// # Errors
    /// It runs no more.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|line| line.trim().strip_suffix("kB"))
            .and_then(|kib| kib.trim().parse::<u64>().ok())
            .context("the system does not say")?;
        Ok(kib * 1_024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a gateway has its record and its configuration.
#[derive(Clone, Debug)]
pub struct Home {
    binary: PathBuf,
    dir: PathBuf,
}

impl Home {
    /// Makes a home in an empty directory, for a gateway before `upstream`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn make(
        binary: &Path,
        dir: &Path,
        upstream: SocketAddr,
        durability: &str,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let text = format!(
            "[upstreams.openai]\nurl = \"http://{upstream}/v1\"\n\n\
             [record]\ndurability = \"{durability}\"\n"
        );
        std::fs::write(dir.join("rescind.toml"), text)?;
        Ok(Self {
            binary: std::path::absolute(binary)?,
            dir: std::path::absolute(dir)?,
        })
    }

    /// Returns the directory of the record.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Returns a command of the binary, for this record.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.dir)
            .args(arguments)
            .args(["--config", "rescind.toml", "--data-dir", "data"])
            .args(["--witness-dir", "witness"])
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    /// Starts the gateway on a free port.
    ///
    /// # Errors
    /// It does not start.
    pub fn up(&self) -> anyhow::Result<Process> {
        Process::start(
            self.command(&["up", "--listen", "127.0.0.1:0", "--json"])
                .stderr(Stdio::null()),
        )
    }

    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// It says that something is wrong.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = self.command(arguments).output()?;
        if !output.status.success() {
            bail!(
                "`rescind {}` ended with {}: {}{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}
