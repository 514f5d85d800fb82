//! `rescind context`: what agents believe.

use engine::view::{AgentContextView, ContextItemView, ContextView};

use crate::Answer;
use crate::args::Context;
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
