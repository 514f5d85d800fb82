//! `rescind context`, `checkpoints`: what agents believe, and the states that they saved.

use engine::view::{AgentContextView, CheckpointsView, ContextItemView, ContextView};

use crate::Answer;
use crate::args::{Checkpoints, Context};
use crate::failure::Failure;
use crate::out::{Out, Paint, clean, clean_block, fit, short};
use crate::session::Session;
use engine::look::first_line;

/// How many characters of an item are shown.
const ITEM_WIDTH: usize = 88;

pub(crate) async fn context(session: &Session, args: &Context) -> Result<Answer, Failure> {
    let view = match session.remote() {
        Some(remote) => remote.context(&args.run).await?,
        None => {
            let engine = session.read().await?;
            let run = engine.resolve_run(&args.run).await?;
            engine.context(run).await?
        }
    };
    let all = args.all;
    session
        .out
        .answer(&view, |out| context_text(out, &view, all))?;
    Ok(Answer::Yes)
}

fn context_text(out: &Out, view: &ContextView, all: bool) -> String {
    if view.agents.is_empty() {
        return "no agent of this run has asked a model\n".to_owned();
    }
    let mut text = String::new();
    for agent in &view.agents {
        agent_text(out, agent, all, &mut text);
    }
    text
}

fn agent_text(out: &Out, agent: &AgentContextView, all: bool, text: &mut String) {
    let name = out.paint(Paint::Bold, clean(&agent.agent));
    let asked = out.paint(Paint::Yellow, short(&agent.decision));
    let state = match (&agent.api, agent.repaired) {
        (None, _) => "its history cannot be read",
        (Some(_), true) => "is sent corrections in the place of what was rescinded",
        (Some(_), false) => "is sent what it believes",
    };
    text.push_str(&format!("{name} (asked last in {asked}): {state}\n"));
    for item in &agent.items {
        item_text(out, item, all, text);
    }
    text.push('\n');
}

fn item_text(out: &Out, item: &ContextItemView, all: bool, text: &mut String) {
    let (at, role) = (fit(&item.at, 16), fit(&item.role, 10));
    let said = |said: &str| match all {
        true => clean_block(said).replace('\n', "\n                               "),
        false => clean(&first_line(said, ITEM_WIDTH)).into_owned(),
    };
    let Some(sent) = &item.sent else {
        let line = format!(
            "  {} {} {}\n",
            clean(&at),
            clean(&role),
            said(&item.believes)
        );
        text.push_str(&line);
        return;
    };
    let believes = out.paint(Paint::Dim, said(&item.believes));
    text.push_str(&format!("  {} {} {believes}\n", clean(&at), clean(&role)));
    text.push_str(&format!(
        "  {} {} {}\n",
        fit("", 16),
        fit("→ sent", 10),
        said(sent)
    ));
    for cut in &item.replaced {
        let of = out.paint(Paint::Yellow, short(&cut.decision));
        let what = out.paint(Paint::Dim, format!("{} of", cut.what));
        text.push_str(&format!("  {} {} {what} {of}\n", fit("", 16), fit("", 10)));
    }
}

pub(crate) async fn checkpoints(session: &Session, args: &Checkpoints) -> Result<Answer, Failure> {
    let view = match session.remote() {
        Some(remote) => remote.checkpoints(&args.run).await?,
        None => {
            let engine = session.read().await?;
            let run = engine.resolve_run(&args.run).await?;
            engine.saved_in(run).await?
        }
    };
    session
        .out
        .answer(&view, |out| checkpoints_text(out, &view))?;
    Ok(Answer::Yes)
}

fn checkpoints_text(out: &Out, view: &CheckpointsView) -> String {
    if view.checkpoints.is_empty() {
        return "no agent of this run has saved its state\n".to_owned();
    }
    let head = format!(
        "{} {} {} {} KEEPS\n",
        fit("CHECKPOINT", 10),
        fit("RECORDED", 20),
        fit("AGENT", 20),
        fit("STATE", 24)
    );
    let mut text = out.paint(Paint::Bold, head);
    for saved in &view.checkpoints {
        let recorded: String = saved.recorded.chars().take(19).collect();
        let state = match (saved.line, &*saved.content, &*saved.status) {
            (_, content, _) if content != "kept" => content,
            (true, ..) => "goes back to this",
            (false, _, "succeeded") => "whole",
            (false, _, status) => status,
        };
        text.push_str(&format!(
            "{} {} {} {} {}\n",
            out.paint(Paint::Yellow, short(&saved.id)),
            fit(&recorded, 20),
            clean(&fit(&saved.agent, 20)),
            fit(state, 24),
            clean(&saved.keep.join(" ")),
        ));
    }
    for awaits in &view.awaits {
        let state = match &awaits.checkpoint {
            Some(checkpoint) => format!("the state of {}", short(checkpoint)),
            None => "an empty state".to_owned(),
        };
        let agent = out.paint(Paint::Bold, clean(&awaits.agent));
        text.push_str(&format!(
            "\n{agent} remembers what was rescinded: {state} awaits it, `{}`\n",
            awaits.ask
        ));
    }
    text
}
