//! The HTTP API: look into the record, prove, verify, follow what is new, and decide about calls
//! that wait.
//!
//! ```text
//! request ─► gate: host, origin, token, role ─► handler ─► engine ─► view, as JSON
//! ```
//!
//! [`Server::builder`] makes an [`axum::Router`] over an [`Engine`]; who starts the program puts it
//! on a socket, beside the gateway's routes. Answers are the objects that the commands print with
//! `--json`, and ids are read as the commands read them, so that what reads one reads the other.
//! One [table of routes](route) makes the router and its OpenAPI document, so that neither has
//! what the other lacks.
//!
//! Nothing here opens a socket, knows which store there is, or keeps a copy of the record: a
//! client that follows is served from the log itself. What only the files of a store can tell is
//! handed in ([`Verify`]).

mod api;
mod approvals;
mod ask;
mod checkpoints;
mod events;
mod gate;
mod misread;
mod openapi;
mod operations;
mod problem;
mod published;
mod rollbacks;
mod route;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use engine::access::Access;
use engine::live::Recorder;
use engine::undo::Service;
use engine::view::VerifiedView;
use engine::{Engine, StoreError};
use metrics_exporter_prometheus::PrometheusHandle;
use model::Realm;
use tokio::sync::{Semaphore, watch};

pub use api::Paged;
pub use openapi::openapi;
pub use operations::{HealthView, StatusView};
pub use problem::ProblemView;

/// Checks the record's files; the argument says whether every byte. Blocks while it does.
pub type Verify = Arc<dyn Fn(bool) -> Result<VerifiedView, StoreError> + Send + Sync>;

/// How many clients may follow the record at the same time.
const FOLLOWERS_MAX: usize = 256;

/// The server. There is nothing to hold: see [`builder`](Server::builder).
#[derive(Clone, Copy, Debug)]
pub struct Server;

impl Server {
    /// Begins a server over an engine.
    #[must_use]
    pub fn builder(engine: Engine) -> Builder {
        Builder {
            engine,
            realm: Realm::default(),
            access: Access::default(),
            recorder: None,
            verify: None,
            metrics: None,
            stopping: None,
            rollbacks: None,
        }
    }
}

/// What a server is made of.
pub struct Builder {
    engine: Engine,
    realm: Realm,
    access: Access,
    recorder: Option<Recorder>,
    verify: Option<Verify>,
    metrics: Option<PrometheusHandle>,
    stopping: Option<watch::Receiver<bool>>,
    rollbacks: Option<Service>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("realm", &self.realm)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Names the log that is served below `/log/<realm>/`. Default: `default`.
    #[must_use]
    pub fn realm(mut self, realm: Realm) -> Self {
        self.realm = realm;
        self
    }

    /// Says who is let in. Default: nobody.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Hands in what carries calls, so that those that wait hear of verdicts. Default: nothing, and
    /// a verdict is found when something next carries calls.
    #[must_use]
    pub fn recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Hands in what checks the record's files. Default: nothing, and verifying is refused.
    #[must_use]
    pub fn verifier(mut self, verify: Verify) -> Self {
        self.verify = Some(verify);
        self
    }

    /// Hands in the recorder of metrics that this process installed. Default: none, and there is
    /// nothing at `/metrics`.
    #[must_use]
    pub fn metrics(mut self, handle: PrometheusHandle) -> Self {
        self.metrics = Some(handle);
        self
    }

    /// Ends the streams of those who follow once this is true, so that the process can stop; they
    /// come back and go on where they were. Default: never.
    #[must_use]
    pub fn stopping(mut self, stopping: watch::Receiver<bool>) -> Self {
        self.stopping = Some(stopping);
        self
    }

    /// Hands in what plans rollbacks and carries them out. Default: nothing, and both are refused.
    #[must_use]
    pub fn rollbacks(mut self, rollbacks: Service) -> Self {
        self.rollbacks = Some(rollbacks);
        self
    }

    /// Makes the router. It has no fallback, so that it can be merged with others.
    pub fn build(self) -> Router {
        operations::describe();
        let started = self.engine.clock().wall();
        let (_, never) = watch::channel(false);
        route::router(App(Arc::new(Parts {
            engine: self.engine,
            realm: self.realm,
            access: self.access,
            recorder: self.recorder,
            verify: self.verify,
            metrics: self.metrics,
            stopping: self.stopping.unwrap_or(never),
            rollbacks: self.rollbacks,
            started,
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            verifying: Arc::new(Semaphore::new(1)),
        })))
    }
}

/// What every handler has at hand.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    engine: Engine,
    realm: Realm,
    access: Access,
    recorder: Option<Recorder>,
    verify: Option<Verify>,
    metrics: Option<PrometheusHandle>,
    stopping: watch::Receiver<bool>,
    rollbacks: Option<Service>,
    started: u64,
    followers: Arc<Semaphore>,
    verifying: Arc<Semaphore>,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
