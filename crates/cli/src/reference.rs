//! The reference documents, made from the code: commands, the schemas of their answers, the API.
//!
//! Printed as one JSON object of file name to text, which `cargo xtask reference` writes into
//! `docs/reference` and checks for drift.

use std::collections::BTreeMap;

use clap::CommandFactory;
use engine::prove::{Evidence, EvidenceReport};
use engine::undo::view::{PlanChangesView, PlanView, QuarantineView, RollbackView, RollbacksView};
use engine::view::{
    ApprovalsView, BlastView, CheckpointsView, ContextView, EraseView, GraphView, RuledView,
    RunsView, ToolsView, VerifiedView, WhyView,
};
use schemars::{JsonSchema, schema_for};

use crate::Answer;
use crate::args::Cli;
use crate::command::anew::ContinuedView;
use crate::command::config::{CheckedView, ShownView, TokenView};
use crate::command::demo::DemoView;
use crate::command::import::ImportedView;
use crate::command::look::ShowView;
use crate::command::prove::ProvedView;
use crate::command::tools::SuggestedView;
use crate::command::up::ListeningView;
use crate::command::upkeep::{KeysView, ReindexedView, RetainedView};
use crate::config::manual;
use crate::failure::Failure;
use crate::out::Out;

pub(crate) fn run(out: &Out) -> Result<Answer, Failure> {
    let mut files = BTreeMap::new();
    files.insert("commands.md".to_owned(), commands());
    files.insert("config.md".to_owned(), manual::page());
    files.insert("rescind.toml".to_owned(), manual::example());
    schema::<ListeningView>(&mut files, "up")?;
    schema::<DemoView>(&mut files, "demo")?;
    schema::<ImportedView>(&mut files, "import")?;
    schema::<RunsView>(&mut files, "runs")?;
    schema::<ShowView>(&mut files, "show")?;
    schema::<GraphView>(&mut files, "graph")?;
    schema::<BlastView>(&mut files, "blast")?;
    schema::<WhyView>(&mut files, "why")?;
    schema::<ToolsView>(&mut files, "tools")?;
    schema::<SuggestedView>(&mut files, "tools-suggest")?;
    schema::<ContextView>(&mut files, "context")?;
    schema::<CheckpointsView>(&mut files, "checkpoints")?;
    schema::<ApprovalsView>(&mut files, "approvals")?;
    schema::<RuledView>(&mut files, "approve")?;
    schema::<RuledView>(&mut files, "reject")?;
    schema::<RollbackView>(&mut files, "rollback")?;
    schema::<PlanView>(&mut files, "rollback-dry-run")?;
    schema::<PlanChangesView>(&mut files, "rollback-diff")?;
    schema::<RollbacksView>(&mut files, "rollbacks")?;
    schema::<QuarantineView>(&mut files, "quarantine")?;
    schema::<VerifiedView>(&mut files, "verify")?;
    schema::<EvidenceReport>(&mut files, "verify-evidence")?;
    schema::<ProvedView>(&mut files, "prove")?;
    schema::<Evidence>(&mut files, "evidence")?;
    schema::<ReindexedView>(&mut files, "reindex")?;
    schema::<EraseView>(&mut files, "erase")?;
    schema::<RetainedView>(&mut files, "retain")?;
    schema::<KeysView>(&mut files, "keys")?;
    schema::<ContinuedView>(&mut files, "continue")?;
    schema::<CheckedView>(&mut files, "config-check")?;
    schema::<ShownView>(&mut files, "config-show")?;
    schema::<TokenView>(&mut files, "config-token")?;
    let mut api = serde_json::to_string_pretty(&server::openapi())?;
    api.push('\n');
    files.insert("openapi.json".to_owned(), api);
    out.json_object(&files)?;
    Ok(Answer::Yes)
}

fn schema<T: JsonSchema>(
    files: &mut BTreeMap<String, String>,
    command: &str,
) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(&schema_for!(T))?;
    text.push('\n');
    files.insert(format!("{command}.schema.json"), text);
    Ok(())
}

fn commands() -> String {
    let mut text = String::from(
        "# Commands\n\nMade from the command line itself by `cargo xtask reference`. With `--json` \
         each command prints one object, whose schema lies beside this page as \
         `<command>.schema.json`; on failure the object is `{\"error\": …, \"hint\": …}`.\n",
    );
    let mut cli = Cli::command().term_width(96);
    cli.build();
    page(&mut text, &mut cli, "rescind");
    let names: Vec<String> = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        let Some(command) = cli.find_subcommand_mut(&name) else {
            continue;
        };
        page(&mut text, command, &format!("rescind {name}"));
    }
    text
}

fn page(text: &mut String, command: &mut clap::Command, name: &str) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let help = lines.join("\n");
    text.push_str(&format!(
        "\n## `{name}`\n\n```text\n{}\n```\n",
        help.trim_end()
    ));
}
