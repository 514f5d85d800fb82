//! `rescind runs`, `show`, `blast`, `why`: look into the record.

use std::collections::HashSet;

use engine::look::{Named, first_line};
use engine::undo::view::State;
use engine::view::{BlastView, DecisionView, NodeView, ReachedView, RunView, RunsView, WhyView};
use ledger::Page;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Answer;
use crate::args::{Blast, Runs, Show, Why};
use crate::failure::Failure;
use crate::out::{Out, Paint, clean, clean_block, fit, short};
use crate::remote::Remote;
use crate::render::label;
use crate::session::Session;

/// How many characters of a value are shown.
const VALUE_WIDTH: usize = 60;

/// What `show` answers: a run with its decisions, a decision, or a difference.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ShowView {
    /// A run.
    Run(Box<RunDetail>),
    /// A decision.
    Decision(Box<DecisionView>),
    /// How the environments of two decisions differ.
    Difference(DifferenceView),
}

/// A run with its decisions.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunDetail {
    /// The run.
    #[serde(flatten)]
    run: RunView,
    /// Its decisions, in the order of the log.
    steps: Vec<NodeView>,
    /// Whether there are more decisions.
    more: bool,
}

/// How the environments of two decisions differ.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DifferenceView {
    /// The first decision.
    before: String,
    /// The second decision.
    after: String,
    /// What differs, by name.
    changes: Vec<ChangeView>,
}

/// One difference.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChangeView {
    /// The dotted name, such as `model.name`.
    name: String,
    /// The value of the first; absent if it has none.
    before: Option<String>,
    /// The value of the second; absent if it has none.
    after: Option<String>,
}

pub(crate) async fn runs(session: &Session, args: &Runs) -> Result<Answer, Failure> {
    let page = Page {
        skip: args.skip,
        limit: args.limit,
    };
    let runs = match session.remote() {
        Some(remote) => remote.runs(page).await?,
        None => session.read().await?.runs(page).await?,
    };
    session.out.answer(&runs, |out| runs_text(out, &runs))?;
    Ok(Answer::Yes)
}

fn runs_text(out: &Out, runs: &RunsView) -> String {
    if runs.runs.is_empty() {
        return "there are no runs in the record\n".to_owned();
    }
    let [run, recorded] = [fit("RUN", 10), fit("RECORDED", 20)];
    let head = format!("{run} {recorded} DECISIONS {} SOURCE\n", fit("AGENTS", 32));
    let mut text = out.paint(Paint::Bold, head);
    for run in &runs.runs {
        let whole = if run.whole { "" } else { " (broken off)" };
        let source = [
            run.format.as_deref(),
            run.part.as_deref(),
            run.external.as_deref(),
        ];
        let source: Vec<&str> = source.into_iter().flatten().collect();
        let recorded: String = run.recorded.chars().take(19).collect();
        text.push_str(&format!(
            "{} {} {:>9} {} {}{whole}\n",
            out.paint(Paint::Yellow, short(&run.id)),
            fit(&recorded, 20),
            run.decisions,
            clean(&fit(&run.agents.join(", "), 32)),
            clean(&source.join(" "))
        ));
    }
    if runs.more {
        let next = runs.skipped + runs.runs.len() as u64;
        text.push_str(&out.paint(Paint::Dim, format!("there are more: `--skip {next}`\n")));
    }
    text
}

pub(crate) async fn show(session: &Session, args: &Show) -> Result<Answer, Failure> {
    let out = &session.out;
    if let Some(remote) = session.remote() {
        return show_remote(session, remote, args).await;
    }
    let engine = session.read().await?;
    if let Some(against) = &args.against {
        let before = engine.resolve_decision(&args.id).await?;
        let after = engine.resolve_decision(against).await?;
        let earlier = engine.environment(before).await?;
        let changes = earlier.diff(&engine.environment(after).await?);
        let changes = changes
            .into_iter()
            .map(|c| ChangeView {
                name: c.name,
                before: c.before,
                after: c.after,
            })
            .collect();
        let view = DifferenceView {
            before: before.to_string(),
            after: after.to_string(),
            changes,
        };
        let text = difference_text(&view);
        out.answer(&ShowView::Difference(view), |_| text)?;
        return Ok(Answer::Yes);
    }
    match engine.resolve(&args.id).await? {
        Named::Decision(id) => {
            let decision = engine.decision(id).await?;
            let text = decision_text(out, &decision);
            out.answer(&ShowView::Decision(Box::new(decision)), |_| text)?;
        }
        Named::Run(run) => {
            let view = engine.run(run).await?;
            let graph = engine.graph(Named::Run(run), args.limit).await?;
            let detail = RunDetail {
                run: view,
                steps: graph.nodes,
                more: graph.cut,
            };
            let text = run_text(out, &detail);
            out.answer(&ShowView::Run(Box::new(detail)), |_| text)?;
        }
        Named::Subject(subject) => {
            let message = format!("`{subject}` is a subject, whose content is not shown");
            return Err(Failure::new(message).with_hint("give a run or a decision"));
        }
    }
    Ok(Answer::Yes)
}

async fn show_remote(session: &Session, remote: &Remote, args: &Show) -> Result<Answer, Failure> {
    let out = &session.out;
    if args.against.is_some() {
        return Err(Failure::new("`--against` compares on the files only")
            .with_hint("leave out `--url`, and name the files with `--data-dir`"));
    }
    if let Some(decision) = remote.decision(&args.id).await? {
        let text = decision_text(out, &decision);
        out.answer(&ShowView::Decision(Box::new(decision)), |_| text)?;
        return Ok(Answer::Yes);
    }
    let run = remote.run(&args.id).await?;
    let steps = remote.steps(&args.id, args.limit).await?;
    let detail = RunDetail {
        run,
        steps: steps.steps,
        more: steps.more,
    };
    let text = run_text(out, &detail);
    out.answer(&ShowView::Run(Box::new(detail)), |_| text)?;
    Ok(Answer::Yes)
}

fn difference_text(view: &DifferenceView) -> String {
    if view.changes.is_empty() {
        return "the environments do not differ\n".to_owned();
    }
    let value = |value: &Option<String>| {
        value
            .as_ref()
            .map_or_else(|| "(none)".to_owned(), |text| first_line(text, VALUE_WIDTH))
    };
    let mut text = String::new();
    for change in &view.changes {
        let (before, after) = (value(&change.before), value(&change.after));
        text.push_str(&clean(&format!("{}: {before} → {after}", change.name)));
        text.push('\n');
    }
    text
}

fn run_text(out: &Out, detail: &RunDetail) -> String {
    let run = &detail.run;
    let mut lines = Lines::new(out, 10);
    lines.add("run", &run.id);
    lines.add("title", run.title.as_deref().unwrap_or_default());
    lines.add("source", run.external.as_deref().unwrap_or_default());
    lines.add("format", run.format.as_deref().unwrap_or_default());
    lines.add("part", run.part.as_deref().unwrap_or_default());
    lines.add("recorded", &run.recorded);
    lines.add("subject", &run.subject);
    lines.add("agents", &run.agents.join(", "));
    if !run.whole {
        lines.add("import", "broken off; import the file again to complete it");
    }
    let mut text = lines.text;
    for (number, node) in (1..).zip(&detail.steps) {
        let number = out.paint(Paint::Dim, format!("{number:>4}"));
        text.push_str(&format!("{number} {}\n", label(out, node)));
    }
    if detail.more {
        text.push_str(&out.paint(Paint::Dim, "there are more: see `--limit`\n"));
    }
    text
}

fn decision_text(out: &Out, decision: &DecisionView) -> String {
    let node = &decision.node;
    let version = decision
        .agent_version
        .as_deref()
        .map_or(String::new(), |v| format!(" ({v})"));
    let mut lines = Lines::new(out, 12);
    lines.add("decision", &node.id);
    lines.add("run", &node.run);
    lines.add("agent", &format!("{}{version}", node.agent));
    lines.add("kind", &node.kind);
    lines.add("name", node.name.as_deref().unwrap_or_default());
    lines.add("server", decision.server.as_deref().unwrap_or_default());
    if let Some(class) = &decision.class {
        let by = decision.class_by.as_deref();
        let by = by.map_or("", words_for_source);
        lines.add("effect", &format!("{class}{by}"));
    }
    lines.add("status", &node.status);
    lines.add("outcome", &decision.outcome);
    lines.add("provenance", &node.known);
    lines.add("started", node.started.as_deref().unwrap_or_default());
    lines.add("ended", decision.ended.as_deref().unwrap_or_default());
    lines.add("source", decision.source.as_deref().unwrap_or_default());
    if let Some(policy) = &decision.policy {
        let enforced = &policy.enforced;
        let verdict = format!("verdict {}, enforced {enforced}", policy.verdict);
        lines.add(
            "policy",
            &format!("{} {}: {verdict}", policy.id, policy.version),
        );
    }
    for approval in &decision.approvals {
        lines.add(
            "approval",
            &format!("{} saw {}", approval.by, approval.shown),
        );
    }
    lines.add(
        "environment",
        decision.environment.as_deref().unwrap_or_default(),
    );
    for cause in &decision.causes {
        let agent = cause.agent.as_deref().unwrap_or("?");
        let (kind, strength) = (&cause.kind, &cause.strength);
        let said = format!("{} {agent}: {kind}, {strength}", short(&cause.decision));
        lines.add("cause", &format!("{said} ({})", cause.evidence));
    }
    for edge in &decision.effects {
        let (kind, strength) = (&edge.kind, &edge.strength);
        lines.add(
            "led to",
            &format!("{}: {kind}, {strength}", short(&edge.effect)),
        );
    }
    for event in &decision.events {
        lines.add(
            "entry",
            &format!("{} {} at {}", event.index, event.what, event.at),
        );
    }
    if let Some(account) = &decision.account {
        lines.add("known", &account.known.join(", "));
        lines.add("partly", &account.partly.join(", "));
        lines.add("unknowable", &account.unknowable.join(", "));
    }
    let mut text = lines.text;
    for content in &decision.contents {
        let state = if content.state == "kept" {
            ""
        } else {
            content.state.as_str()
        };
        let head = format!("{} {} bytes {state}", content.field, content.bytes);
        text.push_str(&format!("\n{}\n", out.paint(Paint::Bold, head.trim_end())));
        if let Some(content) = &content.text {
            text.push_str(&clean_block(content));
            text.push('\n');
        }
    }
    text
}

/// Who said how an effect can be taken back, behind the class.
fn words_for_source(by: &str) -> &'static str {
    match by {
        "catalogue" => " (the catalogue says so)",
        "metadata" => " (its server names a tool that compensates)",
        "annotations" => " (its server's annotations say so)",
        "nobody" => " (nobody said how it can be taken back)",
        _ => "",
    }
}

/// Lines of a name and a value; empty values are left out.
struct Lines<'a> {
    out: &'a Out,
    width: usize,
    text: String,
}

impl<'a> Lines<'a> {
    fn new(out: &'a Out, width: usize) -> Self {
        Self {
            out,
            width,
            text: String::new(),
        }
    }

    fn add(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let value = clean(value);
        let value = if name == "status" {
            self.out.status(&value)
        } else {
            value.into_owned()
        };
        let name = self.out.paint(Paint::Dim, fit(name, self.width));
        self.text.push_str(&format!("{name} {value}\n"));
    }
}

pub(crate) async fn blast(session: &Session, args: &Blast) -> Result<Answer, Failure> {
    let blast = match session.remote() {
        Some(remote) => remote.blast(&args.id, args.limit).await?,
        None => {
            let engine = session.read().await?;
            let id = engine.resolve_decision(&args.id).await?;
            engine.blast(id, args.limit).await?
        }
    };
    session.out.answer(&blast, |out| blast_text(out, &blast))?;
    Ok(Answer::Yes)
}

pub(super) fn blast_text(out: &Out, blast: &BlastView) -> String {
    let mut text = format!("{}\n", label(out, &blast.of));
    let mut ring = |title: String, ring: &[ReachedView]| {
        text.push_str(&format!("\n{}\n", out.paint(Paint::Bold, title)));
        for reached in ring {
            text.push_str(&reached_line(out, reached));
        }
    };
    ring(
        format!("certainly followed: {}", blast.certain.len()),
        &blast.certain,
    );
    ring(
        format!("possibly followed: {}", blast.possible.len()),
        &blast.possible,
    );
    text.push_str(&recovery_text(out, blast));
    if blast.cut {
        text.push_str("there are more: see `--limit`\n");
    }
    if blast.agents.len() > 1 {
        let agents = blast.agents.join(", ");
        text.push_str(&format!(
            "\nacross {} agents: {}\n",
            blast.agents.len(),
            clean(&agents)
        ));
    }
    text
}

fn reached_line(out: &Out, reached: &ReachedView) -> String {
    let via = reached.via.as_ref().map_or(String::new(), |via| {
        out.paint(
            Paint::Dim,
            format!("  ⇠ {} {}", via.kind, short(&via.cause)),
        )
    });
    let distance = out.paint(Paint::Dim, format!("{:>3}", reached.distance));
    format!("{distance} {}{via}\n", label(out, &reached.node))
}

/// What was done about it: a rollback is one line, whatever it took.
fn recovery_text(out: &Out, blast: &BlastView) -> String {
    if blast.recovery.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", out.paint(Paint::Bold, "done about it"));
    let mut told: HashSet<&str> = HashSet::new();
    for rollback in &blast.rollbacks {
        let its = blast.recovery.iter().find(|r| r.node.id == rollback.id);
        told.extend(its.map(|its| its.node.run.as_str()));
        let (verb, state) = match rollback.state {
            State::Succeeded => ("undone by ", String::new()),
            state => ("", format!("{}, ", state.name())),
        };
        let (done, all) = rollback.done;
        let id = short(&rollback.id);
        text.push_str(&format!(
            "{verb}rollback {id}: {state}{done} of {all} steps; see `rescind rollback show {id}`\n"
        ));
    }
    let others = blast.recovery.iter();
    for reached in others.filter(|reached| !told.contains(reached.node.run.as_str())) {
        text.push_str(&reached_line(out, reached));
    }
    text
}

pub(crate) async fn why(session: &Session, args: &Why) -> Result<Answer, Failure> {
    let why = match session.remote() {
        Some(remote) => remote.why(&args.earlier, &args.later).await?,
        None => {
            let engine = session.read().await?;
            let earlier = engine.resolve_decision(&args.earlier).await?;
            let later = engine.resolve_decision(&args.later).await?;
            engine.why(earlier, later).await?
        }
    };
    session.out.answer(&why, |out| why_text(out, &why))?;
    Ok(if why.depends { Answer::Yes } else { Answer::No })
}

fn why_text(out: &Out, why: &WhyView) -> String {
    let mut text = format!("{}\n", label(out, &why.from));
    if !why.depends {
        let to = label(out, &why.to);
        text.push_str(&format!(
            "{to}\n\nthe second does not depend on the first\n"
        ));
        return text;
    }
    for link in &why.chain {
        let carried = link.carried.as_deref().map_or(String::new(), |carried| {
            format!(": `{}`", first_line(carried, VALUE_WIDTH))
        });
        let (kind, strength) = (&link.edge.kind, &link.edge.strength);
        let how = format!("  ↓ {kind}, {strength}: {}{carried}", link.evidence);
        text.push_str(&format!("{}\n", out.paint(Paint::Dim, clean(&how))));
        text.push_str(&format!("{}\n", label(out, &link.node)));
    }
    text
}
