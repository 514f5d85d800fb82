//! `rescind approvals`, `approve`, `reject`: decide about calls that wait for a person.

use engine::Ruling;
use engine::view::{ApprovalsView, HeldView, RuledView};
use model::Digest;

use crate::Answer;
use crate::args::Verdict;
use crate::failure::Failure;
use crate::out::{Out, Paint, clean, fit, short};
use crate::remote::Remote;
use crate::session::{Session, Writes};

/// How many characters of a call are shown.
const CALL_WIDTH: usize = 100;

pub(crate) async fn list(session: &Session) -> Result<Answer, Failure> {
    let view = match session.remote() {
        Some(remote) => remote.approvals().await?,
        None => session.read().await?.approvals().await?,
    };
    session.out.answer(&view, |out| text(out, &view))?;
    Ok(Answer::Yes)
}

pub(crate) async fn rule(
    session: &Session,
    id: &str,
    verdict: &Verdict,
    approve: bool,
) -> Result<Answer, Failure> {
    let (held, ruled) = match session.remote() {
        Some(remote) => at_server(remote, id, verdict, approve).await?,
        // Who waits is in the process that has the record open, so that is asked.
        None => match session.writes().await? {
            Writes::Server(remote) => at_server(&remote, id, verdict, approve).await?,
            Writes::Here(engine) => {
                let ruled = at_files(&engine, id, verdict, approve).await;
                engine.store().close().await?;
                ruled?
            }
        },
    };
    session.out.answer(&ruled, |out| {
        let what = what(&held);
        match &ruled.until {
            Some(until) => format!(
                "{}: {what}\nit may begin until {until}, once\n",
                out.paint(Paint::Green, "approved")
            ),
            None => format!("{}: {what}\n", out.paint(Paint::Red, "rejected")),
        }
    })?;
    Ok(Answer::Yes)
}

async fn at_server(
    remote: &Remote,
    id: &str,
    verdict: &Verdict,
    approve: bool,
) -> Result<(HeldView, RuledView), Failure> {
    let held = find(remote.approvals().await?, id)?;
    let (by, reason) = (verdict.by.as_deref(), verdict.reason.as_deref());
    let ruled = remote.rule(&held, approve, by, reason).await?;
    Ok((held, ruled))
}

async fn at_files(
    engine: &engine::Engine,
    id: &str,
    verdict: &Verdict,
    approve: bool,
) -> Result<(HeldView, RuledView), Failure> {
    let held = find(engine.approvals().await?, id)?;
    let broken = |_| Failure::new("the record lists a call that has no digest");
    let ruling = Ruling {
        approve,
        by: verdict.by.clone().unwrap_or_else(|| "operator".to_owned()),
        known: false,
        reason: verdict.reason.clone(),
        shown: held.call.parse::<Digest>().map_err(broken)?,
    };
    let decision = engine.resolve_decision(&held.decision).await?;
    let ruled = engine.rule_on_files(decision, ruling).await?;
    Ok((held, ruled))
}

/// Finds the one call that an id names by its beginning or its end.
fn find(view: ApprovalsView, id: &str) -> Result<HeldView, Failure> {
    let bare = |id: &str| id.to_lowercase().replace('-', "");
    let wanted = bare(id);
    let fits = |held: &HeldView| {
        let decision = bare(&held.decision);
        !wanted.is_empty() && (decision.starts_with(&wanted) || decision.ends_with(&wanted))
    };
    let mut found: Vec<HeldView> = view.approvals.into_iter().filter(fits).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::new(format!("no call waits as `{id}`"))
            .with_hint("`rescind approvals` lists what waits")),
        _ => Err(
            Failure::new(format!("several calls that wait could be `{id}`"))
                .with_hint("give more of the id"),
        ),
    }
}

fn text(out: &Out, view: &ApprovalsView) -> String {
    if view.approvals.is_empty() {
        return "nothing waits for an approval\n".to_owned();
    }
    let [decision, until, status, agent] = [
        fit("DECISION", 10),
        fit("UNTIL", 20),
        fit("STATUS", 8),
        fit("AGENT", 16),
    ];
    let head = format!("{decision} {until} {status} {agent} CALL\n");
    let mut text = out.paint(Paint::Bold, head);
    for held in &view.approvals {
        let until: String = held.until.chars().take(19).collect();
        text.push_str(&format!(
            "{} {} {} {} {}\n",
            out.paint(Paint::Yellow, short(&held.decision)),
            fit(&until, 20),
            out.status(&fit(&held.status, 8)),
            clean(&fit(&held.agent, 16)),
            what(held),
        ));
    }
    let hint =
        "`rescind approve DECISION` lets a call begin, `rescind reject DECISION` refuses it\n";
    text.push_str(&out.paint(Paint::Dim, hint));
    text
}

/// A call in one line: the tool with its server, and the arguments.
fn what(held: &HeldView) -> String {
    let tool = held.tool.as_deref().unwrap_or("a tool");
    let server = held.server.as_deref();
    let named = server.map_or_else(|| tool.to_owned(), |server| format!("{server}/{tool}"));
    let class = held.class.as_deref().unwrap_or(&held.rule);
    let arguments = held.arguments.as_deref().unwrap_or("(arguments erased)");
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let line = format!("{named} {} ({class})", arguments.join(" "));
    let shown: String = line.chars().take(CALL_WIDTH).collect();
    let more = if shown.len() < line.len() { "…" } else { "" };
    format!("{}{more}", clean(&shown))
}
