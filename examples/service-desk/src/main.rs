//! `service-desk`: the desk as a program that an MCP client, or a gateway before it, starts.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use service_desk::{Desk, Rights};

/// Serves a desk's tools over MCP on standard input and output.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The database; created where it is missing.
    #[arg(long, value_name = "FILE")]
    database: PathBuf,
    /// Fill an empty database from a folder with orders, users and products.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["airline", "seed"])]
    retail: Option<PathBuf>,
    /// Fill an empty database from a folder with reservations, users and flights.
    #[arg(long, value_name = "DIR", conflicts_with = "seed")]
    airline: Option<PathBuf>,
    /// Fill an empty database with the small shop that is built in.
    #[arg(long)]
    seed: bool,
    /// Offer the operators' tools too: reading, restoring and deleting any record.
    #[arg(long)]
    operator: bool,
    /// Let writes take an idempotency key.
    #[arg(long)]
    keys: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program says why it ends")]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let mut desk = Desk::open(&options.database)
        .with_context(|| format!("database `{}`", options.database.display()))?;
    if desk.domain()?.is_none() {
        if let Some(folder) = &options.retail {
            desk.load_retail(folder)?;
        } else if let Some(folder) = &options.airline {
            desk.load_airline(folder)?;
        } else if options.seed {
            desk.seed()?;
        }
    }
    let rights = Rights {
        operator: options.operator,
        keys: options.keys,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(service_desk::serve_stdio(desk, rights))?;
    Ok(())
}
