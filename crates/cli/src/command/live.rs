//! `rescind config check --live`: what only the servers themselves can say.
//!
//! They are asked by the same gateway that `up` would start, over a record in memory that nobody
//! sees: nothing of it is kept.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use engine::access::Access;
use engine::live::{Options, Recorder};
use engine::{Engine, SystemClock};
use gateway::Gateway;
use ledger::SystemEntropy;
use store::MemoryStore;

use crate::config::{Config, Finding, Path, Read, Source};
use crate::failure::Failure;

use super::up;

/// How long a server has to answer: programs are started first.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long what is under way may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks every MCP server for its tools, and returns what is wrong.
pub(super) async fn check(read: &Read, config: &Config) -> Result<Vec<Finding>, Failure> {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::new()));
    let engine = Engine::start(Arc::new(MemoryStore::default()), clock, entropy).await?;
    let recording = Options {
        catalogue: up::catalogue(config)?,
        ..Options::default()
    };
    let recorder = Recorder::start(engine, None, recording).await?;
    let options = up::carrying(config, &read.environment)?;
    let gateway = Gateway::new(recorder.clone(), Access::default(), options)
        .map_err(|error| Failure::new(error.to_string()))?;
    let file = config.tools.as_deref().map(FilePath::display);
    let file: Arc<str> = file
        .map_or_else(String::new, |file| file.to_string())
        .into();
    let mut findings = Vec::new();
    for name in config.mcp.keys() {
        let asked = tokio::time::timeout(ANSWER_MAX, gateway.misfits(name)).await;
        let wrong = match asked {
            Ok(Ok(misfits)) => {
                findings.extend(misfits.into_iter().map(|misfit| {
                    let source = Source::File {
                        name: Arc::clone(&file),
                        line: misfit.line,
                        column: misfit.column,
                    };
                    Finding::error(&source, misfit.what).hint(misfit.hint)
                }));
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", ANSWER_MAX.as_secs()),
        };
        let at = Path::keys(&["mcp", name]);
        let what = format!("`{at}` does not list its tools: {wrong}");
        let hint = "see that the server is up, and lets us in";
        let source = read.settings.source(&at);
        findings.push(Finding::error(&source, what).on(&at).hint(hint));
    }
    gateway.stop();
    recorder.stop(PATIENCE).await?;
    Ok(findings)
}
