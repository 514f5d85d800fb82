//! One call of the command: where the record is, and how to open it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Clock, Engine, SystemClock};
use ledger::SystemEntropy;
use model::Realm;
use store::{EmbeddedStore, OpenOptions};

use crate::args::Global;
use crate::failure::Failure;
use crate::out::{self, Out};

/// Where the record is, and where answers go.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) out: Out,
    global: Global,
}

impl Session {
    pub(crate) fn new(out: Out, global: Global) -> Self {
        Self { out, global }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.global.data_dir
    }

    pub(crate) fn realm(&self) -> &Realm {
        &self.global.realm
    }

    /// Opens the record to look into it; another process may be writing meanwhile.
    pub(crate) async fn read(&self) -> Result<Engine, Failure> {
        self.check_exists()?;
        self.open(OpenOptions {
            read_only: true,
            ..self.options()
        })
        .await
        .map(|(engine, _)| engine)
    }

    /// Opens the record to append to it, and creates it where there is none.
    pub(crate) async fn write(&self) -> Result<Engine, Failure> {
        self.open(self.options()).await.map(|(engine, _)| engine)
    }

    /// Opens a record that is there already to append to it.
    pub(crate) async fn existing(&self) -> Result<Engine, Failure> {
        self.existing_store().await.map(|(engine, _)| engine)
    }

    /// As [`existing`](Self::existing), with what only the embedded store can do.
    pub(crate) async fn existing_store(&self) -> Result<(Engine, Arc<EmbeddedStore>), Failure> {
        self.check_exists()?;
        self.open(self.options()).await
    }

    fn check_exists(&self) -> Result<(), Failure> {
        let dir = &self.global.data_dir;
        if dir.join("FORMAT").exists() {
            return Ok(());
        }
        if ["segments", "log"]
            .iter()
            .any(|part| dir.join(part).exists())
        {
            let message = format!(
                "`{}` is missing, so its version is not known",
                dir.join("FORMAT").display()
            );
            return Err(Failure::new(message).with_hint(
                "`rescind verify` tells what else is missing; put the file back from a copy of the directory",
            ));
        }
        Err(Failure::new(format!("there is no record in `{}`", dir.display())).with_hint(
            "import a run first (`rescind import --help`), or name another directory with `--data-dir`",
        ))
    }

    fn options(&self) -> OpenOptions {
        let clock = SystemClock;
        let seconds = Arc::new(move || clock.wall() / 1_000_000);
        let entropy = Arc::new(SystemEntropy::new());
        OpenOptions {
            witness_dir: self.witness_dir(),
            realm: self.global.realm.clone(),
            ..OpenOptions::new(&self.global.data_dir, entropy, seconds)
        }
    }

    async fn open(&self, options: OpenOptions) -> Result<(Engine, Arc<EmbeddedStore>), Failure> {
        let store = Arc::new(EmbeddedStore::open(options)?);
        let entropy = Arc::new(SystemEntropy::new());
        let engine = Engine::start(store.clone(), Arc::new(SystemClock), entropy).await?;
        for notice in engine.store().status().await?.notices {
            self.out.note(&notice)?;
        }
        Ok((engine, store))
    }

    /// The witness's directory: as said, or the user's state directory.
    #[expect(
        clippy::disallowed_methods,
        reason = "`cli` is where the environment is read"
    )]
    pub(crate) fn witness_dir(&self) -> Option<PathBuf> {
        if self.global.no_witness {
            return None;
        }
        self.global.witness_dir.clone().or_else(|| {
            let state = std::env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty());
            let home = std::env::var_os("HOME").filter(|dir| !dir.is_empty());
            state
                .map(PathBuf::from)
                .or_else(|| home.map(|home| PathBuf::from(home).join(".local/state")))
                .map(|dir| dir.join("rescind/witness"))
        })
    }

    /// Says that the command could not answer.
    pub(crate) fn fail(&self, failure: &Failure) {
        if self.out.json() {
            let object = serde_json::json!({ "error": failure.message(), "hint": failure.hint() });
            let _ = self.out.text(&object.to_string());
        }
        out::error(failure.message(), failure.hint());
    }
}
