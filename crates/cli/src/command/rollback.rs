//! `rescind rollback`, `rollbacks`, `quarantine`, `release`: take decisions back.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};

use engine::Engine;
use engine::undo::view::{
    AffectedView, PlanChangeView, PlanChangesView, QuarantineView, QuarantinedView, RollbackView,
    RollbacksView, State, StepState,
};
use recover::Plan;

use crate::Answer;
use crate::args::{Global, Quarantine, Release, Rollback, RollbackAction};
use crate::failure::Failure;
use crate::out::{Out, clean, clean_block};
use crate::remote::Wanted;

use super::desk::{Desk, Look, step_word};

/// How often a plan that is outdated when it begins is made anew.
const PLANS_MAX: u32 = 3;

pub(crate) async fn run(out: &Out, global: &Global, args: &Rollback) -> Result<Answer, Failure> {
    if args.action.is_none() && args.ids == ["list"] {
        return Err(Failure::new("`list` is not the id of a decision")
            .with_hint("`rescind rollbacks` lists the rollbacks"));
    }
    match &args.action {
        None => at_desk(out, global, async |desk| roll_back(out, desk, args).await).await,
        Some(RollbackAction::Show { id }) => {
            let look = Look::open(out, global).await?;
            let view = look.one(id).await?;
            look.tell_who_goes_on(out, view.state)?;
            shown(out, Ok(view))
        }
        Some(RollbackAction::Diff { from, to }) => {
            let look = Look::open(out, global).await?;
            diff(out, &look, from, to).await
        }
        Some(RollbackAction::Approve { id, digest, by }) => {
            let approve = async |desk: &Desk| shown(out, desk.approve(out, id, digest, by).await);
            at_desk(out, global, approve).await
        }
        Some(RollbackAction::Reject { id, by }) => {
            at_desk(out, global, async |desk| {
                shown(out, desk.reject(id, by).await)
            })
            .await
        }
        Some(RollbackAction::Retry {
            id,
            by,
            happened,
            not_happened,
        }) => {
            let settled = found_out(happened, not_happened)?;
            at_desk(out, global, async |desk| {
                shown(out, desk.retry(id, by, &settled).await)
            })
            .await
        }
    }
}

/// What somebody found out about steps, by their numbers: whether each was carried out.
fn found_out(happened: &[u32], not_happened: &[u32]) -> Result<BTreeMap<u32, bool>, Failure> {
    if let Some(both) = happened.iter().find(|n| not_happened.contains(n)) {
        let what = format!("step {both} is said to have been carried out and not to have been");
        return Err(Failure::new(what));
    }
    let happened = happened.iter().map(|n| (*n, true));
    Ok(happened
        .chain(not_happened.iter().map(|n| (*n, false)))
        .collect())
}

/// Does something that the record and the tools are needed for, and closes both.
async fn at_desk(
    out: &Out,
    global: &Global,
    deed: impl AsyncFnOnce(&Desk) -> Result<Answer, Failure>,
) -> Result<Answer, Failure> {
    let desk = Desk::open(out, global).await?;
    let done = deed(&desk).await;
    desk.close().await?;
    done
}

pub(crate) async fn list(out: &Out, global: &Global) -> Result<Answer, Failure> {
    let look = Look::open(out, global).await?;
    let list: RollbacksView = match &look {
        Look::There(remote) => remote.rollbacks().await?,
        Look::Here(engine) => engine.rollbacks().await?,
    };
    if let Some(row) = list.rollbacks.iter().find(|row| row.state.goes_on()) {
        look.tell_who_goes_on(out, row.state)?;
    }
    out.answer(&list, |_| {
        if list.rollbacks.is_empty() {
            return "nothing was rolled back\n".to_owned();
        }
        let lines = list.rollbacks.iter().map(|row| {
            let (done, all) = row.done;
            let reason = row.reason.as_deref().unwrap_or("its plan cannot be read");
            let (state, reason) = (row.state.name(), clean(reason));
            let line = format!("{}  {state}  {done} of {all} steps  {reason}", row.id);
            format!("{}\n", line.trim_end())
        });
        lines.collect()
    })?;
    Ok(Answer::Yes)
}

pub(crate) async fn quarantine(
    out: &Out,
    global: &Global,
    args: &Quarantine,
) -> Result<Answer, Failure> {
    let Some(agent) = &args.agent else {
        let held = match Look::open(out, global).await? {
            Look::There(remote) => remote.quarantined().await?,
            Look::Here(engine) => helds(&engine).await?,
        };
        return told_held(out, &held);
    };
    let desk = Desk::open(out, global).await?;
    let held = match &desk {
        Desk::There(remote) => remote.quarantine(agent, &args.by).await,
        Desk::Here(here) => {
            let engine = here.service.engine();
            let view = engine.quarantine(agent, &args.by).await;
            view.map_err(Failure::from)
        }
    };
    desk.close().await?;
    let held = held?;
    let told = told_held(out, &held)?;
    if let Some(agent) = &held.unseen {
        out.note(&format!(
            "no decision of an agent `{agent}` is in the record; whoever comes under exactly this \
             name gets no work"
        ))?;
    }
    Ok(told)
}

pub(crate) async fn release(out: &Out, global: &Global, args: &Release) -> Result<Answer, Failure> {
    let desk = Desk::open(out, global).await?;
    let held = match &desk {
        Desk::There(remote) => remote.release(&args.agent, &args.by).await,
        Desk::Here(here) => {
            let engine = here.service.engine();
            let view = engine.release(&args.agent, &args.by).await;
            view.map_err(Failure::from)
        }
    };
    desk.close().await?;
    told_held(out, &held?)
}

async fn helds(engine: &Engine) -> Result<QuarantineView, Failure> {
    let held = engine.held().await?;
    Ok(QuarantineView {
        held,
        ..QuarantineView::default()
    })
}

fn told_held(out: &Out, held: &QuarantineView) -> Result<Answer, Failure> {
    let line = |how: &str, one: &QuarantinedView| {
        format!("{}  {how} {}\n", clean(&one.agent), clean(&one.by))
    };
    out.answer(held, |_| {
        let ended = held.ended.iter();
        let mut text: String = ended.map(|one| line("no longer held by", one)).collect();
        if held.held.is_empty() {
            text.push_str("no agent is held\n");
        }
        text.extend(held.held.iter().map(|one| line("held by", one)));
        text
    })?;
    Ok(Answer::Yes)
}

/// Plans, shows, asks, carries out.
async fn roll_back(out: &Out, desk: &Desk, args: &Rollback) -> Result<Answer, Failure> {
    let wanted = Wanted {
        of: &args.ids,
        reason: &args.reason,
        include: &args.include,
        settle: &args.settle,
    };
    if args.dry_run {
        let plan = desk.plan(&wanted).await?;
        out.answer(&plan, |_| {
            format!("{}\ndigest {}\n", clean_block(&plan.text), plan.digest)
        })?;
        return Ok(Answer::Yes);
    }
    for _ in 0..PLANS_MAX {
        let proposed = desk.propose(&wanted).await?;
        if let Some(digest) = &args.digest
            && *digest != proposed.digest
        {
            let by = &args.by;
            desk.reject(&proposed.id, by).await?;
            let message = format!(
                "the plan has the digest {} now, not {digest}",
                proposed.digest
            );
            return Err(Failure::new(message)
                .with_hint("look at the plan again: `rescind rollback ID --dry-run`"));
        }
        let sure = args.yes || args.digest.is_some();
        if !sure {
            if !out.json() {
                out.text(&plan_text(&proposed))?;
            }
            if !std::io::stdin().is_terminal() {
                return put_forward(out, &proposed);
            }
            if !confirmed()? {
                let refused = desk.reject(&proposed.id, &args.by).await?;
                return shown(out, Ok(refused));
            }
        }
        let carried = desk
            .approve(out, &proposed.id, &proposed.digest, &args.by)
            .await?;
        if carried.state != State::Outdated || !args.yes {
            return shown(out, Ok(carried));
        }
        out.note("more came to depend on it meanwhile: the plan is made anew")?;
    }
    Err(Failure::new("the agents are faster than the plans"))
}

fn put_forward(out: &Out, proposed: &RollbackView) -> Result<Answer, Failure> {
    out.answer(proposed, |_| {
        format!(
            "put forward as {}; nothing is done before\n  rescind rollback approve {} --digest {}\n",
            proposed.id, proposed.id, proposed.digest
        )
    })?;
    Ok(Answer::Yes)
}

fn confirmed() -> Result<bool, Failure> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "carry this out? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints a rollback; the exit code says whether everything came to what its plan says.
fn shown(out: &Out, view: Result<RollbackView, Failure>) -> Result<Answer, Failure> {
    let view = view?;
    out.answer(&view, |_| text(&view))?;
    Ok(match view.state {
        State::Failed | State::Outdated | State::Unreadable => Answer::No,
        _ => Answer::Yes,
    })
}

/// Shows what two plans have not in common.
async fn diff(out: &Out, look: &Look, from: &str, to: &str) -> Result<Answer, Failure> {
    let plans = [plan_of(look, from).await?, plan_of(look, to).await?];
    let changes = plans[0].diff(&plans[1]);
    let view = PlanChangesView {
        changes: changes
            .iter()
            .map(|change| PlanChangeView {
                about: change.about.clone(),
                from: change.from.clone(),
                to: change.to.clone(),
            })
            .collect(),
    };
    out.answer(&view, |_| match changes.as_slice() {
        [] => "the plans say the same\n".to_owned(),
        changes => changes
            .iter()
            .map(|change| format!("{}\n", clean(&change.to_string())))
            .collect(),
    })?;
    Ok(match changes.is_empty() {
        true => Answer::Yes,
        false => Answer::No,
    })
}

async fn plan_of(look: &Look, id: &str) -> Result<Plan, Failure> {
    let view = look.one(id).await?;
    let plan = serde_json::from_value(view.plan);
    plan.map_err(|error| Failure::new(format!("the plan of `{id}` cannot be read: {error}")))
}

fn plan_text(view: &RollbackView) -> String {
    let text = view.text.as_deref().unwrap_or_default();
    format!("{}\ndigest {}\n", clean_block(text), view.digest)
}

fn text(view: &RollbackView) -> String {
    let mut text = format!("rollback {}: {}\n", view.id, view.state.name());
    if view.state == State::Proposed {
        text.push_str(&plan_text(view));
        return text;
    }
    for step in &view.steps {
        let mut line = format!("  {:>3}  {:<8} {}", step.n, step_word(step.state), step.act);
        if !step.records.is_empty() {
            line.push_str(&format!(" {}", step.records.join(", ")));
        }
        if let Some(why) = &step.why {
            line.push_str(&format!(": {why}"));
        }
        text.push_str(&format!("{}\n", clean(&line)));
    }
    text.push_str(&format!("{}\n", sum(view)));
    for affected in view.affected.iter().filter(|a| a.status == "stands") {
        let who = affected.note.as_deref().unwrap_or("nobody is named");
        let name = affected.name.as_deref().unwrap_or(&affected.kind);
        let line = format!("  stands: {name} by {}; to be told: {who}", affected.agent);
        text.push_str(&format!("{}\n", clean(&line)));
    }
    for late in &view.late {
        text.push_str(&format!(
            "  came after the plan, and is not in it: {late}\n"
        ));
    }
    if !view.held.is_empty() {
        text.push_str(&format!("held: {}\n", clean(&view.held.join(", "))));
    }
    text.push_str(&next(view));
    text
}

/// Counts what became of the decisions.
fn sum(view: &RollbackView) -> String {
    let count = |is: &dyn Fn(&AffectedView) -> bool| view.affected.iter().filter(|a| is(a)).count();
    let kept = |a: &AffectedView| a.fate == "kept";
    let of = |status: &'static str| count(&|a| !kept(a) && a.status == status);
    let (back, stand, kept) = (of("compensated"), of("stands"), count(&kept));
    let counts = [
        (stand, "stand"),
        (kept, "kept"),
        (view.affected.len() - back - stand - kept, "not taken back"),
    ];
    let mut sum = format!("{back} taken back or nothing to undo");
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        sum.push_str(&format!(", {count} {what}"));
    }
    sum
}

/// What a person can do about it.
fn next(view: &RollbackView) -> String {
    let id = &view.id;
    let parked = view.steps.iter().filter(|s| s.state == StepState::Parked);
    let parked: Vec<String> = parked.map(|step| step.n.to_string()).collect();
    match view.state {
        State::Failed if parked.is_empty() => {
            format!("try again with `rescind rollback retry {id}`\n")
        }
        State::Failed => {
            let parked = parked.join(",");
            format!(
                "nobody knows whether parked steps were carried out: look, then say so with\n  rescind rollback retry {id} --happened {parked}\n  rescind rollback retry {id} --not-happened {parked}\n"
            )
        }
        State::Outdated => {
            let roots = view.roots.join(" ");
            format!(
                "more came to depend on it, and nothing was undone: roll back anew with `rescind rollback {roots}`\n"
            )
        }
        _ => String::new(),
    }
}
