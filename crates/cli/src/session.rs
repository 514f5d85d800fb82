//! One call of the command: its configuration, where the record is, and how to open it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Clock, Engine, SystemClock};
use ledger::{StoreError, SystemEntropy};
use model::Realm;
use store::{EmbeddedStore, OpenOptions};

use crate::args::Global;
use crate::config::{Config, Environment, Flag, Read};
use crate::failure::Failure;
use crate::out::Out;
use crate::remote::Remote;

/// Where the record is, and where answers go.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) out: Out,
    config: Config,
    no_witness: bool,
    remote: Option<Remote>,
}

/// Who writes to a record.
#[derive(Debug)]
pub(crate) enum Writes {
    /// This process, as long as it has it open.
    Here(Engine),
    /// The server that has it open.
    Server(Remote),
}

/// Reads the configuration with the flags of every command over it, and those of this one.
pub(crate) fn read_config(global: &Global, own: &[Flag]) -> Result<Read, Failure> {
    let text = |path: &PathBuf| path.display().to_string();
    let flags = [
        ("data_dir", "--data-dir", global.data_dir.as_ref().map(text)),
        ("realm", "--realm", global.realm.clone()),
        (
            "witness_dir",
            "--witness-dir",
            global.witness_dir.as_ref().map(text),
        ),
    ];
    let flag = |(option, name, value): (_, _, Option<String>)| {
        value.map(|value| Flag {
            option,
            name,
            value,
        })
    };
    let flags: Vec<Flag> = flags
        .into_iter()
        .filter_map(flag)
        .chain(own.iter().cloned())
        .collect();
    Read::new(global.config.as_deref(), &flags, Environment::read())
}

impl Session {
    /// Begins a call with the configuration as it is; an error in it ends the call.
    pub(crate) fn new(out: Out, global: &Global) -> Result<Self, Failure> {
        let mut config = read_config(global, &[])?.accept()?;
        // A path need not be text, which it was on its way through the layers.
        config.data_dir = global.data_dir.clone().unwrap_or(config.data_dir);
        config.witness_dir = global.witness_dir.clone().or(config.witness_dir);
        let remote = match &global.url {
            None => None,
            Some(url) => Some(Remote::new(url, token())?),
        };
        Ok(Self {
            out,
            config,
            no_witness: global.no_witness,
            remote,
        })
    }

    /// The server to ask, where one is named.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// The configuration.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn realm(&self) -> &Realm {
        &self.config.realm
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

    /// Opens a record that is there already to append to it or, where a server has it open, finds
    /// that server: it listens where the configuration says.
    pub(crate) async fn writes(&self) -> Result<Writes, Failure> {
        self.check_exists()?;
        match EmbeddedStore::open(self.options()) {
            Err(StoreError::Locked { .. }) => {
                let url = format!("http://{}", self.config.listen);
                Ok(Writes::Server(Remote::new(&url, token())?))
            }
            Err(error) => Err(error.into()),
            Ok(store) => Ok(Writes::Here(self.engine(Arc::new(store)).await?)),
        }
    }

    /// Opens the record for a process that stays, and creates it where there is none.
    pub(crate) async fn running(&self) -> Result<(Engine, Arc<EmbeddedStore>), Failure> {
        self.open(OpenOptions {
            holder: "rescind up".to_owned(),
            ..self.options()
        })
        .await
    }

    fn check_exists(&self) -> Result<(), Failure> {
        let dir = self.data_dir();
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

    /// How the record is opened, as far as the configuration says.
    pub(crate) fn options(&self) -> OpenOptions {
        let clock = SystemClock;
        let seconds = Arc::new(move || clock.wall() / 1_000_000);
        let entropy = Arc::new(entropy());
        OpenOptions {
            witness_dir: self.witness_dir(),
            realm: self.realm().clone(),
            indexing: self.out.indexing(),
            ..OpenOptions::new(self.data_dir(), entropy, seconds)
        }
    }

    async fn open(&self, options: OpenOptions) -> Result<(Engine, Arc<EmbeddedStore>), Failure> {
        let store = Arc::new(EmbeddedStore::open(options)?);
        Ok((self.engine(store.clone()).await?, store))
    }

    async fn engine(&self, store: Arc<EmbeddedStore>) -> Result<Engine, Failure> {
        let entropy = Arc::new(entropy());
        let engine = Engine::start(store, Arc::new(SystemClock), entropy).await?;
        for notice in engine.store().status().await?.notices {
            self.out.note(&notice)?;
        }
        Ok(engine)
    }

    /// The witness's directory: as said, or the user's state directory.
    #[expect(
        clippy::disallowed_methods,
        reason = "`cli` is where the environment is read"
    )]
    pub(crate) fn witness_dir(&self) -> Option<PathBuf> {
        if self.no_witness {
            return None;
        }
        self.config.witness_dir.clone().or_else(|| {
            let state = std::env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty());
            let home = std::env::var_os("HOME").filter(|dir| !dir.is_empty());
            state
                .map(PathBuf::from)
                .or_else(|| home.map(|home| PathBuf::from(home).join(".local/state")))
                .map(|dir| dir.join("rescind/witness"))
        })
    }
}

/// Randomness that is there at once: a start waits for nothing.
fn entropy() -> SystemEntropy {
    SystemEntropy::drawing_from(store::random::fill)
}

/// The token for a server: from the environment alone, since arguments are seen by all.
fn token() -> Option<String> {
    Environment::read().text("RESCIND_TOKEN").map(str::to_owned)
}
