//! The `rescind` command.
//!
//! The only crate that reads the environment and prints. A command parses what was said, asks the
//! engine or the store, and prints one answer: text for people, or one JSON object.

mod args;
mod command;
mod config;
mod failure;
mod log;
mod out;
mod reference;
mod remote;
mod render;
mod session;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Color, Command, Global};
use crate::failure::Failure;
use crate::out::Out;
use crate::session::Session;

/// A call through the gateway allocates on several threads what others free, which the system's
/// allocator does under locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a command ended, where it could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done, or yes, or intact.
    Yes,
    /// No, or tampered.
    No,
}

/// Threads that carry calls, beside those of the store. Two that could do with one wake each other
/// all the time, so there is a second only where cores are left for it.
fn workers() -> usize {
    if store::worker::cores() > 2 { 2 } else { 1 }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; everything else is a mistake in the call.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let color = match cli.global.color {
        // https://no-color.org: set and not empty.
        Color::Auto => {
            let plain = config::Environment::read();
            let plain = plain.raw("NO_COLOR").is_some_and(|value| !value.is_empty());
            std::io::stdout().is_terminal() && !plain
        }
        Color::Always => true,
        Color::Never => false,
    };
    let out = Out::new(cli.global.json, color, cli.global.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            out::error(&format!("could not start: {error}"), None);
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(run(&out, &cli.global, cli.command)) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            out.fail(&failure);
            ExitCode::from(2)
        }
    }
}

async fn run(out: &Out, global: &Global, command: Command) -> Result<Answer, Failure> {
    let command = match command {
        Command::Config(args) => return command::config::run(out, global, &args.action).await,
        Command::Reference => return reference::run(out),
        Command::Up(args) => return command::up::run(out, global, &args).await,
        Command::Demo(args) => return command::demo::run(out, global, &args).await,
        Command::ServiceDesk(args) => return command::demo::desk(&args).await,
        command => command,
    };
    if global.url.is_some() && !command.can_ask() {
        return Err(
            Failure::new("this command works on the files, not on a running server").with_hint(
                "leave out `--url` and RESCIND_URL, and name the files with `--data-dir`",
            ),
        );
    }
    let command = match command {
        Command::Rollback(args) => return command::rollback::run(out, global, &args).await,
        Command::Rollbacks => return command::rollback::list(out, global).await,
        Command::Quarantine(args) => {
            return command::rollback::quarantine(out, global, &args).await;
        }
        Command::Release(args) => return command::rollback::release(out, global, &args).await,
        command => command,
    };
    let session = &Session::new(*out, global)?;
    match command {
        Command::Import(args) => command::import::run(session, args).await,
        Command::Runs(args) => command::look::runs(session, &args).await,
        Command::Show(args) => command::look::show(session, &args).await,
        Command::Graph(args) => command::graph::run(session, &args).await,
        Command::Blast(args) => command::look::blast(session, &args).await,
        Command::Why(args) => command::look::why(session, &args).await,
        Command::Tools(args) => command::tools::run(session, &args).await,
        Command::Approvals => command::approvals::list(session).await,
        Command::Approve(args) => {
            command::approvals::rule(session, &args.id, &args.verdict, true).await
        }
        Command::Reject(args) => {
            command::approvals::rule(session, &args.id, &args.verdict, false).await
        }
        Command::Checkpoints(args) => command::minds::checkpoints(session, &args).await,
        Command::Context(args) => command::minds::context(session, &args).await,
        Command::Verify(args) => command::verify::run(session, &args).await,
        Command::Prove(args) => command::prove::run(session, &args).await,
        Command::Reindex => command::upkeep::reindex(session).await,
        Command::Erase(args) => command::upkeep::erase(session, &args).await,
        Command::Retain(args) => command::upkeep::retain(session, &args).await,
        Command::Keys(args) => command::upkeep::keys(session, &args).await,
        Command::Continue(args) => command::anew::run(session, &args).await,
        // Answered above: these read the configuration themselves.
        Command::Config(_)
        | Command::Reference
        | Command::Up(_)
        | Command::Demo(_)
        | Command::ServiceDesk(_)
        | Command::Rollback(_)
        | Command::Rollbacks
        | Command::Quarantine(_)
        | Command::Release(_) => Ok(Answer::Yes),
    }
}
