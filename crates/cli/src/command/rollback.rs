//! `rescind rollback`, `rollbacks`, `quarantine`, `release`: take decisions back.
//!
//! Asks a running server, or does it here: then the tools' servers of the configuration are started
//! for as long as the rollback takes.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::access::Access;
use engine::live::Recorder;
use engine::undo::view::{
    PlanChangeView, PlanChangesView, PlanView, QuarantineView, RollbackView, RollbacksView, State,
    StepState,
};
use engine::undo::{Approve, CarryOptions, Include, Request, Service};
use gateway::Gateway;
use ledger::Journal;
use model::DecisionId;
use recover::Plan;
use store::FileJournal;
use store::disk::RealDisk;

use crate::Answer;
use crate::args::{Global, Quarantine, Release, Rollback, RollbackAction};
use crate::config::Environment;
use crate::failure::Failure;
use crate::out::Out;
use crate::remote::Remote;
use crate::session::{Session, Writes, read_config};

use super::up;

/// How often a server is asked how far it is.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How often a plan that is outdated when it begins is made anew.
const PLANS_MAX: u32 = 3;

/// How long what is under way may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who carries rollbacks out.
enum Desk {
    There(Remote),
    Here(Box<Here>),
}

/// Everything that a rollback needs, in this process.
struct Here {
    service: Service,
    recorder: Recorder,
    gateway: Gateway,
}

/// What is to be taken back, as it was said.
struct Wanted<'a> {
    of: &'a [String],
    reason: &'a str,
    include: &'a [String],
}

pub(crate) async fn run(out: &Out, global: &Global, args: &Rollback) -> Result<Answer, Failure> {
    let desk = Desk::open(out, global).await?;
    let done = match &args.action {
        None => roll_back(out, &desk, args).await,
        Some(RollbackAction::Show { id }) => shown(out, desk.one(id).await),
        Some(RollbackAction::Diff { from, to }) => diff(out, &desk, from, to).await,
        Some(RollbackAction::Approve { id, digest, by }) => {
            let view = desk.approve(out, id, digest, by).await;
            shown(out, view)
        }
        Some(RollbackAction::Reject { id, by }) => shown(out, desk.reject(id, by).await),
        Some(RollbackAction::Retry {
            id,
            by,
            happened,
            not_happened,
        }) => shown(out, desk.retry(id, by, happened, not_happened).await),
    };
    desk.close().await?;
    done
}

pub(crate) async fn list(out: &Out, global: &Global) -> Result<Answer, Failure> {
    let desk = Desk::open(out, global).await?;
    let list = match &desk {
        Desk::There(remote) => remote.rollbacks().await,
        Desk::Here(here) => Ok(here.service.engine().rollbacks().await?),
    };
    desk.close().await?;
    let list: RollbacksView = list?;
    out.answer(&list, |_| {
        let lines = list.rollbacks.iter().map(|row| {
            let (done, all) = row.done;
            let reason = row.reason.as_deref().unwrap_or("its plan cannot be read");
            let state = row.state.name();
            format!("{}  {state}  {done} of {all} steps  {reason}\n", row.id)
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
    let desk = Desk::open(out, global).await?;
    let held = match (&desk, &args.agent) {
        (Desk::There(remote), Some(agent)) => remote.quarantine(agent, &args.by).await,
        (Desk::There(remote), None) => remote.quarantined().await,
        (Desk::Here(here), agent) => {
            let engine = here.service.engine();
            if let Some(agent) = agent {
                engine.hold(agent, &args.by).await?;
            }
            helds(engine).await
        }
    };
    desk.close().await?;
    told_held(out, &held?)
}

pub(crate) async fn release(out: &Out, global: &Global, args: &Release) -> Result<Answer, Failure> {
    let desk = Desk::open(out, global).await?;
    let held = match &desk {
        Desk::There(remote) => remote.release(&args.agent, &args.by).await,
        Desk::Here(here) => {
            let engine = here.service.engine();
            match engine.release(&args.agent, &args.by).await {
                Ok(()) => helds(engine).await,
                Err(error) => Err(error.into()),
            }
        }
    };
    desk.close().await?;
    told_held(out, &held?)
}

async fn helds(engine: &Engine) -> Result<QuarantineView, Failure> {
    let held = engine.held().await?;
    Ok(QuarantineView { held })
}

fn told_held(out: &Out, held: &QuarantineView) -> Result<Answer, Failure> {
    out.answer(held, |_| match held.held.as_slice() {
        [] => "no agent is held\n".to_owned(),
        held => held
            .iter()
            .map(|held| format!("{}  held by {}\n", held.agent, held.by))
            .collect(),
    })?;
    Ok(Answer::Yes)
}

/// Plans, shows, asks, carries out.
async fn roll_back(out: &Out, desk: &Desk, args: &Rollback) -> Result<Answer, Failure> {
    let wanted = Wanted {
        of: &args.ids,
        reason: &args.reason,
        include: &args.include,
    };
    if args.dry_run {
        let plan = desk.plan(&wanted).await?;
        out.answer(&plan, |_| {
            format!("{}\ndigest {}\n", plan.text, plan.digest)
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
async fn diff(out: &Out, desk: &Desk, from: &str, to: &str) -> Result<Answer, Failure> {
    let plans = [plan_of(desk, from).await?, plan_of(desk, to).await?];
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
        changes => changes.iter().map(|change| format!("{change}\n")).collect(),
    })?;
    Ok(match changes.is_empty() {
        true => Answer::Yes,
        false => Answer::No,
    })
}

async fn plan_of(desk: &Desk, id: &str) -> Result<Plan, Failure> {
    let view = desk.one(id).await?;
    let plan = serde_json::from_value(view.plan);
    plan.map_err(|error| Failure::new(format!("the plan of `{id}` cannot be read: {error}")))
}

fn plan_text(view: &RollbackView) -> String {
    let plan: Option<Plan> = serde_json::from_value(view.plan.clone()).ok();
    let plan = plan.map(|plan| plan.to_string()).unwrap_or_default();
    format!("{plan}\ndigest {}\n", view.digest)
}

fn text(view: &RollbackView) -> String {
    let mut text = format!("rollback {}: {}\n", view.id, view.state.name());
    if view.state == State::Proposed {
        text.push_str(&plan_text(view));
        return text;
    }
    for step in &view.steps {
        let records = step.records.join(", ");
        let why = step.why.as_deref().map(|why| format!(": {why}"));
        text.push_str(&format!(
            "  {:>3}  {:<8} {} {records}{}\n",
            step.n,
            step_word(step.state),
            step.act,
            why.unwrap_or_default()
        ));
    }
    let of = |status: &str| view.affected.iter().filter(|a| a.status == status).count();
    text.push_str(&format!(
        "{} taken back or nothing to undo, {} stand, {} not taken back\n",
        of("compensated"),
        of("stands"),
        view.affected.len() - of("compensated") - of("stands")
    ));
    for affected in view.affected.iter().filter(|a| a.status == "stands") {
        let who = affected.note.as_deref().unwrap_or("nobody is named");
        let name = affected.name.as_deref().unwrap_or(&affected.kind);
        text.push_str(&format!(
            "  stands: {name} by {}; to be told: {who}\n",
            affected.agent
        ));
    }
    for late in &view.late {
        text.push_str(&format!(
            "  came after the plan, and is not in it: {late}\n"
        ));
    }
    if !view.held.is_empty() {
        text.push_str(&format!("held: {}\n", view.held.join(", ")));
    }
    if view.state == State::Failed {
        text.push_str(&format!(
            "try again with `rescind rollback retry {}`\n",
            view.id
        ));
    }
    text
}

const fn step_word(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "pending",
        StepState::Running => "running",
        StepState::Done => "done",
        StepState::Skipped => "skipped",
        StepState::Untold => "UNTOLD",
        StepState::Failed => "FAILED",
        StepState::Parked => "PARKED",
    }
}

impl Desk {
    /// The server that is named; else the files, unless a server has them open: then that one.
    async fn open(out: &Out, global: &Global) -> Result<Self, Failure> {
        let session = Session::new(*out, global)?;
        if let Some(remote) = session.remote() {
            return Ok(Self::There(remote.clone()));
        }
        let read = read_config(global, &[])?;
        let environment = Environment::read();
        let config = read.accept()?;
        let engine = match session.writes().await? {
            Writes::Server(remote) => return Ok(Self::There(remote)),
            Writes::Here(engine) => engine,
        };
        let recording = up::recording(&config)?;
        // What a process that was killed left in its journal comes first.
        let dir = up::journal_dir(&session)?;
        let journal = FileJournal::open(Arc::new(RealDisk), &dir, config.record.spool_bytes_max)?;
        let journal: Arc<dyn Journal> = Arc::new(journal);
        let recorder = Recorder::start(engine.clone(), Some(journal), recording).await?;
        let options = up::carrying(&config, &environment)?;
        let catalogue = recorder.catalogue().cloned().unwrap_or_default();
        let gateway = Gateway::new(recorder.clone(), Access::default(), options)
            .map_err(|error| Failure::new(error.to_string()))?;
        let heard_out = *out;
        let carry = CarryOptions {
            heard: Some(Arc::new(move |step| {
                let word = step_word(step.state);
                let _ = heard_out.note(&format!("step {}: {} {word}", step.n, step.act));
            })),
            ..up::undoing(&config)
        };
        let tasks = recorder.tasks().clone();
        let service = Service::new(engine, gateway.hands(), catalogue, tasks).with_options(carry);
        Ok(Self::Here(Box::new(Here {
            service,
            recorder,
            gateway,
        })))
    }

    async fn plan(&self, wanted: &Wanted<'_>) -> Result<PlanView, Failure> {
        match self {
            Self::There(remote) => remote.plan(wanted.of, wanted.reason, wanted.include).await,
            Self::Here(here) => {
                let request = request(here.service.engine(), wanted).await?;
                Ok(here.service.plan(&request).await?)
            }
        }
    }

    async fn propose(&self, wanted: &Wanted<'_>) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => {
                remote
                    .propose(wanted.of, wanted.reason, wanted.include)
                    .await
            }
            Self::Here(here) => {
                let request = request(here.service.engine(), wanted).await?;
                Ok(here.service.propose(&request).await?)
            }
        }
    }

    async fn one(&self, id: &str) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => remote.rollback(id).await,
            Self::Here(here) => {
                let engine = here.service.engine();
                let id = engine.resolve_decision(id).await?;
                Ok(engine.rollback(id).await?)
            }
        }
    }

    /// Approves and carries out, telling of each step that ended.
    async fn approve(
        &self,
        out: &Out,
        id: &str,
        digest: &str,
        by: &str,
    ) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => {
                let mut view = remote.approve(id, digest, by).await?;
                let mut told: BTreeSet<u32> = BTreeSet::new();
                loop {
                    for step in &view.steps {
                        let ended = !matches!(step.state, StepState::Pending | StepState::Running);
                        if ended && told.insert(step.n) {
                            let word = step_word(step.state);
                            out.note(&format!("step {}: {} {word}", step.n, step.act))?;
                        }
                    }
                    if !view.state.goes_on() {
                        return Ok(view);
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                    view = remote.rollback(id).await?;
                }
            }
            Self::Here(here) => {
                let id = here.service.engine().resolve_decision(id).await?;
                let digest = digest
                    .parse()
                    .map_err(|_| Failure::new(format!("`{digest}` is no digest")))?;
                let waits = false;
                let approve = Approve { digest, by, waits };
                Ok(here.service.approve(id, approve, true).await?)
            }
        }
    }

    async fn reject(&self, id: &str, by: &str) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => remote.reject(id, by).await,
            Self::Here(here) => {
                let engine = here.service.engine();
                let id = engine.resolve_decision(id).await?;
                Ok(engine.reject_rollback(id, by).await?)
            }
        }
    }

    async fn retry(
        &self,
        id: &str,
        by: &str,
        happened: &[u32],
        not_happened: &[u32],
    ) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => remote.retry(id, by, happened, not_happened).await,
            Self::Here(here) => {
                let id = here.service.engine().resolve_decision(id).await?;
                let mut options = here.service.options().clone();
                options.settled.extend(happened.iter().map(|n| (*n, true)));
                let not = not_happened.iter().map(|n| (*n, false));
                options.settled.extend(not);
                Ok(here.service.retry(id, by, options).await?)
            }
        }
    }

    async fn close(self) -> Result<(), Failure> {
        if let Self::Here(here) = self {
            here.gateway.stop();
            here.recorder.stop(PATIENCE).await?;
            here.service.engine().store().close().await?;
        }
        Ok(())
    }
}

async fn request(engine: &Engine, wanted: &Wanted<'_>) -> Result<Request, Failure> {
    let include = match wanted.include {
        [] => Include::None,
        [all] if all == "all" => Include::All,
        ids => Include::Some(resolved(engine, ids).await?),
    };
    Ok(Request {
        roots: resolved(engine, wanted.of).await?,
        reason: wanted.reason.to_owned(),
        include,
        ..Request::default()
    })
}

async fn resolved(engine: &Engine, ids: &[String]) -> Result<Vec<DecisionId>, Failure> {
    let mut resolved = Vec::with_capacity(ids.len());
    for id in ids {
        resolved.push(engine.resolve_decision(id).await?);
    }
    Ok(resolved)
}
