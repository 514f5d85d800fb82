//! `rescind continue`: begin a log that says which one it continues, where that one is damaged or
//! older than what was signed, and is never signed again.
//!
//! Nothing is taken over: the old directory stays what it is, and can be looked into.

use engine::{Clock as _, SystemClock};
use ledger::Store as _;
use model::HybridTime;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Continue, EmbeddedStore, OpenOptions};

use crate::Answer;
use crate::args;
use crate::failure::Failure;
use crate::out::{clean, counted};
use crate::session::Session;

use super::verify::read_checkpoint;

/// What `continue` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ContinuedView {
    /// The origin of the new log.
    origin: String,
    /// The origin of the log that it continues.
    continues: String,
    /// How many entries of that one the checkpoint vouches for.
    entries: u64,
}

pub(crate) async fn run(session: &Session, args: &args::Continue) -> Result<Answer, Failure> {
    let (old, text) = read_checkpoint(&args.checkpoint)?;
    let (dir, realm) = (session.data_dir(), session.realm().as_str());
    if dir.join("segments").join(realm).exists() {
        let what = format!(
            "there is a log of the realm `{realm}` in `{}`",
            dir.display()
        );
        return Err(Failure::new(what)
            .with_hint("move the old directory away, or name a new one with `--data-dir`"));
    }
    let at = HybridTime {
        wall: SystemClock.wall(),
        tick: 0,
    };
    let from = Continue {
        checkpoint: text,
        at,
    };
    let store = EmbeddedStore::open(OpenOptions {
        continue_from: Some(from),
        origin: args.origin.clone(),
        ..session.options()
    })?;
    let sealing = store.sealing().await;
    store.close().await?;
    let view = ContinuedView {
        origin: sealing?.origin,
        continues: old.origin,
        entries: old.size,
    };
    session.out.answer(&view, |_| {
        let entries = counted(view.entries, "entry", "entries");
        let (new, old) = (clean(&view.origin), clean(&view.continues));
        format!("{new}\ncontinues {old}\nafter {entries}\n")
    })?;
    Ok(Answer::Yes)
}
