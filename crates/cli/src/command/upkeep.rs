//! `rescind reindex`, `erase`, `retain`, `keys`: look after the record.

use std::io::{BufRead, IsTerminal, Write};

use engine::look::Named;
use engine::{Engine, ErasePolicy, RETENTION_DAYS_DEFAULT};
use model::SubjectId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Answer;
use crate::args::{Erase, Keys, KeysAction, Retain};
use crate::failure::Failure;
use crate::session::Session;

/// What `reindex` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReindexedView {
    /// Entries that the index was rebuilt from.
    entries: u64,
}

/// What `retain` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RetainedView {
    /// Index of the entry that records it.
    index: u64,
    /// What was decided, in words.
    decided: String,
}

/// What `keys` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeysView {
    /// The log's origin.
    origin: String,
    /// Verifier keys of the log, newest last.
    log: Vec<String>,
    /// Verifier keys of its witnesses.
    witnesses: Vec<String>,
    /// A trust policy for verifiers, as C2SP tlog-policy words it.
    policy: String,
}

pub(crate) async fn reindex(session: &Session) -> Result<Answer, Failure> {
    let engine = session.existing().await?;
    let entries = engine.store().reindex().await;
    engine.store().close().await?;
    let view = ReindexedView { entries: entries? };
    session.out.answer(&view, |_| {
        format!("rebuilt the index from {} entries\n", view.entries)
    })?;
    Ok(Answer::Yes)
}

pub(crate) async fn erase(session: &Session, args: &Erase) -> Result<Answer, Failure> {
    if args.basis.trim().is_empty() {
        return Err(Failure::new("an erasure needs a legal basis"));
    }
    let engine = session.existing().await?;
    let erased = erase_with(session, &engine, args).await;
    engine.store().close().await?;
    let Some(view) = erased? else {
        return Ok(Answer::No);
    };
    session.out.answer(&view, |_| {
        let (subject, events, index) = (&view.subject, view.events, view.index);
        if view.already {
            format!("{subject} was erased before, by entry {index}\n")
        } else {
            format!("{subject}: the contents of {events} events are gone, see entry {index}\n")
        }
    })?;
    Ok(Answer::Yes)
}

async fn erase_with(
    session: &Session,
    engine: &Engine,
    args: &Erase,
) -> Result<Option<engine::view::EraseView>, Failure> {
    let subject = subject(engine, &args.id).await?;
    if !args.yes && !confirmed(subject)? {
        session.out.note("nothing was erased")?;
        return Ok(None);
    }
    let policy = ErasePolicy {
        basis: &args.basis,
        by: &args.by,
        before_minimum: args.before_minimum,
    };
    Ok(Some(engine.erase(subject, policy).await?))
}

/// Asks a person; where there is none to ask, says how to go on without.
fn confirmed(subject: SubjectId) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("there is nobody to confirm the erasure")
            .with_hint("`--yes` erases without asking; it cannot be undone"));
    }
    let mut terminal = std::io::stderr().lock();
    write!(
        terminal,
        "erase all contents of {subject}? this cannot be undone [y/N] "
    )?;
    terminal.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

async fn subject(engine: &Engine, text: &str) -> Result<SubjectId, Failure> {
    match engine.resolve(text).await? {
        Named::Subject(subject) => Ok(subject),
        Named::Run(run) => {
            let view = engine.run(run).await?;
            view.subject
                .parse()
                .map_err(|error| Failure::new(format!("{error}")))
        }
        Named::Decision(decision) => Err(Failure::new(format!(
            "`{decision}` is a decision, and shares its key with its run"
        ))
        .with_hint("give the run, or the subject that `rescind show RUN` names")),
    }
}

pub(crate) async fn retain(session: &Session, args: &Retain) -> Result<Answer, Failure> {
    let engine = session.existing().await?;
    let done = retain_with(&engine, args).await;
    engine.store().close().await?;
    let view = done?;
    session.out.answer(&view, |_| {
        format!("{}, see entry {}\n", view.decided, view.index)
    })?;
    Ok(Answer::Yes)
}

async fn retain_with(engine: &Engine, args: &Retain) -> Result<RetainedView, Failure> {
    if let Some(days) = args.days {
        if days < RETENTION_DAYS_DEFAULT && !args.shorten {
            let message =
                format!("{days} days are fewer than the {RETENTION_DAYS_DEFAULT} of the minimum");
            return Err(
                Failure::new(message).with_hint("`--shorten` allows it; it is recorded who did")
            );
        }
        let index = engine.set_retention(days, &args.by).await?;
        let decided = format!("contents are kept {days} days at the least");
        return Ok(RetainedView { index, decided });
    }
    let (held, id) = match (&args.hold, &args.release) {
        (Some(id), _) => (true, id),
        (None, Some(id)) => (false, id),
        (None, None) => return Err(Failure::new("nothing to decide")),
    };
    let subject = subject(engine, id).await?;
    let index = engine.set_hold(subject, held, &args.by).await?;
    let does = if held {
        "is under a legal hold"
    } else {
        "is under no legal hold any more"
    };
    Ok(RetainedView {
        index,
        decided: format!("{subject} {does}"),
    })
}

pub(crate) async fn keys(session: &Session, args: &Keys) -> Result<Answer, Failure> {
    let action = args.action.unwrap_or(KeysAction::List);
    let view = match action {
        KeysAction::List | KeysAction::Policy => {
            let engine = session.read().await?;
            view(&engine).await?
        }
        KeysAction::Rotate | KeysAction::Retire => {
            let (engine, store) = session.existing_store().await?;
            let changed = match action {
                KeysAction::Retire => store.retire_old_key().await.map(drop),
                _ => store.rotate_key(engine.next_time()).await.map(drop),
            };
            let shown = view(&engine).await;
            engine.store().close().await?;
            changed?;
            shown?
        }
    };
    session.out.answer(&view, |_| match action {
        KeysAction::Policy => view.policy.clone(),
        KeysAction::List | KeysAction::Rotate | KeysAction::Retire => {
            let mut text = format!("origin   {}\n", view.origin);
            for key in &view.log {
                text.push_str(&format!("log      {key}\n"));
            }
            for key in &view.witnesses {
                text.push_str(&format!("witness  {key}\n"));
            }
            text
        }
    })?;
    Ok(Answer::Yes)
}

async fn view(engine: &Engine) -> Result<KeysView, Failure> {
    let sealing = engine.store().sealing().await?;
    let mut policy = String::new();
    for key in &sealing.log {
        policy.push_str(&format!("log {key}\n"));
    }
    for (number, key) in (1..).zip(&sealing.witnesses) {
        policy.push_str(&format!("witness w{number} {key}\n"));
    }
    policy.push_str(if sealing.witnesses.is_empty() {
        "quorum none\n"
    } else {
        "quorum w1\n"
    });
    Ok(KeysView {
        origin: sealing.origin,
        log: sealing.log,
        witnesses: sealing.witnesses,
        policy,
    })
}
